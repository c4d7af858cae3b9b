#include "backfill/unseen.hpp"

#include <algorithm>

namespace segue::backfill {

bool Unseen::add(std::uint64_t xid, Position position) {
    // Nearly always at the end: the stream is in order, but after a reconnect it repeats itself.
    const auto place = std::lower_bound(
        commits_.begin(), commits_.end(), position, [](const Commit& commit, Position value) {
            return commit.position < value;
        });
    if (place != commits_.end() && place->position == position) return true;
    if (full()) return false;
    commits_.insert(place, Commit{xid, position});
    return true;
}

void Unseen::prune(const Snapshot& snapshot) {
    std::erase_if(commits_, [&](const Commit& commit) { return snapshot.sees(commit.xid); });
}

bool Unseen::all_seen_up_to(const Snapshot& snapshot, Position position) const {
    for (const Commit& commit : commits_) {
        if (commit.position > position) break;
        if (!snapshot.sees(commit.xid)) return false;
    }
    return true;
}

Unseen::Durable Unseen::durable(Position restart) const {
    Durable result;
    for (const Commit& commit : commits_) {
        if (commit.position > restart) break;
        result.xids.push_back(commit.xid);
        result.positions.push_back(commit.position);
    }
    return result;
}

Result<Unseen> Unseen::restore(const Durable& durable) {
    if (durable.xids.size() != durable.positions.size()) {
        return Error{Errc::bad_value, "unseen commits: as many ids as positions expected"};
    }
    if (durable.xids.size() > unseen_max)
        return Error{Errc::too_large, "unseen commits: above the limit"};
    Unseen unseen;
    for (std::size_t i = 0; i < durable.xids.size(); ++i) {
        if (i > 0 && durable.positions[i] <= durable.positions[i - 1]) {
            return Error{Errc::bad_value, "unseen commits: positions must rise"};
        }
        unseen.commits_.push_back(Commit{durable.xids[i], durable.positions[i]});
    }
    return unseen;
}

}  // namespace segue::backfill
