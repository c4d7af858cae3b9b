// Any text as a snapshot: what is accepted is printed as it came, and sees nothing that it lists.

#include <string>

#include "backfill/snapshot.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {"10:20:12,15"sv,
            "726:726:"sv,
            "4294967296:4294967300:4294967297"sv,
            "1:18446744073709551615:7"sv};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto snapshot = backfill::parse_snapshot(fuzz::text_of(data, size));
    if (!snapshot) return 0;
    std::string text = std::to_string(snapshot->xmin) + ":" + std::to_string(snapshot->xmax) + ":";
    for (const auto xid : snapshot->in_progress) {
        fuzz::require(!snapshot->sees(xid));
        if (text.back() != ':') text += ",";
        text += std::to_string(xid);
    }
    fuzz::require(backfill::parse_snapshot(text) && *backfill::parse_snapshot(text) == *snapshot);
    fuzz::require(!snapshot->sees(snapshot->xmax) && snapshot->sees(snapshot->xmin - 1));
    const auto low = static_cast<std::uint32_t>(snapshot->xmin);
    fuzz::require(static_cast<std::uint32_t>(backfill::widen_xid(low, snapshot->xmax)) == low);
    return 0;
}
