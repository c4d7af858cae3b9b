#pragma once
// What is left of a reply after it has passed: enough to tell whether two replies are the same, in
// bounded memory whatever the number of rows. A neutral value; the engine's reader fills it.

#include <cstdint>
#include <string>

#include "protocol/hash.hpp"

namespace segue {

struct ReplyDigest {
    bool complete = false;  // The reply has been seen to its end.
    bool comparable =
        true;       // False when something passed that digests do not cover (COPY, a giant header).
    Hash128 shape;  // Columns: names, formats, and types where they are the same on every server.
    Hash128 ordered;  // All rows in their order.
    Hash128 sum,
        exclusive;  // Of the rows' hashes, added and xor-ed: the multiset, whatever the order.
    std::uint64_t rows = 0;
    std::string outcome;     // The statement's completion tag.
    std::string error_code;  // Empty unless the reply is an error.

    // Adds one row's hash.
    void add_row(Hash128 row);

    friend bool operator==(const ReplyDigest&, const ReplyDigest&) = default;
};

}  // namespace segue
