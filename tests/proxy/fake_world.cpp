#include "tests/proxy/fake_world.hpp"

#include <algorithm>
#include <mutex>
#include <thread>

namespace segue::proxy::test {

using backfill::ControlRecord;
using backfill::Written;

namespace {

constexpr std::uint64_t commit_size = 10;

Error broken() { return Error{Errc::closed, "the connection was lost"}; }

}  // namespace

Trouble World::call(const std::string& what) {
    names.push_back(what);
    const int number = calls++;
    deliver_late(number);
    if (what == overtaken_at) overtake();
    if (what == down_at) down[index(goes_down)] = true;
    if (number == second_at) return second;
    if (what == troubled) {
        troubled.clear();
        return Trouble::error;
    }
    if (number < trouble_at || trouble_at < 0 || number >= trouble_at + trouble_for)
        return Trouble::none;
    if (trouble == Trouble::crash) throw Crash{};
    return trouble;
}

bool World::compare_and_set(Side side, const ControlRecord& expected, const ControlRecord& next) {
    auto& record = records[index(side)];
    const bool same = record && record->epoch == expected.epoch &&
                      record->phase == expected.phase && record->attempt == expected.attempt;
    if (same) {
        record = next;
        log_end[index(side)] += commit_size;
    }
    return same;
}

void World::deliver_late(int now) {
    std::vector<Late> waiting;
    std::swap(waiting, late);
    for (const Late& one : waiting) {
        if (one.due > now) {
            late.push_back(one);
        } else {
            compare_and_set(one.side, one.expected, one.next);
        }
    }
}

void World::overtake() {
    overtaken_at.clear();
    leases = {2, 2};
    for (auto& record : records) {
        record->epoch += 2;
        record->authority = Side::source;
        record->phase = router::Phase::steady;
    }
    fence_closed = {false, true};
}

// One writer: never are both sides open for applications.
void World::check() const {
    EXPECT_TRUE(fence_closed[0] || fence_closed[1]) << "both sides can be written to";
}

World consistent_world(Side authority, std::uint64_t epoch) {
    World world;
    for (const Side side : {Side::source, Side::target}) {
        ControlRecord record;
        record.migration = "segue";
        record.migration_id = "id";
        record.side = side;
        record.epoch = epoch;
        record.authority = authority;
        record.backfill = router::Backfill::consistent;
        record.knobs.mirror = router::Mirror::async;
        world.records[index(side)] = record;
        world.fence_closed[index(side)] = side != authority;
    }
    world.sessions_on = world.mover_follows = authority;
    world.mover_started = true;
    return world;
}

Result<std::optional<ControlRecord>> FakeStore::read() {
    static std::mutex reading;  // Recovery reads both records at once, by two threads.
    const std::lock_guard one_at_a_time{reading};
    if (world_.down[index(side_)] && world_.held) ++world_.waited_while_held;
    if (world_.down[index(side_)] || world_.call("read") != Trouble::none) {
        return Error{Errc::closed, "the " + std::string{name(side_)} + " cannot be reached"};
    }
    return world_.records[index(side_)];
}

std::optional<ControlRecord> FakeStore::glance() {
    if (world_.down[index(side_)] || world_.call("glance") != Trouble::none) return std::nullopt;
    if (world_.glances_in_vain > 0) {
        --world_.glances_in_vain;
        return std::nullopt;
    }
    return world_.records[index(side_)];
}

Status FakeStore::create(const ControlRecord& record) {
    world_.records[index(side_)] = record;
    return Done{};
}

Result<Written> FakeStore::compare_and_set(const ControlRecord& expected,
                                           const ControlRecord& next,
                                           std::optional<std::int64_t> lease) {
    if (world_.down[index(side_)]) return broken();
    const Trouble trouble = world_.call("compare_and_set");
    if (trouble == Trouble::error) return broken();
    if (trouble == Trouble::conflict) return Written::conflict;
    if (trouble == Trouble::lost_unwritten) return Written::unknown;
    const auto is_ascii = [](char c) { return (static_cast<unsigned char>(c) & 0x80) == 0; };
    if (world_.keeps_ascii_only && !std::ranges::all_of(next.knobs.sync_given_up, is_ascii))
        return Error{Errc::server, "it has no equivalent in encoding \"LATIN1\"", "22P05"};
    EXPECT_TRUE(next.attempt > expected.attempt || next.epoch > expected.epoch)
        << "a late one could be written";
    const bool forced = world_.down[index(other(side_))];
    EXPECT_TRUE(lease || forced || next.authority == expected.authority || next.authority != side_)
        << "an authority is made by who does not show the lease";
    const bool begins_sync = next.epoch == expected.epoch &&  // Else it is taken along.
                             next.knobs.mirror == router::Mirror::sync &&
                             expected.knobs.mirror != router::Mirror::sync;
    EXPECT_TRUE(!begins_sync ||
                (world_.gate && world_.applied[index(side_)] >= world_.acknowledged[index(side_)]))
        << "sync is on record, and an acknowledged commit on one side only";
    if (lease && *lease != world_.leases[index(side_)]) return Written::conflict;
    if (trouble == Trouble::lost_late) {
        world_.late.push_back({side_, expected, next, world_.calls + world_.late_after});
        return Written::unknown;
    }
    const bool same = world_.compare_and_set(side_, expected, next);
    if (trouble == Trouble::lost_written) return Written::unknown;
    return same ? Written::yes : Written::conflict;
}

Status FakeSteps::simple(const std::string& what) {
    if (world_.call(what) != Trouble::none) return broken();
    return Done{};
}

Result<std::vector<backfill::Blocker>> FakeSteps::blockers(Side) {
    if (const Status status = simple("blockers"); !status) return status.error();
    return world_.blockers;
}

Status FakeSteps::close_fence(Side side, backfill::Clock::time_point) {
    EXPECT_TRUE(world_.held) << "fenced under clients that were not held";
    const Trouble trouble = world_.call("close_fence");
    if (trouble == Trouble::lost_written) world_.fence_closed[index(side)] = true;
    if (trouble != Trouble::none) return broken();
    world_.fence_closed[index(side)] = true;
    if (world_.others_open) return Error{Errc::timed_out, "transactions are still open"};
    world_.lock_held = true;
    return Done{};
}

Status FakeSteps::open_fence(Side side) {
    const Status status = simple("open_fence");
    if (!status) return status;
    if (world_.records[index(side)]->authority != side)
        return Error{Errc::refused, "the record does not say so"};
    world_.fence_closed[index(side)] = false;
    world_.check();
    return Done{};
}

Result<bool> FakeSteps::fence_is_closed(Side side) {
    if (const Status status = simple("fence_is_closed"); !status) return status.error();
    return world_.fence_closed[index(side)];
}

Result<Position> FakeSteps::log_end(Side side) {
    if (const Status status = simple("log_end"); !status) return status.error();
    return Position{world_.log_end[index(side)]};
}

Result<Position> FakeSteps::commit_ticket(Side side) {
    if (const Status status = simple("ticket"); !status) return status.error();
    std::this_thread::sleep_for(world_.way);
    world_.log_end[index(side)] += commit_size;
    const Position end{world_.log_end[index(side)]};
    const bool stuck = world_.gate && world_.tickets_stuck_behind_gate > 0;
    if (stuck) --world_.tickets_stuck_behind_gate;
    if (world_.tickets_get_stuck || stuck) return end;
    applied_[index(side)].publish(end);
    world_.applied[index(side)] = end.value;
    return end;
}

Status FakeSteps::prepare(const ControlRecord& record) {
    if (const Status status = simple("prepare"); !status) return status;
    for (const Side side : {Side::source, Side::target}) {
        if (world_.records[index(side)]) continue;
        ControlRecord own = record;
        own.side = side;
        world_.records[index(side)] = own;
    }
    world_.fence_closed[index(Side::target)] = true;
    return Done{};
}

Status FakeSteps::finish(const ControlRecord& tombstone, bool unfence) {
    if (const Status status = simple("finish"); !status) return status;
    for (const Side side : {Side::source, Side::target}) {
        ControlRecord own = tombstone;
        own.side = side;
        world_.records[index(side)] = own;
        if (unfence) world_.fence_closed[index(side)] = false;
    }
    return Done{};
}

Status FakeMover::start(const ControlRecord& record) {
    if (world_.call("mover_start") != Trouble::none) return broken();
    world_.mover_started = true;
    world_.mover_follows = record.authority;
    return Done{};
}

backfill::MoverStatus FakeMover::status() const {
    backfill::MoverStatus status;
    status.invalid = !world_.mover_invalid.empty();
    if (status.invalid) status.problems.push_back(world_.mover_invalid);
    status.running = world_.mover_started && !world_.mover_between_runs && !status.invalid;
    status.runs_failed = world_.mover_runs_failed;
    status.last_failure = world_.mover_failure;
    status.moved_by_another = world_.moved_by_another;
    status.superseded = world_.superseded;
    if (world_.mover_between_runs) status.problems.push_back(world_.mover_failure);
    status.backfill = world_.mover_backfill;
    status.paused = world_.mover_paused;
    for (backfill::StreamStatus& stream : status.streams) {
        stream.connected = stream.reverse_ready =
            status.running && world_.mover_connects_after == 0;
        stream.lag_bytes = 0;
    }
    world_.mover_connects_after = std::max(0, world_.mover_connects_after - 1);
    status.schema_stop = world_.schema_stop;
    status.schema_work = world_.schema_work;
    if (!world_.schema_work.empty())
        status.schema_work_since = backfill::Clock::now() - world_.schema_work_for;
    if (world_.table_stopped) {
        status.tables.push_back({"public", "t", "stopped", 0, std::nullopt, "a change hit 0 rows"});
        status.streams[index(world_.mover_follows)].problem = "a change hit 0 rows";
    }
    return status;
}

Status FakeMover::become(Side authority, Position since) {
    EXPECT_EQ(since.value, world_.records[index(authority)]->since.value)
        << "after a restart it would be another";
    EXPECT_TRUE(world_.fence_closed[index(authority)])
        << "the new side was open before the stream was turned";
    if (world_.call("become") != Trouble::none) return broken();
    world_.mover_follows = authority;
    return Done{};
}

Result<backfill::Verification> FakeMover::verify(const backfill::VerifyRequest& request) {
    if (world_.call("verify") != Trouble::none) return broken();
    backfill::Verification result;
    result.id = "1";
    result.asked_by = request.asked_by;
    result.ended_at = std::chrono::system_clock::now();
    for (const std::uint64_t strays : world_.strays)
        result.strays = std::max(result.strays, strays);
    backfill::VerifiedTable& table = result.tables[{"public", "t"}];
    table.sums[0].rows = table.sums[1].rows = 100;
    table.differences = world_.differences;
    for (std::uint64_t i = 0; i < world_.differences; ++i)
        table.listed.push_back({"public.t", "(1)", "missing"});
    table.verdict =
        world_.differences == 0 ? backfill::TableVerdict::equal : backfill::TableVerdict::different;
    result.verdict =
        world_.differences == 0 ? backfill::Verdict::equal : backfill::Verdict::different;
    world_.verified = result;
    return result;
}

Result<std::optional<backfill::Verification>> FakeMover::verified() {
    auto standing = world_.verified;
    if (world_.found_meanwhile) {
        if (!standing) standing.emplace();
        standing->verdict = backfill::Verdict::different;
    }
    return standing;
}

Result<backfill::RepairReport> FakeMover::repair(const std::string&) {
    backfill::RepairReport report;
    report.rows = world_.differences;
    world_.differences = 0;
    if (world_.verified) world_.verified->verdict = backfill::Verdict::mended;
    return report;
}

Result<backfill::PassedOver> FakeMover::pass_stopped(const std::string&) {
    if (world_.call("pass_stopped") != Trouble::none) return broken();
    world_.table_stopped = false;
    world_.differences += 2;
    return backfill::PassedOver{{"public.t"}, 2};
}

Status FakeSessions::simple(const std::string& what) {
    if (world_.call(what) != Trouble::none) return Error{Errc::refused, "a session is pinned"};
    return Done{};
}

Status FakeSessions::hold(Side, Clock::time_point) {
    world_.held = true;  // Also when it fails: the caller releases.
    return simple("hold");
}

void FakeSessions::swap(Side side) {
    EXPECT_TRUE(world_.held);
    EXPECT_FALSE(world_.fence_closed[index(side)]);
    world_.sessions_on = side;
}

// Somebody is told of his commit in the last instant before it closes.
void FakeSessions::set_gate(bool closed) {
    if (closed && !world_.gate && world_.traffic != nullptr) {
        const std::size_t authority = index(world_.traffic->authority.load());
        world_.log_end[authority] += commit_size;
        world_.acknowledged[authority] = world_.log_end[authority];
    }
    world_.gate = closed;
}

WaitReport FakeSessions::release() {
    world_.call("release");
    if (world_.traffic != nullptr) {
        EXPECT_EQ(world_.traffic->authority.load(), world_.sessions_on);
        EXPECT_FALSE(world_.fence_closed[index(world_.sessions_on)])
            << "released onto a fenced side";
    }
    world_.held = false;
    return {std::chrono::microseconds{2000}, std::chrono::microseconds{1500}};
}

}  // namespace segue::proxy::test
