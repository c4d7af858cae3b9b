#pragma once
// Keeps the follower's sequences ahead of the authority's while it follows, so that a change of
// authority finds them there, also one by force that can ask nobody. And notices where somebody has
// set one of them back: that is a difference, to be found by a verification and mended by a repair,
// not to be covered up.

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "backfill/postgres/mover_link.hpp"
#include "backfill/postgres/sequences.hpp"
#include "backfill/verification.hpp"
#include "router/side.hpp"

namespace segue::backfill::postgres {

class SequenceKeeper {
public:
    using Name = Verification::TableName;
    using OpenLink = std::function<Result<MoverLink>(Side)>;

    // Looks at all of them and sets those ahead that have come near. Blocks; any thread, one after
    // another. Nothing is set while a change of authority is under way, and nothing ever back.
    Status round(const OpenLink& open, Side authority, const std::string& migration_id);
    // Those that stood behind, set back, when they were last looked at.
    std::set<Name> set_back() const;
    // The next round sets it ahead like one that it sees for the first time.
    void forget(const Name& name);

private:
    struct Seen {
        std::int64_t oid = 0;  // One that was made anew begins where it likes.
        SequencePlace place;
    };
    struct Raise {
        Name name;
        bool ascending = true;
        SequencePlace place;
    };
    std::vector<Raise> look(const std::vector<Sequence>& authority,
                            const std::vector<Sequence>& follower);

    std::mutex working_;
    mutable std::mutex mutex_;  // Of the rest.
    Side follower_ = Side::target;
    std::map<Name, Seen> seen_;
    std::set<Name> set_back_;
};

}  // namespace segue::backfill::postgres
