// The same bytes of both directions, in large slices and one by one: what goes on is the same.
// Input := { byte (high bit: from the server; low bits: size), bytes }*

#include "protocol/postgres/late_statements.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace segue::protocol::postgres;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {
        "\x0d"
        "B\0\0\0\x0c\0s\0\0\0\0\0\0\x05S\0\0\0\x04\x8b"
        "1\0\0\0\x04Z\0\0\0\x05I"sv,
        "\x07"
        "D\0\0\0\x06Ss\x01\0\x86"
        "E\0\0\0\x05\0"sv,
        "\x91"
        "C\0\0\0\x10"
        "DISCARD ALL\0"sv};
}

namespace {

std::vector<LateStatement> statements() {
    std::string named, unnamed;
    append(named, Parse{"s", "SELECT 1", {23}});
    append(unnamed, Parse{"", "SELECT 2", {}});
    return {{"s", named}, {"", unnamed}};
}

struct Edited {
    LateStatements late{statements()};
    std::string sent, told;

    void pass(bool from_server, Bytes slice) {
        from_server ? told += text(late.to_client(slice)) : sent += text(late.to_server(slice));
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Edited whole, single;
    const Bytes input = bytes(fuzz::text_of(data, size));
    for (std::size_t at = 0; at < input.size();) {
        const auto head = static_cast<unsigned>(input[at++]);
        const std::size_t length = std::min<std::size_t>(head & 0x7f, input.size() - at);
        const Bytes slice = input.subspan(at, length);
        whole.pass((head & 0x80) != 0, slice);
        for (std::size_t i = 0; i < length; ++i)
            single.pass((head & 0x80) != 0, slice.subspan(i, 1));
        at += length;
    }
    fuzz::require(whole.sent == single.sent && whole.told == single.told);
    fuzz::require(whole.told.size() <= size);
    whole.late.settle();
    fuzz::require(whole.late.statements() == single.late.statements());
    return 0;
}
