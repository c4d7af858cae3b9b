#pragma once
// Answering a request in the server's place: with an error, without any server having seen it. Pure.

#include <cstddef>
#include <string>

#include "protocol/bytes.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "protocol/result.hpp"

namespace segue::protocol::postgres {

struct RefusedRequest {
    std::size_t size = 0;  // Of the request: up to and including the message that asks for ReadyForQuery.
    std::string reply;     // ErrorResponse, and ReadyForQuery outside a transaction.
};

// The request at the front of `input`, which begins between messages at a boundary. An Error when it is none
// (Terminate), or is above `size_max`.
Step<RefusedRequest> refuse_request(Bytes input, const ErrorReport& report, std::size_t size_max);

}  // namespace segue::protocol::postgres
