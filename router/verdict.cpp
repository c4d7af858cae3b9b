#include "router/verdict.hpp"

namespace segue::router {

Verdict compare(const ReplyDigest& authority, const ReplyDigest& follower) {
    if (!authority.complete || !follower.complete) return Verdict::not_comparable;
    if (!authority.comparable || !follower.comparable) return Verdict::not_comparable;
    // How many rows were sent before an error is the executor's affair; the error is the answer.
    if (!authority.error_code.empty() || !follower.error_code.empty()) {
        return authority.error_code == follower.error_code ? Verdict::equal : Verdict::different;
    }
    const bool same_rows = authority.shape == follower.shape && authority.rows == follower.rows &&
                           authority.sum == follower.sum &&
                           authority.exclusive == follower.exclusive &&
                           authority.outcome == follower.outcome;
    if (!same_rows) return Verdict::different;
    return authority.ordered == follower.ordered ? Verdict::equal : Verdict::reordered;
}

bool is_suspect(Verdict verdict, bool order_defined) {
    switch (verdict) {
        case Verdict::equal:
        case Verdict::not_comparable:
            return false;
        case Verdict::reordered:
            return order_defined;
        case Verdict::different:
            return true;
    }
    return true;
}

}  // namespace segue::router
