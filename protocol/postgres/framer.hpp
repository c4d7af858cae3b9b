#pragma once
// Cuts the bytes of a PostgreSQL connection into messages. Pure: no state, no copy; the caller owns
// the buffer, and every view is valid until that buffer is consumed.

#include <cstddef>
#include <cstdint>

#include "protocol/bytes.hpp"
#include "protocol/result.hpp"

namespace segue::protocol::postgres {

inline constexpr std::size_t tag_size = 1;
inline constexpr std::size_t length_size = 4;
inline constexpr std::size_t header_size = tag_size + length_size;
// The server's own limit for startup packets (MAX_STARTUP_PACKET_LENGTH).
inline constexpr std::size_t startup_packet_size_max = 10000;

// Frame := byte tag, int32 length (counts itself, not the tag), body
struct Frame {
    char tag = 0;
    Bytes wire;  // Header and body.
    Bytes body;
};

// Cuts one message off the front of `input`. A frame above `frame_size_max` is an error before its
// body is waited for, so a hostile length cannot grow our buffer.
Step<Frame> next_frame(Bytes input, std::size_t frame_size_max);

// StartupPacket := int32 length (counts itself), int32 code, rest
struct StartupPacket {
    std::uint32_t code =
        0;  // A protocol version, or one of the request codes of messages_startup.hpp.
    Bytes wire;
    Bytes body;  // After the code.
};

// The first packet of a connection has no tag.
Step<StartupPacket> next_startup_packet(Bytes input);

}  // namespace segue::protocol::postgres
