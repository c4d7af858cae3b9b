#pragma once
// Where logins and cancel requests meet the live sessions. Implemented by SessionRegistry; any thread.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/session.hpp"
#include "router/side.hpp"

namespace segue::proxy {

class SessionSink {
public:
    virtual ~SessionSink() = default;

    // Takes over a session whose both legs have logged in, the client's ReadyForQuery sent. During a hold it
    // is held like the others. Never fails: a session that cannot go on is closed with 57P01.
    virtual void adopt(std::unique_ptr<Session> session) = 0;
};

// A server's own keys of the backend that answers a client right now.
struct CancelTarget {
    Side side = Side::source;
    std::int32_t pid = 0;
    std::string cancel_key;
};

class CancelTargets {
public:
    virtual ~CancelTargets() = default;

    // By what the client knows: the pid and key of its BackendKeyData. Empty: nobody has them (the keys are
    // compared in constant time), or the request waited in Segue and has been answered with 57014 here,
    // so that nothing is to be sent to a server.
    virtual std::optional<CancelTarget> cancel(std::int32_t client_pid, std::string_view key) = 0;
};

}  // namespace segue::proxy
