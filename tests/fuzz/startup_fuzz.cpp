// The first packet of a connection: read, written again without protocol options, and read as the
// same.

#include <string>

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_startup.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace segue::protocol::postgres;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {"\0\0\0\x08\x04\xd2\x16\x2f"sv,
            "\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02"sv,
            "\0\0\0\x1c\0\x03\0\0user\0u\0database\0d\0\0"sv,
            "\0\0\0\x18\0\x03\0\x02user\0u\0_pq_.x\0y\0\0"sv};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto step = next_startup_packet(bytes(fuzz::text_of(data, size)));
    const auto* packet = std::get_if<StartupPacket>(&step);
    if (packet == nullptr) return 0;
    if (const auto cancel = parse_cancel_request(packet->body)) {
        const std::string wire = encode_cancel_request(*cancel);
        const auto again = next_startup_packet(bytes(wire));
        fuzz::require(std::holds_alternative<StartupPacket>(again));
        const auto read = parse_cancel_request(std::get<StartupPacket>(again).body);
        fuzz::require(read && *read == *cancel);
    }
    const auto startup = parse_startup(packet->code, packet->body);
    if (!startup) return 0;
    const std::string wire = encode_startup(*startup);
    const auto again = next_startup_packet(bytes(wire));
    const auto* second = std::get_if<StartupPacket>(&again);
    fuzz::require(second != nullptr || wire.size() > startup_packet_size_max);
    if (second != nullptr) fuzz::require(parse_startup(second->code, second->body).has_value());
    return 0;
}
