#pragma once
// A cancel request goes to the backend that serves the session now, and the client is let go only
// once that server has closed: by then it has acted, and the client's next statement cannot be hit.

#include <boost/asio/awaitable.hpp>

#include "protocol/postgres/messages_startup.hpp"
#include "proxy/open_backend.hpp"
#include "proxy/session_sink.hpp"

namespace segue::proxy {

boost::asio::awaitable<Status> forward_cancel(protocol::postgres::CancelRequest request,
                                              CancelTargets& targets,
                                              Dialer& dialer,
                                              Deadline deadline);

}  // namespace segue::proxy
