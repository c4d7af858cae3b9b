#include "tests/simulation/process.hpp"

#include <atomic>
#include <mutex>

#include "proxy/conductor.hpp"
#include "proxy/recover.hpp"
#include "tests/simulation/world.hpp"

namespace segue::simulation {

using backfill::ControlRecord;
using backfill::Written;

namespace {

constexpr unsigned life_ticks = 3000;
constexpr unsigned patience_ticks = 60'000;
constexpr unsigned changes_max = 4;

Error broken() { return Error{Errc::closed, "the connection was lost"}; }

class Store final : public backfill::ControlStore {
public:
    Store(World& world, Side side) : world_(world), side_(side) {}

    // Recovery reads both at once, by two threads: then nothing happens meanwhile.
    Result<std::optional<ControlRecord>> read() override {
        if (world_.serving) world_.call();
        const Database& database = world_.shared.at(side_);
        if (database.reachable) return database.meta().control;
        if (!world_.rules.unreadable_is_not_absent) return std::optional<ControlRecord>{};
        return broken();
    }
    std::optional<ControlRecord> glance() override {
        const auto record = read();
        return record ? *record : std::nullopt;
    }
    Status create(const ControlRecord&) override { return broken(); }

    Result<Written> compare_and_set(const ControlRecord& expected,
                                    const ControlRecord& next,
                                    std::optional<std::int64_t>) override {
        world_.call();
        if (!world_.shared.at(side_).reachable || world_.trouble(4)) return broken();
        if (world_.trouble(4)) {
            world_.late.push_back({side_, expected, next});
            return lost();
        }
        const bool same = world_.compare_and_set(side_, expected, next);
        if (world_.trouble(4)) return lost();
        return same ? Written::yes : Written::conflict;
    }

private:
    Result<Written> lost() const {
        if (world_.rules.lost_answer_is_unknown) return Written::unknown;
        return broken();  // As if nothing had been sent.
    }
    World& world_;
    const Side side_;
};

class Steps final : public backfill::ChangeSteps {
public:
    explicit Steps(World& world)
        : world_(world), stores_{Store{world, Side::source}, Store{world, Side::target}} {}

    Result<std::vector<backfill::Blocker>> blockers(Side) override {
        return std::vector<backfill::Blocker>{};
    }
    Status arm_fence(Side side, backfill::Clock::time_point) override { return reach(side); }

    Status close_fence(Side side, backfill::Clock::time_point) override {
        if (const Status reached = reach(side); !reached) return reached;
        Database& database = world_.shared.at(side);
        const std::uint64_t crashes = database.crashes;
        database.fence_closed = true;
        for (int i = 0; i < waits && world_.rules.fence_waits_for_writers; ++i) {
            if (!database.writers_open()) break;
            world_.tick();
        }
        if (world_.rules.fence_waits_for_writers && database.writers_open())
            return Error{Errc::timed_out, "somebody still writes"};
        database.fence_locked = database.crashes == crashes;
        return database.fence_locked ? Status{Done{}} : Status{broken()};
    }
    bool fence_held(Side side) override { return world_.shared.at(side).fence_locked; }
    void release_fence_lock(Side side) override { world_.shared.at(side).fence_locked = false; }
    Status open_fence(Side side) override {
        if (const Status reached = reach(side); !reached) return reached;
        world_.shared.at(side).fence_closed = false;
        world_.check_fences();
        return Done{};
    }
    Result<bool> fence_is_closed(Side side) override {
        if (const Status reached = reach(side); !reached) return reached.error();
        return world_.shared.at(side).fence_closed;
    }
    Result<Position> log_end(Side side) override {
        if (const Status reached = reach(side); !reached) return reached.error();
        return world_.shared.at(side).inserted();
    }
    Result<Position> commit_ticket(Side side) override {
        if (const Status reached = reach(side); !reached) return reached.error();
        world_.shared.at(side).commit_ticket();
        return world_.shared.at(side).inserted();
    }
    Status sequences_ahead(Side, Side to) override { return reach(to); }
    Status terminate_stale_backends(Side side, const std::vector<int>&) override {
        return reach(side);
    }
    backfill::ControlStore& control(Side side) override { return stores_[index(side)]; }
    Result<std::string> other_mover(Side) override { return std::string{}; }
    Result<bool> identity_changed(const ControlRecord&) override { return false; }
    Status prepare(const ControlRecord&) override { return broken(); }
    Status finish(const ControlRecord&, bool) override { return broken(); }

private:
    static constexpr int waits = 2000;

    Status reach(Side side) {
        world_.call();
        if (!world_.shared.at(side).reachable || world_.trouble(1)) return broken();
        return Done{};
    }
    World& world_;
    std::array<Store, 2> stores_;
};

class Mover final : public backfill::Mover {
public:
    explicit Mover(World& world) : world_(world) { world.shared.applied = &applied_; }
    ~Mover() override { world_.shared.applied = nullptr; }

    Status start(const ControlRecord& record) override {
        world_.shared.authority = record.authority;
        world_.shared.since = record.since;
        world_.mover_started = true;
        return Done{};
    }
    void stop() override {}
    void set_paused(bool) override {}
    backfill::MoverStatus status() const override {
        backfill::MoverStatus status;
        status.running = world_.run && !world_.run->failed();
        status.backfill = router::Backfill::consistent;
        for (backfill::StreamStatus& stream : status.streams)
            stream.connected = stream.reverse_ready = status.running;
        return status;
    }
    backfill::AppliedPosition& applied(Side side) override { return applied_[index(side)]; }

    // Until everything up to now is on the other side.
    Status nudge(Side side) override {
        const Position end = world_.shared.at(side).flushed();
        const bool no_way_back = !world_.rules.way_back_before_consistent && side == Side::target;
        if (!world_.rules.wait_for_the_tickets || no_way_back) applied_[index(side)].publish(end);
        for (int i = 0; i < waits && applied_[index(side)].current() < end; ++i) {
            if (world_.run && i % 50 == 0) world_.run->request_checkpoint(side);
            world_.tick();
        }
        // Who waits for it next would wait by the clock.
        if (applied_[index(side)].current() >= end) return Done{};
        return Error{Errc::timed_out, "the stream does not get on"};
    }
    Status become(Side authority, Position since) override {
        world_.call();
        world_.shared.authority = authority;
        world_.shared.since = since;
        world_.shared.strays[0] = world_.shared.strays[1] = 0;
        if (world_.run && !world_.run->failed()) world_.run->set_role();
        return Done{};
    }
    std::optional<std::int64_t> lease(Side) const override { return 1; }
    void expect_change(std::uint64_t) override {}
    std::uint64_t strays(Side side) const override { return world_.shared.strays[index(side)]; }
    Status strays_mended(Side, std::uint64_t) override { return broken(); }
    Result<std::unique_ptr<backfill::Twin>> open_twin(const std::string&,
                                                      backfill::Clock::time_point) override {
        return broken();
    }
    Result<backfill::Verification> verify(const backfill::VerifyRequest&) override {
        return broken();
    }
    Result<std::optional<backfill::Verification>> verified() override { return broken(); }
    Result<backfill::RepairReport> repair(const std::string&) override { return broken(); }
    Result<std::vector<backfill::RepairRecord>> repairs(const std::string&) override {
        return broken();
    }
    Result<backfill::PassedOver> pass_stopped(const std::string&) override { return broken(); }
    Result<std::vector<std::string>> copy_stopped_again() override { return broken(); }
    std::uint64_t verify_rows_so_far() const override { return 0; }
    void verify_in_background(std::uint64_t) override {}
    void hold_background(bool) override {}
    backfill::BackgroundVerification background() const override { return {}; }
    void suspect(const std::vector<backfill::Verification::TableName>&,
                 backfill::WallTime) override {}
    void suspect_none() override {}
    std::vector<backfill::Suspect> suspects() const override { return {}; }

private:
    static constexpr int waits = 4000;
    World& world_;
    std::array<backfill::AppliedPosition, 2> applied_;
};

class Sessions final : public proxy::Sessions {
public:
    explicit Sessions(World& world) : world_(world) {}
    proxy::SessionsReport report() const override { return {}; }
    proxy::ShadowReport shadow_report() const override { return {}; }
    proxy::ShiftReport shift_report() const override { return {}; }
    std::vector<int> backend_pids(Side) const override { return {}; }
    Status prestage(Side, backfill::Clock::time_point, std::chrono::milliseconds) override {
        return Done{};
    }
    Status hold(Side, backfill::Clock::time_point) override {
        world_.call();
        world_.held = true;
        for (int i = 0; i < waits && !world_.clients_are_quiet(); ++i) world_.tick();
        if (world_.clients_are_quiet() && !world_.trouble(5)) return Done{};
        return Error{Errc::timed_out, "a transaction stays open"};
    }
    Status drain_notifications(const std::string&, backfill::Clock::time_point) override {
        return Done{};
    }
    bool any_listening() const override { return false; }
    void swap(Side side) override {
        world_.call();
        world_.route = side;
        ++world_.changes;
    }
    proxy::WaitReport release() override {
        world_.call();
        world_.held = false;
        return {};
    }
    void set_gate(bool) override {}
    void end_superseded() override {}
    void drop_other_connections() override {}

private:
    static constexpr int waits = 2000;
    World& world_;
};

class Journal final : public proxy::Journal {
public:
    void event(const std::string&, const std::string&) override {}
    void warning(const std::string&, const std::string&) override {}
    void set_durable(bool) override {}
};

// One process from its start to its crash.
class Process {
public:
    explicit Process(World& world) : world_(world) {}

    void step() {
        if (!world_.serving) return recover();
        const bool ready = world_.run && world_.run->consistent() && !world_.run->failed();
        if (!ready || world_.changes >= changes_max || !world_.trouble(5)) return;
        const auto report =
            proxy::change_authority({steps_, mover_, sessions_, traffic_, journal_, stopping_},
                                    limits(),
                                    other(world_.route));
        if (report.interrupted) world_.shared.violate("a change was interrupted");
    }

private:
    // Nothing is waited for by the clock: what happens follows from the seed.
    static proxy::ChangeLimits limits() {
        proxy::ChangeLimits limits;
        limits.connect = limits.probe = limits.retry_pause = std::chrono::milliseconds{0};
        limits.drain = limits.deadline = std::chrono::hours{24};
        return limits;
    }

    void recover() {
        world_.call();
        if (!world_.rules.recover_before_serving) {
            const Meta& meta = world_.shared.at(Side::source).meta();
            return serve(meta.control.value());
        }
        const proxy::RecoveryRound round = proxy::recover_once(steps_, journal_, "simulated");
        if (round.waiting_for.starts_with("refused"))
            return world_.shared.violate("recovery refuses a history of our own: " +
                                         round.waiting_for);
        if (!round.through) return;
        if (!round.record) return world_.shared.violate("recovery has forgotten the migration");
        serve(*round.record);
    }
    void serve(const ControlRecord& record) {
        (void)mover_.start(record);
        world_.route = record.authority;
        world_.serving = true;
    }

    World& world_;
    Steps steps_{world_};
    Mover mover_{world_};
    Sessions sessions_{world_};
    proxy::Traffic traffic_;
    Journal journal_;
    std::atomic<bool> stopping_{false};
};

// Nothing new begins; what is under way comes to its end.
bool at_rest(const World& world) {
    if (!world.serving || world.held || !world.late.empty() || !world.clients_are_quiet())
        return false;
    if (!world.run || world.run->failed() || !world.run->consistent()) return false;
    for (const Side side : {Side::source, Side::target}) {
        const Database& database = world.shared.databases[index(side)];
        if (database.writers_open() || database.flushed() < database.inserted()) return false;
    }
    const Position end = world.shared.databases[index(world.route)].flushed();
    return (*world.shared.applied)[index(world.route)].current() >= end;
}

}  // namespace

Outcome live(std::uint64_t seed, const Rules& rules, bool rogues) {
    World world{rules, seed};
    world.shared.rogues = rogues;
    auto process = std::make_unique<Process>(world);
    bool rest = false;
    for (unsigned tick = 0; tick < life_ticks + patience_ticks; ++tick) {
        if (!world.shared.violation.empty()) break;
        if (tick == life_ticks) {
            world.story.quiet = true;
            for (Database& database : world.shared.databases) database.reachable = true;
        }
        try {
            if (tick % 10 == 0) process->step();
            world.tick();
        } catch (const Crash&) {
            world.process_is_gone();
            process.reset();
            process = std::make_unique<Process>(world);
        }
        rest = world.story.quiet && at_rest(world);
        if (rest || (rogues && world.shared.stopped_by_a_miss)) break;
    }
    const bool noticed = rogues && world.shared.stopped_by_a_miss;
    if (rest) world.check_the_end();
    if (!rest && !noticed) world.shared.violate("it does not come to rest");
    return {world.shared.violation,
            world.commits,
            world.changes,
            world.restarts,
            static_cast<unsigned>(world.shared.databases[0].crashes +
                                  world.shared.databases[1].crashes),
            static_cast<unsigned>(world.shared.twins)};
}

}  // namespace segue::simulation
