// What a run sees to where DDL is captured: that the capture is this build's, and that each side
// has been told what code there is on the other one's tables, for either may be the authority next.

#include "backfill/postgres/ddl_capture.hpp"
#include "backfill/postgres/ddl_code.hpp"
#include "backfill/postgres/fence.hpp"
#include "backfill/postgres/mover_run.hpp"
#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr Side both_sides[] = {Side::source, Side::target};

Error of_side(Side side, Error error) {
    error.detail = std::string{name(side)} + ": " + error.detail;
    return error;
}

}  // namespace

// A migration that is under way may have been started by another build.
Status MoverRun::renew_installed() {
    const std::string& id = shared_.identity.migration_id;
    captures_ddl_ = true;
    for (const Side side : both_sides) {
        const std::string& url = shared_.identity.url[index(side)];
        Link owner{url, {.application_name = "segue", .settings = {{mover_setting, id}}}};
        if (const auto kept = owner.run(keep_to_ourselves_sql); !kept)
            return of_side(side, kept.error());
        const auto state =
            renew_ddl_capture(owner, {id, shared_.settings.migration, shared_.settings.exclude});
        if (!state) return of_side(side, state.error());
        switch (*state) {
            case CaptureState::absent:
                captures_ddl_ = false;
                break;
            case CaptureState::present:
                break;
            case CaptureState::renewed:
                Fence fence{{side, url, id, shared_.settings.exclude}};
                if (const Status made = fence.install(); !made) return of_side(side, made.error());
                break;
        }
    }
    return captures_ddl_ ? know_authoritys_code() : Status{Done{}};
}

// At the start it is told before the first row; only an earlier build has not done so.
Status MoverRun::know_authoritys_code() {
    const Side authority = shared_.told().authority;
    auto follower = link(other(authority), LinkKind::writer);
    if (!follower) return follower.error();
    const auto known = is_code_known(**follower, authority);
    if (!known) return known.error();
    if (*known) return Done{};
    auto owner = link(authority, LinkKind::writer);
    if (!owner) return owner.error();
    const auto things = read_all_code(**owner);
    if (!things) return things.error();
    return know_code(**follower, authority, *things);
}

// On the follower nothing is that has not been judged when it was made. It has been the follower
// all the while, if the record's epoch is the same afterwards.
Status MoverRun::know_followers_code() {
    const Side authority = shared_.told().authority;
    auto to = link(authority, LinkKind::writer);
    if (!to) return to.error();
    auto owner = link(other(authority), LinkKind::writer);
    if (!owner) return owner.error();
    const std::string steady =
        "SELECT epoch FROM segue.control WHERE migration_id = $1 AND authority = side AND phase ="
        " 'steady'";
    const auto before = (*to)->execute(steady, {shared_.identity.migration_id});
    if (!before) return before.error();
    const auto things = read_all_code(**owner);
    if (!things) return things.error();
    if (const auto begun = (*to)->execute("BEGIN"); !begun) return begun.error();
    const auto after = (*to)->execute(steady + " FOR SHARE", {shared_.identity.migration_id});
    if (!after) return after.error();
    if (before->size() != 1 || after->size() != 1 || before->at(0, 0) != after->at(0, 0))
        return Done{};
    if (const Status known = know_code(**to, other(authority), *things); !known) return known;
    if (const auto ended = (*to)->execute("COMMIT"); !ended) return ended.error();
    followers_code_known_ = true;
    return Done{};
}

Status MoverRun::keep_code_known() {
    if (!captures_ddl_) return Done{};
    {
        const std::lock_guard lock{shared_.mutex};
        if (shared_.backfill != router::Backfill::consistent) return Done{};
    }
    if (shared_.code_let_pass.exchange(false)) followers_code_known_ = false;
    return followers_code_known_ ? Status{Done{}} : know_followers_code();
}

}  // namespace segue::backfill::postgres
