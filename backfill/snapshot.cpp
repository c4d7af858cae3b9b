#include "backfill/snapshot.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace segue::backfill {

namespace {

Error malformed(const char* what) {
    return Error{Errc::bad_value, std::string{"snapshot: "} + what};
}

// Digits up to `end` or the text's end; `text` is left behind them. No sign, no space, no overflow.
std::optional<std::uint64_t> take_number(std::string_view& text) {
    std::uint64_t value = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{}) return {};
    text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
    return value;
}

bool take(std::string_view& text, char expected) {
    if (text.empty() || text.front() != expected) return false;
    text.remove_prefix(1);
    return true;
}

}  // namespace

bool Snapshot::sees(std::uint64_t xid) const {
    if (xid < xmin) return true;
    if (xid >= xmax) return false;
    return !std::binary_search(in_progress.begin(), in_progress.end(), xid);
}

Result<Snapshot> parse_snapshot(std::string_view text) {
    Snapshot snapshot;
    const auto xmin = take_number(text);
    if (!xmin || !take(text, ':')) return malformed("no xmin");
    const auto xmax = take_number(text);
    if (!xmax || !take(text, ':')) return malformed("no xmax");
    if (*xmin == 0 || *xmax < *xmin) return malformed("xmin and xmax are out of order");
    snapshot.xmin = *xmin;
    snapshot.xmax = *xmax;

    while (!text.empty()) {
        const auto xid = take_number(text);
        if (!xid) return malformed("no number in the list");
        if (*xid < snapshot.xmin || *xid >= snapshot.xmax)
            return malformed("listed id out of range");
        if (!snapshot.in_progress.empty() && *xid <= snapshot.in_progress.back()) {
            return malformed("list is not sorted");
        }
        if (snapshot.in_progress.size() == snapshot_xids_max) {
            return Error{Errc::too_large, "snapshot: more transactions in progress than the limit"};
        }
        snapshot.in_progress.push_back(*xid);
        if (!text.empty() && (!take(text, ',') || text.empty()))
            return malformed("list goes on badly");
    }
    return snapshot;
}

std::uint64_t widen_xid(std::uint32_t xid, std::uint64_t reference) {
    // The distance modulo 2^32, read as a signed number, is the way to the nearest one.
    const auto distance = static_cast<std::int32_t>(xid - static_cast<std::uint32_t>(reference));
    const std::uint64_t nearest = reference + static_cast<std::uint64_t>(std::int64_t{distance});
    const bool before_the_first = distance < 0 && nearest > reference;
    return before_the_first ? xid : nearest;
}

}  // namespace segue::backfill
