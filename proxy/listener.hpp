#pragma once
// Accepts clients on TCP addresses and Unix sockets and starts their logins, on the control thread.

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "protocol/result.hpp"
#include "proxy/config.hpp"
#include "proxy/login.hpp"

namespace segue::proxy {

class Listener {
public:
    // Logins under way at once; clients beyond it wait to be accepted, as they would for a server
    // that is busy.
    static constexpr std::size_t logins_max = 1024;

    // Called on the control thread with each login that failed, for the log.
    using OnFailure = std::function<void(const Error&)>;

    // Binds every address; an Error names the one that cannot be had. Ignores SIGPIPE for the whole
    // process, because TLS writes raise it.
    static Result<std::unique_ptr<Listener>> open(boost::asio::io_context& context,
                                                  const std::vector<Address>& addresses,
                                                  std::shared_ptr<const LoginServices> services,
                                                  OnFailure on_failure);
    ~Listener();

    void start();
    // For logins from now on; those under way go on with what they have. On the control thread.
    void use(std::shared_ptr<const LoginServices> services);
    // No more clients; logins under way go on. Call it on the control thread.
    void stop();
    // Where it listens on TCP, in the order of the addresses: tells the port where 0 was asked for.
    std::vector<std::uint16_t> ports() const;

private:
    struct State;
    explicit Listener(std::shared_ptr<State> state);
    std::shared_ptr<State>
        state_;  // Shared with the coroutines that accept and log in, which end after it.
};

}  // namespace segue::proxy
