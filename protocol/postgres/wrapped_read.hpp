#pragma once
// One read of a client, executed on another connection inside a read-only transaction of ours whose
// snapshot is taken before the read begins, so that it cannot be made read-write again. Pure: bytes
// to send, bytes received, bytes for the client. The client sees the answer as if it had come
// outside a transaction, and nothing of ours.
//
// Our statements have names, because the unnamed statement on that connection is the client's. They
// are sent without a Sync before the client's request: if BEGIN failed, the server would skip the
// request.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/bytes.hpp"

namespace segue::protocol::postgres {

// An answer up to this size is kept until it is complete, so that any failure can still be hidden.
// A larger one is passed on from then on.
inline constexpr std::size_t answer_held_size_max = 64 * 1024;

class WrappedRead {
public:
    enum class State : std::uint8_t {
        running,
        answered,  // Everything is in `for_client`; the connection is as before.
        failed,    // The client has seen nothing: the read can be done elsewhere. The connection is
                   // as before.
    };

    // `parse` (optional): a Parse message that must precede the request, its acknowledgement not
    // for the client; `forget` (optional): the name under which it was prepared, given up
    // afterwards.
    WrappedRead(std::string_view request,
                bool simple,
                std::string_view parse,
                std::string_view forget = {});

    const std::string& to_send() const { return to_send_; }
    // Appends to `for_client` what may go out now. Returns what was taken of `slice`: all, until
    // the end.
    std::size_t receive(Bytes slice, std::string& for_client);

    State state() const { return state_; }
    // Something has gone to the client.
    bool exposed() const { return exposed_; }
    // Whether the client has whole messages only, so that an error of ours could follow.
    bool between_messages() const { return header_size_ == 0; }
    // Of the first error; empty when there was none.
    const std::string& sqlstate() const { return sqlstate_; }

private:
    enum class Part : std::uint8_t { opening, request, closing };
    enum class Action : std::uint8_t { relay, keep, drop };

    Action begin_message() const;
    void append(Bytes bytes);
    void end_message();
    void end_part(char status);
    void note_error();

    std::string to_send_;
    std::string held_;  // For the client.
    std::string kept_;  // The body that is examined.
    std::byte header_[5] = {};
    std::size_t header_size_ = 0;
    std::uint64_t body_rest_ = 0;
    Action action_ = Action::drop;
    Part part_ = Part::opening;
    State state_ = State::running;
    std::string sqlstate_;
    int completions_ = 0;  // Of our own opening statements.
    bool simple_ = false;
    bool parse_pending_ = false;
    bool exposed_ = false;
    bool failed_ = false;
};

}  // namespace segue::protocol::postgres
