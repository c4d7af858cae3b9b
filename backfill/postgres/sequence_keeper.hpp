#pragma once
// Keeps the follower's sequences ahead of the authority's while it follows, so that a change of
// authority finds them there, also one by force that can ask nobody. And notices where somebody has
// set one of them back: that is a difference, to be found by a verification and mended by a repair,
// not to be covered up.

#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/sequences.hpp"
#include "backfill/verification.hpp"
#include "router/side.hpp"

namespace segue::backfill::postgres {

// For so long at most the authority's control record is locked, and whoever writes it waits. What
// could not be set in that time is set by the next round.
inline constexpr std::chrono::seconds sequences_set_max{2};

class SequenceKeeper {
public:
    using Name = Verification::TableName;

    // Looks at all of them and sets those ahead that have come near. Blocks; any thread, one after
    // another. Nothing is set while a change of authority is under way, and nothing ever back: no
    // change begins while they are set, which takes no longer than sequences_set_max, and what the
    // follower hears of only later does nothing any more. After an error neither connection is of
    // further use: one may hold locks, the other may still be at work.
    // What was seen in an epoch says nothing in another one: a side that was the authority between
    // has been set by the application as it likes.
    Status round(Connection& from,
                 Connection& to,
                 Side authority,
                 std::uint64_t epoch,
                 const std::string& migration_id);
    // Those that stood behind, set back, when they were last looked at.
    std::set<Name> set_back() const;
    // The next round sets it ahead like one that it sees for the first time.
    void forget(const Name& name);

private:
    struct Seen {
        std::int64_t oid = 0;  // One that was made anew begins where it likes,
        std::string file;      // and so does one that a carried command has restarted.
        SequencePlace place;
    };
    // By number: the file that a carried command has left it with.
    using Files = std::map<std::int64_t, std::string>;
    static Result<Files> read_files(Connection& follower);
    // `before` and `after` the follower's places were read; where they differ nothing is known of
    // the place.
    std::vector<SequenceRaise> look(const std::vector<Sequence>& authority,
                                    const std::vector<Sequence>& follower,
                                    const Files& before,
                                    const Files& after);

    std::mutex working_;
    mutable std::mutex mutex_;  // Of the rest.
    Side follower_ = Side::target;
    std::uint64_t epoch_ = 0;
    std::map<Name, Seen> seen_;
    std::set<Name> set_back_;
};

}  // namespace segue::backfill::postgres
