#include "protocol/reply.hpp"

namespace segue {

void ReplyDigest::add_row(Hash128 row) {
    sum.high += row.high;
    sum.low += row.low;
    exclusive.high ^= row.high;
    exclusive.low ^= row.low;
    ++rows;
}

}  // namespace segue
