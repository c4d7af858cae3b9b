// Any bytes: a frame lies inside the input and within the limit; more bytes are asked for only when
// they are missing.

#include "protocol/postgres/framer.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {"S\0\0\0\x04"sv,
            "Q\0\0\0\x0dselect 1\0"sv,
            "Z\0\0\0\x05I"sv,
            "Q\x7f\xff\xff\xffx"sv,
            "X\0\0\0\x03"sv,
            "\0\0\0\x08\x04\xd2\x16\x2f"sv};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::size_t frame_size_max = 1000;
    const Bytes input = bytes(fuzz::text_of(data, size));
    const auto step = protocol::postgres::next_frame(input, frame_size_max);
    if (const auto* frame = std::get_if<protocol::postgres::Frame>(&step)) {
        fuzz::require(frame->wire.data() == input.data() && frame->wire.size() <= size);
        fuzz::require(frame->wire.size() <= frame_size_max);
        fuzz::require(frame->body.size() + protocol::postgres::header_size == frame->wire.size());
        // Every shorter input asks for more.
        for (std::size_t cut = 0; cut < frame->wire.size(); ++cut) {
            fuzz::require(std::holds_alternative<NeedMore>(
                protocol::postgres::next_frame(input.first(cut), frame_size_max)));
        }
    }
    if (const auto* need = std::get_if<NeedMore>(&step)) fuzz::require(need->size_min > size);

    const auto startup = protocol::postgres::next_startup_packet(input);
    if (const auto* packet = std::get_if<protocol::postgres::StartupPacket>(&startup)) {
        fuzz::require(packet->wire.size() <= size &&
                      packet->body.size() + 8 == packet->wire.size());
    }
    if (const auto* need = std::get_if<NeedMore>(&startup)) fuzz::require(need->size_min > size);
    return 0;
}
