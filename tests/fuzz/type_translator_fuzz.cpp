// The same bytes of both directions, in large slices and one by one: what goes on is the same, as
// long as what came in but for the bytes of one number, and nothing is replaced by what is not in
// the map. Input := { byte (high bit: from the server; low bits: size), bytes }*

#include "protocol/postgres/type_translator.hpp"
#include "tests/fuzz/seeds.hpp"
#include "tests/protocol/two_catalogs.hpp"

using namespace segue;
using namespace segue::protocol::postgres;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {// Parse with app._pair, Bind of a record, Describe, Execute, Sync; 0x4010 is the first
            // number of the map.
            "\x1aP\0\0\0\x11s\0SELECT\0\0\x01\0\0\x40\x13"
            "S\0\0\0\x04"
            "\x3e"
            "B\0\0\0\x3d\0s\0\0\x01\0\x01\0\x01\0\0\0\x29\0\0\0\x01\0\0\0\0\0\0\x40\x12\0\0\0\x01\0"
            "\0\0\x01\0\0\0\x11\0\0\0\x01\0\0\x40\x10\0\0\0\x02ok\0\x01\0\x01"
            "\x13"
            "D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0"
            "\x05S\0\0\0\x04"
            "\xa5"
            "1\0\0\0\x04T\0\0\0\x1a\0\x01x\0\0\0\0\0\0\0\0\0\x50\x15\xff\xff\xff\xff\xff\xff\0\x01"
            "Z\0\0\0\x05I"sv,
            "\x0eQ\0\0\0\x0d"
            "FETCH 1\0\0"
            "\x9aT\0\0\0\x1a\0\x01x\0\0\0\0\0\0\0\0\0\x50\x18\xff\xff\xff\xff\xff\xff\0\x01"
            "\xa0"
            "D\0\0\0\x1e\0\x01\0\0\0\x14\0\0\0\x01\x02\0\0\0\x0b\0\0\0\x01\0\0\x50\x14\0\0\0\0"
            "C\0\0\0\x09SELECT\0"sv,
            "\x05S\0\0\0\x04\x86Z\0\0\0\x05I\x85"
            "E\0\0\0\x04"sv};
}

namespace {

std::shared_ptr<const TypeIds> ids() {
    static const std::shared_ptr<const TypeIds> made = two_catalogs();
    return made;
}

struct Translated {
    TypeTranslator translator{ids(), 0};
    std::string sent, told;

    void pass(bool from_server, Bytes slice) {
        from_server ? told += text(translator.to_client(slice))
                    : sent += text(translator.to_server(slice));
    }
};

bool possible(const std::string& in, const std::string& out) {
    return out.size() <= in.size() && out.size() + 3 >= in.size();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Translated whole, single;
    std::string asked, answered;
    Bytes rest = bytes(fuzz::text_of(data, size));
    while (!rest.empty()) {
        const auto head = static_cast<std::uint8_t>(rest.front());
        const Bytes slice = rest.subspan(1, std::min<std::size_t>(head & 0x7f, rest.size() - 1));
        rest = rest.subspan(1 + slice.size());
        const bool from_server = (head & 0x80) != 0;
        (from_server ? answered : asked) += text(slice);
        whole.pass(from_server, slice);
        for (std::size_t i = 0; i < slice.size(); ++i)
            single.pass(from_server, slice.subspan(i, 1));
        fuzz::require(whole.sent == single.sent && whole.told == single.told);
    }
    fuzz::require(possible(asked, whole.sent) && possible(answered, whole.told));
    return 0;
}
