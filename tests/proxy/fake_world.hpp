#pragma once
// Two databases, a mover and sessions as far as a change of authority sees them, all in memory.
// Every call is counted, so that a test can make the n-th one fail, lose its answer, or end the
// program there.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backfill/change_steps.hpp"
#include "backfill/mover.hpp"
#include "proxy/journal.hpp"
#include "proxy/sessions.hpp"
#include "proxy/traffic.hpp"

namespace segue::proxy::test {

// What happens at the chosen call. A compare-and-set whose answer is lost may have been written or
// not. lost_late: it arrives `late_after` calls later.
enum class Trouble { none, error, lost_written, lost_unwritten, lost_late, conflict, crash };
struct Crash {};  // Thrown: the program is gone.

struct World {
    std::array<std::optional<backfill::ControlRecord>, 2> records;
    std::array<bool, 2> fence_closed = {false, true};
    std::array<bool, 2> down = {false, false};
    std::array<bool, 2> promoted = {false, false};  // Another server than recorded.
    std::array<std::uint64_t, 2> log_end = {1000, 5000};
    bool lock_held = false;
    ShadowReport shadow;
    bool held = false;
    Side sessions_on = Side::source;
    Side mover_follows = Side::source;
    bool mover_started = false;
    bool mover_paused = false;
    bool mover_between_runs = false;
    std::string mover_invalid;  // Why the copy is; its mover ends as often as it is begun.
    bool moved_by_another = false;
    bool superseded = false;
    std::array<std::int64_t, 2> leases = {1, 1};  // Another generation: another process has it.
    std::uint64_t change_expected = 0;
    std::string other_mover;  // Alive.
    std::string down_at;      // By then the side below is gone.
    Side goes_down = Side::source;
    int waited_while_held = 0;  // Whoever asks a side that is gone waits out a time limit.
    std::string troubled;       // The first such call fails.
    std::string overtaken_at;   // By then another process has changed the authority there and back.
    int sessions_ended = 0;
    int glances_in_vain = 0;       // The connection is lost, and a new one takes its time.
    int mover_connects_after = 0;  // Calls of status.
    std::uint64_t mover_runs_failed = 0;
    std::string mover_failure;
    router::Backfill mover_backfill = router::Backfill::consistent;
    std::array<std::uint64_t, 2> strays = {0, 0};
    bool others_open = false;  // Transactions that the fence waits for, and that nobody ends.
    std::uint64_t differences = 0;
    std::string schema_stop, schema_work;
    std::chrono::seconds schema_work_for{0};
    bool table_stopped = false;  // public.t does not take a change, which two rows then lack.
    int background_held = 0;
    std::optional<backfill::Verification> verified;  // What stands on record.
    bool found_meanwhile = false;  // What stands is a difference that the background has found.
    std::vector<backfill::Blocker> blockers;
    bool keeps_ascii_only = false;  // Else the server answers with an error.
    bool gate = false;
    std::array<std::uint64_t, 2> applied = {0, 0};       // On the other side.
    std::array<std::uint64_t, 2> acknowledged = {0, 0};  // In the last instant before the gate.
    int tickets_stuck_behind_gate = 0;
    int suspected_none = 0;  // How often.
    bool prepared_to_fail = false;
    bool tickets_get_stuck = false;
    std::chrono::milliseconds way{0};  // To either server: what committing a ticket takes.
    const Traffic* traffic = nullptr;

    int calls = 0;
    int trouble_at = -1;
    int trouble_for = 1;  // Consecutive calls.
    Trouble trouble = Trouble::none;
    int second_at = -1;
    Trouble second = Trouble::none;
    std::vector<std::string> names;  // Of the calls made.
    struct Late {
        Side side = Side::source;
        backfill::ControlRecord expected, next;
        int due = 0;
    };
    std::vector<Late> late;
    int late_after = 1;

    Trouble call(const std::string& what);
    bool compare_and_set(Side side,
                         const backfill::ControlRecord& expected,
                         const backfill::ControlRecord& next);
    void deliver_late(int now);
    void overtake();
    void check() const;  // What must hold at every instant.
};

// A migration that is consistent, with `authority` in charge at `epoch`.
World consistent_world(Side authority = Side::source, std::uint64_t epoch = 4);

class FakeStore : public backfill::ControlStore {
public:
    FakeStore(World& world, Side side) : world_(world), side_(side) {}
    Result<std::optional<backfill::ControlRecord>> read() override;
    std::optional<backfill::ControlRecord> glance() override;
    Status create(const backfill::ControlRecord& record) override;
    Result<backfill::Written> compare_and_set(const backfill::ControlRecord& expected,
                                              const backfill::ControlRecord& next,
                                              std::optional<std::int64_t> lease) override;

private:
    World& world_;
    Side side_;
};

class FakeSteps : public backfill::ChangeSteps {
public:
    explicit FakeSteps(World& world, std::array<backfill::AppliedPosition, 2>& applied)
        : world_(world),
          applied_(applied),
          stores_{FakeStore{world, Side::source}, FakeStore{world, Side::target}} {}

    Result<std::vector<backfill::Blocker>> blockers(Side) override;
    Status arm_fence(Side, backfill::Clock::time_point) override { return simple("arm_fence"); }
    Status close_fence(Side side, backfill::Clock::time_point) override;
    bool fence_held(Side) override { return world_.lock_held && simple("fence_held").has_value(); }
    void release_fence_lock(Side) override { world_.lock_held = false; }
    Status open_fence(Side side) override;
    Result<bool> fence_is_closed(Side side) override;
    Result<Position> log_end(Side side) override;
    Result<Position> commit_ticket(Side side) override;
    Status sequences_ahead(Side, Side) override { return simple("sequences"); }
    Status terminate_stale_backends(Side, const std::vector<int>&) override {
        world_.others_open = false;
        return simple("terminate");
    }
    backfill::ControlStore& control(Side side) override { return stores_[index(side)]; }
    Result<std::string> other_mover(Side) override { return world_.other_mover; }
    Result<bool> identity_changed(const backfill::ControlRecord& record) override {
        return world_.promoted[index(record.side)];
    }
    Status prepare(const backfill::ControlRecord& record) override;
    Status finish(const backfill::ControlRecord& tombstone, bool unfence) override;

private:
    Status simple(const std::string& what);
    World& world_;
    std::array<backfill::AppliedPosition, 2>& applied_;
    std::array<FakeStore, 2> stores_;
};

class FakeMover : public backfill::Mover {
public:
    FakeMover(World& world, std::array<backfill::AppliedPosition, 2>& applied)
        : world_(world), applied_(applied) {}
    Status start(const backfill::ControlRecord& record) override;
    void stop() override { world_.mover_started = false; }
    void set_paused(bool paused) override { world_.mover_paused = paused; }
    backfill::MoverStatus status() const override;
    backfill::AppliedPosition& applied(Side side) override { return applied_[index(side)]; }
    Status nudge(Side) override { return Done{}; }
    Status become(Side authority, Position since) override;
    std::optional<std::int64_t> lease(Side) const override {
        return world_.moved_by_another ? std::nullopt : std::optional<std::int64_t>{1};
    }
    void expect_change(std::uint64_t epoch) override { world_.change_expected = epoch; }
    std::uint64_t strays(Side side) const override { return world_.strays[index(side)]; }
    Status strays_mended(Side side, std::uint64_t count) override {
        world_.strays[index(side)] -= count;
        return Done{};
    }
    Result<std::unique_ptr<backfill::Twin>> open_twin(const std::string&,
                                                      backfill::Clock::time_point) override {
        return Error{Errc::refused, "no twins here"};
    }
    Result<backfill::Verification> verify(const backfill::VerifyRequest& request) override;
    Result<std::optional<backfill::Verification>> verified() override;
    Result<backfill::RepairReport> repair(const std::string& asked_by) override;
    Result<backfill::PassedOver> pass_stopped(const std::string&) override;
    Result<std::vector<std::string>> copy_stopped_again() override {
        world_.table_stopped = false;
        return std::vector<std::string>{"public.t"};
    }
    Result<std::vector<backfill::RepairRecord>> repairs(const std::string&) override {
        return std::vector<backfill::RepairRecord>{};
    }
    std::uint64_t verify_rows_so_far() const override { return 0; }
    void verify_in_background(std::uint64_t) override {}
    void hold_background(bool held) override { world_.background_held += held ? 1 : -1; }
    backfill::BackgroundVerification background() const override { return {}; }
    void suspect(const std::vector<backfill::Verification::TableName>&,
                 backfill::WallTime) override {}
    void suspect_none() override { ++world_.suspected_none; }
    std::vector<backfill::Suspect> suspects() const override { return {}; }

private:
    World& world_;
    std::array<backfill::AppliedPosition, 2>& applied_;
};

class FakeSessions : public Sessions {
public:
    explicit FakeSessions(World& world) : world_(world) {}
    SessionsReport report() const override { return {}; }
    ShadowReport shadow_report() const override { return world_.shadow; }
    ShiftReport shift_report() const override { return {}; }
    std::vector<int> backend_pids(Side) const override { return {}; }
    Status prestage(Side, Clock::time_point, std::chrono::milliseconds) override {
        return simple("prestage");
    }
    Status hold(Side, Clock::time_point) override;
    Status drain_notifications(const std::string&, Clock::time_point) override {
        return simple("drain");
    }
    bool any_listening() const override { return true; }
    void swap(Side side) override;
    WaitReport release() override;
    void set_gate(bool closed) override;
    void end_superseded() override { ++world_.sessions_ended; }
    void drop_other_connections() override {}

private:
    Status simple(const std::string& what);
    World& world_;
};

class FakeJournal : public Journal {
public:
    void event(const std::string& kind, const std::string& detail) override {
        lines.push_back(kind + ": " + detail);
    }
    void warning(const std::string& kind, const std::string& detail) override {
        lines.push_back(kind + "! " + detail);
    }
    void set_durable(bool) override {}
    std::vector<std::string> lines;
};

// Everything around one world; made anew after a crash.
struct Program {
    explicit Program(World& of) : world(of) { world.traffic = &traffic; }
    ~Program() { world.traffic = nullptr; }

    World& world;
    std::array<backfill::AppliedPosition, 2> applied;
    FakeSteps steps{world, applied};
    FakeMover mover{world, applied};
    FakeSessions sessions{world};
    Traffic traffic;
    FakeJournal journal;
    std::atomic<bool> stopping{false};
};

}  // namespace segue::proxy::test
