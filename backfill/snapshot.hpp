#pragma once
// What a snapshot of an authority sees, in terms of transaction ids. A snapshot is not a prefix of
// the stream (law 4), so positions cannot tell; ids can.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "protocol/result.hpp"

namespace segue::backfill {

// Transactions that one snapshot may list as in progress; beyond it the text is refused
// (too_large). A server has far fewer backends.
inline constexpr std::size_t snapshot_xids_max = 1 << 20;

struct Snapshot {
    std::uint64_t xmin = 0;                  // Every id below it has ended.
    std::uint64_t xmax = 0;                  // No id at or above it has ended.
    std::vector<std::uint64_t> in_progress;  // Sorted, all in [xmin, xmax).

    // Of a transaction that is known to be committed: whether this snapshot shows it. All three
    // tests are needed: an id at or above xmax may have come out of the stream already.
    bool sees(std::uint64_t xid) const;

    friend bool operator==(const Snapshot&, const Snapshot&) = default;
};

// The text of pg_current_snapshot(): "xmin:xmax:xip,xip,...". Never of a standby: there the list
// omits running transactions.
Result<Snapshot> parse_snapshot(std::string_view text);

// The stream counts transactions in 32 bits, snapshots in 64. Returns the id nearest to `reference`
// (any recent snapshot's xmax) whose low half is `xid`. Right while the two are less than 2^31
// apart, which the server's own wraparound protection guarantees for living transactions.
std::uint64_t widen_xid(std::uint32_t xid, std::uint64_t reference);

}  // namespace segue::backfill
