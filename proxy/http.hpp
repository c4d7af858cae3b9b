#pragma once
// A small HTTP server for the operator: one Asio thread, few connections, limits of its own. What
// is asked and answered is admin.hpp's affair.

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <string>

#include "protocol/result.hpp"
#include "proxy/config.hpp"

namespace segue::proxy {

struct HttpRequest {
    std::string method, path;  // The path with its query, if any.
    std::string body;
    bool by_file = false;                           // Of a unix socket.
    std::string authorization, content_type, host;  // The headers' values.
};

struct HttpAnswer {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::string body;
    std::string content_security_policy = "default-src 'none'";
};

inline constexpr std::size_t http_connections_max =
    64;  // Beyond it a connection is closed at once.
inline constexpr std::size_t http_header_size_max = 8192;     // Beyond it the connection is closed.
inline constexpr std::size_t http_body_size_max = 64 * 1024;  // Likewise.
inline constexpr std::chrono::seconds http_idle_max{60};      // Without a complete request: closed.

class HttpServer {
public:
    // Called on the context's thread; must not wait.
    using Answer = std::function<HttpAnswer(const HttpRequest&)>;

    // Listens from now on; serves while the context runs. A unix socket that nobody listens on any
    // more is replaced. The error names the address.
    static Result<std::unique_ptr<HttpServer>> listen(boost::asio::io_context& context,
                                                      const Address& address,
                                                      Answer answer);
    ~HttpServer();  // On the context's thread, or when it runs no more.

    // Accepts no more. Connections end with the context.
    void stop();

private:
    struct State;
    explicit HttpServer(std::shared_ptr<State> state);
    std::shared_ptr<State>
        state_;  // Shared with the coroutines that serve, which may outlive this object.
};

}  // namespace segue::proxy
