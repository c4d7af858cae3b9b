#include "proxy/cancel.hpp"

#include <utility>

namespace segue::proxy {

namespace asio = boost::asio;
namespace pg = protocol::postgres;

namespace {

asio::awaitable<Status> send_to(const CancelTarget& target, Dialer& dialer, Deadline deadline) {
    Result<Transport> server = co_await dialer.connect(target.side, target.client_tls, deadline);
    if (!server) co_return server.error();
    const std::string packet = pg::encode_cancel_request({target.pid, target.cancel_key});
    const Status sent = co_await write_all(*server, packet, deadline);
    if (!sent) co_return sent.error();
    std::string nothing;
    const Status closed = co_await read_more(*server, nothing, 1, deadline);
    if (!closed && closed.error().code == Errc::timed_out) co_return closed.error();
    co_return Done{};
}

}  // namespace

asio::awaitable<Status> forward_cancel(pg::CancelRequest request,
                                       CancelTargets& targets,
                                       Dialer& dialer,
                                       Deadline deadline) {
    const std::optional<CancelTarget> target =
        co_await targets.cancel(request.pid, std::move(request.key));
    if (!target)
        co_return Done{};  // Nobody's, or answered in Segue: a server says nothing in that case
                           // either.
    Status sent = co_await send_to(*target, dialer, deadline);
    targets.cancel_ended(*target);
    co_return sent;
}

}  // namespace segue::proxy
