#pragma once
// Answering a request in the server's place: with an error, without any server having seen it.
// Pure.

#include <cstddef>
#include <string>

#include "protocol/bytes.hpp"
#include "protocol/postgres/boundary.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "protocol/result.hpp"

namespace segue::protocol::postgres {

struct RefusedRequest {
    std::size_t size =
        0;  // Of the request: up to and including the message that asks for an answer.
    std::string
        reply;  // ErrorResponse, and ReadyForQuery outside a transaction unless `sync_owed`.
    bool sync_owed = false;  // It ended with a Flush: as a server, skip what follows up to its Sync
                             // (SkipToSync).
};

// The request at the front of `input`, which begins between messages at a boundary. An Error when
// it is none (Terminate), or is above `size_max`.
Step<RefusedRequest> refuse_request(Bytes input, const ErrorReport& report, std::size_t size_max);

// After an error of extended messages: what a server drops unread until the client's Sync, fed in
// slices.
class SkipToSync {
public:
    // How many bytes of the front of `input` are dropped: all of them until the end has come.
    std::size_t skip(Bytes input);
    bool ended() const { return end_ != End::none; }
    // ReadyForQuery for the Sync; empty when the client ended the session instead.
    std::string reply() const;

private:
    enum class End : std::uint8_t { none, sync, terminate };
    Cursor cursor_;
    End end_ = End::none;
};

}  // namespace segue::protocol::postgres
