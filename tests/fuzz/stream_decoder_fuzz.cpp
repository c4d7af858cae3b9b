// Any sequence of messages of the stream: refused, or turned into whole events. Input := { byte
// size, bytes }*

#include "backfill/postgres/stream_decoder.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace segue::backfill;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {
        "\x15"
        "B\0\0\0\0\x01\x6b\x37\x48\0\0\0\0\0\x0f\x42\x40\0\0\x02\xd6"
        "\x2c"
        "R\0\0\x40\x01public\0t\0d\0\x02\x01id\0\0\0\0\x17\xff\xff\xff\xff\0body\0\0\0\0\x19\xff"
        "\xff\xff\xff"
        "\x0f"
        "I\0\0\x40\x01N\0\x02t\0\0\0\x01"
        "7n"
        "\x0f"
        "U\0\0\x40\x01N\0\x02t\0\0\0\x01"
        "7u"
        "\x0f"
        "D\0\0\x40\x01K\0\x02t\0\0\0\x01"
        "7n"
        "\x0a"
        "T\0\0\0\x01\0\0\0\x40\x01"
        "\x1a"
        "C\0\0\0\0\0\x01\x6b\x37\x48\0\0\0\0\x01\x6b\x37\x78\0\0\0\0\0\x0f\x42\x40"sv};
}

namespace {

void walk(const Change& change) {
    std::size_t total = 0;
    for (std::size_t i = 0; i < change.old_size(); ++i) total += change.old_cell(i).text.size();
    for (std::size_t i = 0; i < change.truncated_size(); ++i)
        total += change.truncated(i).name.size();
    if (change.kind() != ChangeKind::truncate) {
        fuzz::require(change.old_size() == 0 ||
                      change.old_size() == change.relation().columns.size());
        fuzz::require(change.new_size() == 0 ||
                      change.new_size() == change.relation().columns.size());
        for (std::size_t i = 0; i < change.new_size(); ++i) total += change.new_cell(i).text.size();
        fuzz::require(total <= change.memory());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    RelationTable relations;
    const std::atomic<std::uint64_t> reference{1000};
    postgres::StreamDecoder decoder{relations, reference};
    std::string_view rest = fuzz::text_of(data, size);
    while (!rest.empty()) {
        const auto announced = static_cast<unsigned char>(rest.front());
        const std::string_view payload = rest.substr(1, announced);
        rest.remove_prefix(1 + payload.size());
        const auto event = decoder.decode(bytes(payload));
        if (!event) return 0;  // The stream ends with its first error.
        if (!*event) continue;
        if (const auto* change = std::get_if<Change>(&**event)) {
            fuzz::require(decoder.in_transaction());
            walk(*change);
        }
    }
    return 0;
}
