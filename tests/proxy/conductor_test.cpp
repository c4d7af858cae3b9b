// Every step of a change of authority fails once, loses its answer, or is the program's last; what
// must be true afterwards is checked each time, and recovery makes something whole of every crash.

#include "proxy/conductor.hpp"

#include <gtest/gtest.h>

#include "proxy/recover.hpp"
#include "tests/proxy/fake_world.hpp"

namespace segue::proxy {
namespace {

using test::consistent_world;
using test::Crash;
using test::Program;
using test::Trouble;
using test::World;

constexpr int calls_max = 200;

ChangeLimits quick() {
    ChangeLimits limits;
    limits.retry_pause = limits.connect = std::chrono::milliseconds{0};
    return limits;
}

ChangeParts parts(Program& program) {
    return {program.steps,
            program.mover,
            program.sessions,
            program.traffic,
            program.journal,
            program.stopping};
}

// Whole: one side answers for the data, it alone can be written to, and everybody agrees.
void expect_whole(const World& world, Side authority) {
    const Side follower = other(authority);
    EXPECT_EQ(world.records[index(authority)]->authority, authority);
    EXPECT_EQ(world.records[index(authority)]->phase, router::Phase::steady);
    const backfill::ControlRecord& second = *world.records[index(follower)];
    const bool claims = second.authority == follower && second.phase == router::Phase::steady;
    EXPECT_FALSE(claims && second.epoch >= world.records[index(authority)]->epoch)
        << "two authorities";
    EXPECT_FALSE(world.fence_closed[index(authority)]);
    EXPECT_TRUE(world.fence_closed[index(follower)]);
    EXPECT_FALSE(world.held);
}

TEST(Conductor, ChangesTheAuthorityAndBack) {
    World world = consistent_world();
    Program program{world};
    ChangeReport report = change_authority(parts(program), quick(), Side::target);
    EXPECT_EQ(report.ending, router::Ending::changed) << report.reason;
    EXPECT_EQ(report.hold.count(), 2000);
    expect_whole(world, Side::target);
    EXPECT_EQ(world.records[1]->epoch, 5u);
    EXPECT_EQ(world.records[0]->epoch, 5u);
    EXPECT_EQ(world.mover_follows, Side::target);
    EXPECT_EQ(program.traffic.authority.load(), Side::target);
    EXPECT_EQ(program.traffic.epoch.load(), 5u);
    EXPECT_FALSE(world.lock_held);

    report = change_authority(parts(program), quick(), Side::source);
    EXPECT_EQ(report.ending, router::Ending::changed) << report.reason;
    expect_whole(world, Side::source);
    EXPECT_EQ(world.records[0]->epoch, 6u);
}

TEST(Conductor, SlowsClientsDownForALimitedTimeAndRatherGivesUp) {
    World world = consistent_world();
    world.tickets_get_stuck = true;
    Program program{world};
    ChangeLimits limits = quick();
    limits.probe = std::chrono::milliseconds{900};
    limits.slowed = std::chrono::milliseconds{50};
    const ChangeReport report = change_authority(parts(program), limits, Side::target);
    EXPECT_EQ(report.ending, router::Ending::refused);
    EXPECT_GE(report.slowed, limits.slowed);
    EXPECT_LT(report.slowed, std::chrono::milliseconds{500});
    EXPECT_EQ(program.traffic.pace.load(), 0u);
    EXPECT_FALSE(report.held);
}

TEST(Conductor, DoesNotSlowDownClientsOfAMachineThatKeepsUp) {
    World world = consistent_world();
    Program program{world};
    EXPECT_EQ(change_authority(parts(program), quick(), Side::target).slowed.count(), 0);
}

TEST(Conductor, DoesNotSlowDownClientsBecauseTheServersAreFarAway) {
    World world = consistent_world();
    world.way = std::chrono::milliseconds{40};
    Program program{world};
    const ChangeReport report = change_authority(parts(program), quick(), Side::target);
    EXPECT_EQ(report.ending, router::Ending::changed) << report.reason;
    EXPECT_EQ(report.slowed.count(), 0);
}

TEST(Conductor, KeepsMirrorAndSetsShadowAndShiftToZero) {
    World world = consistent_world();
    world.records[0]->knobs = {router::Mirror::sync, 10, 20, false};
    Program program{world};
    ASSERT_EQ(change_authority(parts(program), quick(), Side::target).ending,
              router::Ending::changed);
    EXPECT_EQ(world.records[1]->knobs, (router::Knobs{router::Mirror::sync, 0, 0, false}));
}

TEST(Conductor, LeavesOneWholeWhicheverStepFailsOnceOrLosesItsAnswer) {
    for (const Side from : {Side::source, Side::target}) {
        for (const Trouble trouble :
             {Trouble::error, Trouble::lost_written, Trouble::lost_unwritten, Trouble::conflict}) {
            int undone = 0, changed = 0, refused = 0;
            for (int at = 0; at < calls_max; ++at) {
                SCOPED_TRACE("call " + std::to_string(at) + ", trouble " +
                             std::to_string(static_cast<int>(trouble)));
                World world = consistent_world(from);
                world.trouble_at = at;
                world.trouble = trouble;
                Program program{world};
                program.traffic.authority = from;
                const ChangeReport report = change_authority(parts(program), quick(), other(from));
                const bool is_changed = report.ending == router::Ending::changed;
                expect_whole(world, is_changed ? other(from) : from);
                EXPECT_EQ(world.sessions_on, is_changed ? other(from) : from);
                EXPECT_EQ(world.mover_follows, is_changed ? other(from) : from);
                EXPECT_EQ(report.reason.empty(), is_changed) << report.reason;
                (is_changed                                ? changed
                 : report.ending == router::Ending::undone ? undone
                                                           : refused)++;
                if (world.calls <= at) break;  // There were no more steps to fail.
            }
            EXPECT_GT(refused, 0);
            EXPECT_GT(undone, 5);
            EXPECT_GT(changed, 3);
        }
    }
}

// The packet that was given up for lost arrives after all, at any later moment.
TEST(Conductor, SurvivesACompareAndSetThatArrivesLate) {
    for (int late_after = 0; late_after < 12; ++late_after) {
        for (int at = 0; at < calls_max; ++at) {
            SCOPED_TRACE("call " + std::to_string(at) + ", late after " +
                         std::to_string(late_after));
            World world = consistent_world();
            world.trouble_at = at;
            world.trouble = Trouble::lost_late;
            world.late_after = late_after;
            Program program{world};
            const ChangeReport report = change_authority(parts(program), quick(), Side::target);
            world.deliver_late(calls_max * 2);
            expect_whole(world,
                         report.ending == router::Ending::changed ? Side::target : Side::source);
            if (world.calls <= at) break;
        }
    }
}

TEST(Conductor, RecoveryMakesAWholeOfACrashAtEveryCall) {
    for (const Side from : {Side::source, Side::target}) {
        int stayed = 0, moved = 0;
        for (int at = 0; at < calls_max; ++at) {
            SCOPED_TRACE("crash at call " + std::to_string(at));
            World world = consistent_world(from);
            world.trouble_at = at;
            world.trouble = Trouble::crash;
            bool crashed = false;
            {
                Program program{world};
                program.traffic.authority = from;
                try {
                    (void)change_authority(parts(program), quick(), other(from));
                } catch (const Crash&) {
                    crashed = true;
                }
            }
            if (!crashed) break;
            const bool committed = world.records[index(other(from))]->authority == other(from);
            world.trouble = Trouble::none;
            world.held = false;  // The sessions went with the program.
            Program next{world};
            const RecoveryRound round = recover_once(next.steps, next.journal, "segue");
            ASSERT_TRUE(round.through) << round.waiting_for;
            ASSERT_TRUE(round.record.has_value());
            EXPECT_EQ(round.record->authority, committed ? other(from) : from);
            expect_whole(world, committed ? other(from) : from);
            EXPECT_GE(round.record->epoch, 4u);
            // Both agree, and the way is free for the next change.
            EXPECT_EQ(world.records[0]->authority, world.records[1]->authority);
            next.traffic.authority = world.sessions_on = world.mover_follows =
                round.record->authority;
            const ChangeReport again =
                change_authority(parts(next), quick(), other(round.record->authority));
            EXPECT_EQ(again.ending, router::Ending::changed) << again.reason;
            (committed ? moved : stayed)++;
        }
        EXPECT_GT(stayed, 15);
        EXPECT_GT(moved, 3);
    }
}

TEST(Conductor, RecoveryHoldsTheClientsWhileTheOutcomeCannotBeKnown) {
    for (int at = 0; at < calls_max; ++at) {
        World world = consistent_world();
        world.trouble_at = at;
        world.trouble = Trouble::crash;
        bool crashed = false;
        {
            Program program{world};
            try {
                (void)change_authority(parts(program), quick(), Side::target);
            } catch (const Crash&) {
                crashed = true;
            }
        }
        if (!crashed) break;
        world.trouble = Trouble::none;
        const bool deciding = world.records[0]->phase == router::Phase::deciding;
        world.down[index(Side::target)] = true;
        Program next{world};
        const RecoveryRound round = recover_once(next.steps, next.journal, "segue");
        const bool target_is_authority = world.records[0]->authority == Side::target;
        EXPECT_EQ(round.through, !deciding && !target_is_authority) << "call " << at;
        if (!round.through) {
            EXPECT_NE(round.waiting_for.find("target"), std::string::npos);
        }
    }
}

TEST(Conductor, StaysBehindTheHoldForAsLongAsTheCommitIsInDoubt) {
    World world = consistent_world();
    Program probe{world};
    ASSERT_EQ(change_authority(parts(probe), quick(), Side::target).ending,
              router::Ending::changed);
    int commit_call = -1;
    for (std::size_t i = 0; i < world.names.size(); ++i) {
        if (world.names[i] == "fence_held") commit_call = static_cast<int>(i) + 1;
    }
    for (const Trouble trouble : {Trouble::lost_written, Trouble::lost_unwritten}) {
        World doubtful = consistent_world();
        doubtful.trouble_at = commit_call;
        doubtful.trouble = trouble;
        doubtful.trouble_for = 7;  // The questions that follow get no answer either.
        Program program{doubtful};
        const ChangeReport report = change_authority(parts(program), quick(), Side::target);
        const bool written = trouble == Trouble::lost_written;
        EXPECT_EQ(report.ending, written ? router::Ending::changed : router::Ending::undone);
        expect_whole(doubtful, written ? Side::target : Side::source);
        if (!written) {
            EXPECT_EQ(doubtful.records[1]->epoch, 5u) << "the aborted epoch is not on record";
        }
    }
}

// The commit is on its way, and the first attempt to make it fail is lost as well: not yet a reason
// to undo.
// It was frozen, and another process is the mover now: whatever was proven before counts no more.
TEST(Conductor, DecidesNothingWithoutTheLease) {
    for (const Side lost : {Side::source, Side::target}) {
        World world = consistent_world();
        world.leases[index(lost)] = 2;
        Program program{world};
        const ChangeReport report = change_authority(parts(program), quick(), Side::target);
        EXPECT_EQ(report.ending, router::Ending::undone) << report.reason;
        expect_whole(world, Side::source);
        EXPECT_EQ(world.change_expected, 0u);
    }
}

// Frozen right after its commit; the other one has gone on from there, and back.
TEST(Conductor, LeavesTheRestToWhoHasTakenOver) {
    World world = consistent_world();
    Program program{world};
    world.overtaken_at = "become";
    const ChangeReport report = change_authority(parts(program), quick(), Side::target);
    EXPECT_TRUE(report.overtaken);
    EXPECT_NE(report.reason.find("taken this migration over"), std::string::npos) << report.reason;
    EXPECT_TRUE(world.held) << "recovery tells where to go";
    EXPECT_EQ(world.sessions_on, Side::source);
    EXPECT_TRUE(world.fence_closed[1]) << "a fence was opened that is not its own";
}

// The side that it needs is lost for good, which the other one has been told by force: clients are
// not held for ever.
TEST(Conductor, LearnsFromTheOtherSideThatItWasOvertakenWhileTheOneThatItNeedsIsDead) {
    World world = consistent_world();
    Program program{world};
    world.overtaken_at = world.down_at = world.troubled = "become";
    world.goes_down = Side::target;
    world.glances_in_vain = 3;
    const ChangeReport report = change_authority(parts(program), quick(), Side::target);
    EXPECT_TRUE(report.overtaken);
    EXPECT_EQ(world.glances_in_vain, 0);
}

// Each attempt waits long for the dead side: the other one's answer is not left to the next.
TEST(Conductor, LearnsThatItWasOvertakenBeforeItWaitsForTheSideThatIsDead) {
    World world = consistent_world();
    Program program{world};
    world.overtaken_at = world.down_at = world.troubled = "become";
    world.goes_down = Side::target;
    world.glances_in_vain = 3;
    ChangeLimits limits = quick();
    limits.retry_pause = std::chrono::milliseconds{1};
    const ChangeReport report = change_authority(parts(program), limits, Side::target);
    EXPECT_TRUE(report.overtaken);
    EXPECT_EQ(world.waited_while_held, 0);
}

// Clients are held, and the epoch is committed: what is left to do needs the new side only.
TEST(Conductor, WaitsForNoOldSideThatDiesAfterTheCommit) {
    World world = consistent_world();
    Program program{world};
    world.down_at = "become";
    world.troubled = "become";
    const ChangeReport report = change_authority(parts(program), quick(), Side::target);
    EXPECT_EQ(report.ending, router::Ending::changed);
    EXPECT_TRUE(report.reason.empty()) << report.reason;
    EXPECT_EQ(world.sessions_on, Side::target);
    EXPECT_EQ(world.waited_while_held, 0);
}

// A proxy that is frozen in the middle of one never ends it.
TEST(Conductor, EndsTransactionsOfOthersThatTheFenceWaitsFor) {
    World world = consistent_world();
    Program program{world};
    world.others_open = true;
    const ChangeReport report = change_authority(parts(program), quick(), Side::target);
    EXPECT_EQ(report.ending, router::Ending::changed) << report.reason;
}

// And to go back needs the old side only.
TEST(Conductor, WaitsForNoNewSideThatDiesBeforeTheCommit) {
    World world = consistent_world();
    Program program{world};
    world.down_at = "close_fence";
    world.goes_down = Side::target;
    world.troubled = "open_fence";  // The undoing is done twice.
    const ChangeReport report = change_authority(parts(program), quick(), Side::target);
    EXPECT_EQ(report.ending, router::Ending::undone) << report.reason;
    EXPECT_EQ(world.sessions_on, Side::source);
    EXPECT_EQ(world.waited_while_held, 0);
}

TEST(Conductor, RecoveryLeavesAChangeToTheLivingThatMakesIt) {
    World world = consistent_world();
    world.records[0]->phase = router::Phase::switching;
    world.records[0]->epoch += 1;
    world.other_mover = "there pid 7";
    Program program{world};
    RecoveryRound round = recover_once(program.steps, program.journal, "segue");
    EXPECT_FALSE(round.through);
    EXPECT_NE(round.waiting_for.find("there pid 7"), std::string::npos) << round.waiting_for;
    EXPECT_EQ(world.records[0]->phase, router::Phase::switching);
    world.records[0]->phase = router::Phase::steady;
    world.fence_closed[0] = true;
    EXPECT_FALSE(recover_once(program.steps, program.journal, "segue").through);
    EXPECT_TRUE(world.fence_closed[0]) << "the other one closed it for a reason";
    world.other_mover.clear();
    EXPECT_TRUE(recover_once(program.steps, program.journal, "segue").through);
    expect_whole(world, Side::source);
}

TEST(Conductor, DoesNotUndoBeforeTheAbortIsOnRecord) {
    World world = consistent_world();
    Program probe{world};
    ASSERT_EQ(change_authority(parts(probe), quick(), Side::target).ending,
              router::Ending::changed);
    int commit_call = -1;
    for (std::size_t i = 0; i < world.names.size(); ++i) {
        if (world.names[i] == "fence_held") commit_call = static_cast<int>(i) + 1;
    }
    for (int late_after = 2; late_after < 10; ++late_after) {
        World doubtful = consistent_world();
        doubtful.trouble_at = commit_call;
        doubtful.trouble = Trouble::lost_late;
        doubtful.late_after = late_after;
        doubtful.second_at = commit_call + 2;  // After the record was read.
        doubtful.second = Trouble::lost_unwritten;
        Program program{doubtful};
        const ChangeReport report = change_authority(parts(program), quick(), Side::target);
        doubtful.deliver_late(calls_max * 2);
        expect_whole(doubtful,
                     report.ending == router::Ending::changed ? Side::target : Side::source);
    }
}

TEST(Conductor, RefusesStraysBlockersAndWhatIsNotConsistent) {
    const auto refused = [](World world) {
        Program program{world};
        const ChangeReport report = change_authority(parts(program), quick(), Side::target);
        EXPECT_EQ(report.ending, router::Ending::refused);
        EXPECT_FALSE(report.held);
        expect_whole(world, Side::source);
        return report.reason;
    };
    World world = consistent_world();
    world.strays[index(Side::target)] = 1;
    EXPECT_NE(refused(world).find("target"), std::string::npos);
    world = consistent_world();
    world.blockers = {{"prepared", "a prepared transaction is open"}};
    EXPECT_EQ(refused(world), "a prepared transaction is open");
    world = consistent_world();
    world.records[0]->backfill = router::Backfill::copying;
    EXPECT_NE(refused(world).find("consistent"), std::string::npos);
    world = consistent_world();
    world.records[0]->knobs.paused = true;
    EXPECT_NE(refused(world).find("resume"), std::string::npos);
}

// No patience mends that.
TEST(Conductor, RefusesAnInvalidCopyAtOnce) {
    World world = consistent_world();
    world.mover_invalid = "the copy is invalid: a standby was promoted";
    Program program{world};
    ChangeLimits limits = quick();
    limits.connect = std::chrono::hours{1};
    const ChangeReport report = change_authority(parts(program), limits, Side::target);
    EXPECT_EQ(report.ending, router::Ending::refused);
    EXPECT_EQ(report.reason, world.mover_invalid);
    expect_whole(world, Side::source);
}

TEST(Conductor, RehearsalChangesNothingWhicheverStepFails) {
    for (int at = -1; at < calls_max; ++at) {
        World world = consistent_world();
        const auto before = world.records;
        world.trouble_at = at;
        world.trouble = Trouble::error;
        Program program{world};
        const ChangeReport report = rehearse_change(parts(program), quick(), Side::target);
        expect_whole(world, Side::source);
        EXPECT_EQ(world.records, before);
        if (at < 0) {
            EXPECT_EQ(report.ending, router::Ending::undone) << report.reason;
        }
        if (at >= 0 && world.calls <= at) break;
    }
}

}  // namespace
}  // namespace segue::proxy
