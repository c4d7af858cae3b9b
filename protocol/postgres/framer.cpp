#include "protocol/postgres/framer.hpp"

namespace segue::protocol::postgres {

Step<Frame> next_frame(Bytes input, std::size_t frame_size_max) {
    if (input.size() < header_size) return NeedMore{header_size};
    ByteReader header{input.first(header_size)};
    const char tag = static_cast<char>(header.big_endian<std::uint8_t>());
    const auto length = header.big_endian<std::int32_t>();
    if (length < 4) return Error{Errc::bad_value, "message length below 4"};
    const std::size_t frame_size = tag_size + static_cast<std::size_t>(length);
    // Checked before waiting for the body, so a hostile length cannot grow our buffer.
    if (frame_size > frame_size_max) return Error{Errc::too_large, "message above the limit"};
    if (input.size() < frame_size) return NeedMore{frame_size};
    const Bytes wire = input.first(frame_size);
    return Frame{tag, wire, wire.subspan(header_size)};
}

Step<StartupPacket> next_startup_packet(Bytes input) {
    constexpr std::size_t head_size = 8;
    if (input.size() < length_size) return NeedMore{head_size};
    ByteReader reader{input};
    const auto length = reader.big_endian<std::uint32_t>();
    if (length < head_size) return Error{Errc::bad_value, "startup packet length below 8"};
    if (length > startup_packet_size_max)
        return Error{Errc::too_large, "startup packet above the limit"};
    if (input.size() < length) return NeedMore{length};
    const auto code = reader.big_endian<std::uint32_t>();
    const Bytes wire = input.first(length);
    return StartupPacket{code, wire, wire.subspan(head_size)};
}

}  // namespace segue::protocol::postgres
