// The same bytes of both directions, in large slices and one by one: the accounting is the same.
// Input := { byte (high bit: from the server; low bits: size), bytes }*

#include "protocol/postgres/boundary.hpp"
#include "protocol/postgres/statement_hints.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace segue::protocol::postgres;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {
        "\x0dQ\0\0\0\x0cselect\0"
        "\x86Z\0\0\0\x05I"sv,
        "\x05S\0\0\0\x04\x86Z\0\0\0\x05T\x05S\0\0\0\x04"sv,
        "\x09P\0\0\0\x08\0\0\0\0\x05H\0\0\0\x04\x85"
        "1\0\0\0\x04"sv,
        "\x08Q\0\0\0\x07xy\0\x88G\0\0\0\x07\0\0\0\x05"
        "c\0\0\0\x04\x85"
        "C\0\0\0\x04\x86Z\0\0\0\x05I"sv,
        "\x85"
        "E\0\0\0\x04\x05S\0\0\0\x04\x05X\0\0\0\x04"sv};
}

namespace {

struct Watched {
    Boundary boundary;
    StateHints hints;

    void client(Bytes slice) {
        boundary.client(slice, [this](const Piece& piece) { hints.see(piece); });
    }
    void server(Bytes slice) { boundary.server(slice); }
};

bool same(const Boundary& a, const Boundary& b) {
    return a.at_boundary() == b.at_boundary() && a.status() == b.status() &&
           a.in_copy() == b.in_copy() && a.extended_open() == b.extended_open() &&
           a.lost() == b.lost() && a.terminated() == b.terminated() &&
           a.replies_outstanding() == b.replies_outstanding() &&
           a.client_between_messages() == b.client_between_messages() &&
           a.server_between_messages() == b.server_between_messages();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Watched whole, single;
    Bytes rest = bytes(fuzz::text_of(data, size));
    while (!rest.empty()) {
        const auto head = static_cast<std::uint8_t>(rest.front());
        const Bytes slice = rest.subspan(1, std::min<std::size_t>(head & 0x7f, rest.size() - 1));
        rest = rest.subspan(1 + slice.size());
        const bool from_server = (head & 0x80) != 0;
        if (!from_server) fuzz::require(whole.boundary.client_cut(slice) <= slice.size());
        from_server ? whole.server(slice) : whole.client(slice);
        for (std::size_t i = 0; i < slice.size(); ++i) {
            const Bytes one = slice.subspan(i, 1);
            from_server ? single.server(one) : single.client(one);
        }
        fuzz::require(same(whole.boundary, single.boundary));
    }
    fuzz::require(whole.hints.unnamed_parse() == single.hints.unnamed_parse());
    return 0;
}
