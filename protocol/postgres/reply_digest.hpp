#pragma once
// A server's reply -> neutral digest, while the bytes pass in arbitrary slices. Bounded memory:
// rows of any size and number are hashed as they come, headers are kept up to a limit.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/hash.hpp"
#include "protocol/reply.hpp"

namespace segue::protocol::postgres {

// A row description, error or tag beyond this makes the reply not comparable.
inline constexpr std::size_t reply_header_size_max = 256 * 1024;

class ReplyReader {
public:
    // The server's bytes from the first one after the request was sent. Returns how many of them
    // belong to this reply: all, until ReadyForQuery ends it. Afterwards nothing is taken any more.
    std::size_t update(Bytes slice);
    bool finished() const { return digest_.complete; }
    const ReplyDigest& digest() const { return digest_; }
    // Type OIDs of the columns as this server said; empty before a row description.
    const std::vector<std::uint32_t>& column_types() const { return column_types_; }
    char status() const { return status_; }  // Of ReadyForQuery: I, T or E. Zero before it.

private:
    enum class Body : std::uint8_t { kept, hashed, skipped };

    void begin_message();
    void end_message();
    void read_row_description();
    void read_error();

    ReplyDigest digest_;
    std::vector<std::uint32_t> column_types_;
    std::byte header_[5] = {};
    std::size_t header_size_ = 0;
    std::uint64_t body_rest_ = 0;  // Of the current message, still to come.
    Body body_ = Body::skipped;
    std::string kept_;
    HashStream row_;
    HashStream rows_;
    char status_ = 0;
};

}  // namespace segue::protocol::postgres
