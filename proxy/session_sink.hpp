#pragma once
// Where logins and cancel requests meet the live sessions. Implemented by SessionRegistry; any
// thread.

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "proxy/session.hpp"
#include "router/side.hpp"

namespace segue::proxy {

enum class Handover : std::uint8_t {
    taken,    // The sink owns the session now.
    changed,  // Nothing was taken: a hold is in force, or the authority is another one since. Wait,
              // and open anew where needed.
};

class SessionSink {
public:
    virtual ~SessionSink() = default;

    // Offers a session whose both legs have authenticated. `greeting` (AuthenticationOk up to
    // ReadyForQuery, as the server sent them) goes to the client before anything else; until then
    // the client knows nothing of its backend, so that a login that meets a change of authority can
    // be done again on the other side. Decides atomically with respect to hold and swap: taken
    // exactly when no hold is in force and Traffic.epoch is still `epoch`, the value read before
    // the backend was opened. A session that is passed_through is always taken. Both arguments are
    // moved from only when taken.
    virtual Handover adopt(std::unique_ptr<Session>& session,
                           std::uint64_t epoch,
                           std::string& greeting) = 0;
};

// A server's own keys of the backend that answers a client right now.
struct CancelTarget {
    std::uint64_t session = 0;
    Side side = Side::source;
    std::int32_t pid = 0;
    std::string cancel_key;
    bool client_tls = false;  // The session's own client connection uses TLS.
};

class CancelTargets {
public:
    virtual ~CancelTargets() = default;

    // Control thread. By what the client knows: the pid and key of its BackendKeyData. Empty:
    // nobody has them (the keys are compared in constant time), or the request waited in Segue and
    // has been answered with 57014 here, so that nothing is to be sent to a server. From then until
    // cancel_ended, which is called once for each target, Segue asks that backend nothing of its
    // own, which the cancel could hit.
    virtual boost::asio::awaitable<std::optional<CancelTarget>> cancel(std::int32_t client_pid,
                                                                       std::string key) = 0;
    virtual void cancel_ended(const CancelTarget& target) = 0;
};

}  // namespace segue::proxy
