// Any bytes as a message of the stream: what is read can be walked to its end and lies inside the
// input.

#include "protocol/postgres/pgoutput.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace segue::protocol::postgres;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {
        "B\0\0\0\0\x01\x6b\x37\x48\0\0\0\0\0\x0f\x42\x40\0\0\x02\xd6"sv,
        "C\0\0\0\0\0\x01\x6b\x37\x48\0\0\0\0\x01\x6b\x37\x78\0\0\0\0\0\x0f\x42\x40"sv,
        "O\0\0\0\0\x01\x6b\x37\x48peer\0"sv,
        "R\0\0\x40\x01public\0t\0d\0\x02\x01id\0\0\0\0\x17\xff\xff\xff\xff\0body\0\0\0\0\x19\xff\xff\xff\xff"sv,
        "Y\0\0\x40\x02public\0mood\0"sv,
        "I\0\0\x40\x01N\0\x03t\0\0\0\x02"
        "42nb\0\0\0\x01x"sv,
        "U\0\0\x40\x01N\0\x02t\0\0\0\x01"
        "7u"sv,
        "U\0\0\x40\x01K\0\x02t\0\0\0\x01"
        "7nN\0\x02t\0\0\0\x01"
        "8u"sv,
        "U\0\0\x40\x01O\0\x01t\0\0\0\x01"
        "7N\0\x01t\0\0\0\0"sv,
        "D\0\0\x40\x01K\0\x01t\0\0\0\x01"
        "7"sv,
        "T\0\0\0\x02\x03\0\0\x40\x01\0\0\x40\x02"sv,
        "M\x01\0\0\0\0\x01\x6b\x37\x48prefix\0\0\0\0\x03"
        "a\0b"sv};
}

namespace {

void walk(const pgoutput::Tuple& tuple, std::string_view input) {
    std::size_t cells = 0;
    for (const pgoutput::Cell& cell : tuple) {
        ++cells;
        const char* end = cell.value.data() + cell.value.size();
        fuzz::require(cell.value.empty() ||
                      (cell.value.data() >= input.data() && end <= input.data() + input.size()));
    }
    fuzz::require(cells == tuple.size() && cells <= pgoutput::columns_max);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input = fuzz::text_of(data, size);
    const auto message = pgoutput::parse(bytes(input));
    if (!message) return 0;
    if (const auto* insert = std::get_if<pgoutput::Insert>(&*message)) walk(insert->row, input);
    if (const auto* removed = std::get_if<pgoutput::Delete>(&*message)) {
        fuzz::require(removed->old_kind != pgoutput::OldKind::none);
        walk(removed->old, input);
    }
    if (const auto* update = std::get_if<pgoutput::Update>(&*message)) {
        walk(update->old, input);
        walk(update->row, input);
    }
    if (const auto* truncate = std::get_if<pgoutput::Truncate>(&*message)) {
        fuzz::require(truncate->relations.size() * sizeof(std::uint32_t) <= size);
    }
    return 0;
}
