#pragma once
// Whether anything was written between two moments, told by an authority without being asked about
// any single transaction.

#include <cstdint>

namespace segue {

// Read from an authority at two moments and equal: no transaction that wrote has ended between
// them. (PostgreSQL: the transaction id that all ended ones are below; a transaction that writes
// has one.)
struct WriteMark {
    std::uint64_t connection = 0;  // Of ours, on which it was read: one server's numbers mean
                                   // nothing on another. Zero: unknown.
    std::uint64_t value = 0;

    friend bool operator==(WriteMark, WriteMark) = default;
};

inline bool nothing_written_between(WriteMark before, WriteMark after) {
    return before.connection != 0 && before == after;
}

}  // namespace segue
