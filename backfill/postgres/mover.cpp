// The mover's face: starts run after run until it is stopped, and answers for the one that is going
// on.

#include "backfill/mover.hpp"

#include <algorithm>
#include <condition_variable>
#include <thread>

#include "backfill/postgres/copy_again.hpp"
#include "backfill/postgres/mover_checks.hpp"
#include "backfill/postgres/mover_run.hpp"
#include "backfill/postgres/other_progress.hpp"
#include "backfill/postgres/role_twin.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/twin.hpp"
#include "backfill/postgres/verification_desk.hpp"

namespace segue::backfill {

namespace {

using namespace postgres;

constexpr std::chrono::milliseconds pause_min{100}, pause_max{5000};
constexpr std::chrono::seconds good_run{10};
constexpr std::chrono::seconds copy_again_time_max{30};
// While another Segue is the mover, a commit of our clients under mirror sync waits up to so much
// longer.
constexpr std::chrono::milliseconds other_progress_interval{20};

class PostgresMover final : public Mover {
public:
    explicit PostgresMover(MoverSettings settings) {
        shared_.settings = std::move(settings);
        verifications_.verify_in_background(shared_.settings.background_rows_per_second);
    }
    ~PostgresMover() override { stop(); }

    Status start(const ControlRecord& record) override;
    void stop() override;
    void set_paused(bool paused) override;
    MoverStatus status() const override;
    AppliedPosition& applied(Side stream_of) override { return shared_.applied[index(stream_of)]; }
    Status nudge(Side stream_of) override;
    Status become(Side authority, Position since) override;
    std::optional<std::int64_t> lease(Side side) const override {
        const std::lock_guard lock{shared_.mutex};
        return shared_.leases[index(side)];
    }
    void expect_change(std::uint64_t epoch) override { shared_.own_epoch.store(epoch); }
    std::uint64_t strays(Side stream_of) const override {
        return shared_.strays[index(stream_of)].count();
    }
    Status strays_mended(Side stream_of, std::uint64_t count) override;
    Result<std::unique_ptr<Twin>> open_twin(const std::string& role,
                                            Clock::time_point deadline) override;
    Result<Verification> verify(const VerifyRequest& request) override;
    Result<std::optional<Verification>> verified() override { return verifications_.verified(); }
    Result<RepairReport> repair(const std::string& asked_by) override {
        return verifications_.repair(asked_by);
    }
    Result<PassedOver> pass_stopped(const std::string& asked_by) override {
        return verifications_.pass_stopped(asked_by);
    }
    Result<std::vector<std::string>> copy_stopped_again() override;
    Result<std::vector<RepairRecord>> repairs(const std::string& verification) override {
        return verifications_.repairs(verification);
    }
    std::uint64_t verify_rows_so_far() const override { return verifications_.rows_so_far(); }
    void verify_in_background(std::uint64_t rows_per_second) override {
        verifications_.verify_in_background(rows_per_second);
    }
    BackgroundVerification background() const override { return verifications_.background(); }
    void suspect(const std::vector<Verification::TableName>& tables, WallTime seen_at) override {
        verifications_.suspect(tables, seen_at);
    }
    void suspect_none() override { verifications_.suspect_none(); }
    std::vector<Suspect> suspects() const override { return verifications_.suspects(); }
    void hold_background(bool held) override {
        held ? verifications_.hold_background() : verifications_.let_background();
    }

private:
    void supervise();
    bool lease_of_another() const;
    bool rest(Clock::duration time, bool another_works);
    void note_end(const Error& reason, const MoverRun& run);
    void guard_disks();
    std::shared_ptr<MoverRun> current() const;
    Error not_connected() const;
    void add_tables(MoverStatus& status) const;  // Under shared_.mutex.

    MoverShared shared_;
    std::uint64_t runs_failed_ = 0;  // Both under shared_.mutex.
    std::string last_failure_;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::shared_ptr<MoverRun> run_;  // Shared with verbs in flight.
    bool stopping_ = false;
    bool alone_ = false;
    std::thread supervisor_;
    VerificationDesk verifications_{shared_, [this] { return current(); }};
};

Status PostgresMover::start(const ControlRecord& record) {
    if (supervisor_.joinable()) return Done{};
    shared_.identity.migration = shared_.settings.migration;
    shared_.identity.migration_id = record.migration_id;
    for (const Side side : {Side::source, Side::target}) {
        shared_.identity.url[index(side)] = shared_.settings.url[index(side)];
    }
    shared_.since.store(record.since.value);
    shared_.epoch.store(record.epoch);
    shared_.own_epoch.store(0);
    shared_.paused.store(record.knobs.paused);
    {
        const std::lock_guard lock{shared_.mutex};
        shared_.authority = record.authority;
        shared_.lease = LeaseState::free;
        shared_.backfill =
            record.backfill == router::Backfill::none ? router::Backfill::copying : record.backfill;
    }
    {
        const std::lock_guard lock{
            mutex_};  // It may have been stopped before: for a finish that failed.
        stopping_ = false;
    }
    verifications_.start();
    supervisor_ = std::thread{[this] { supervise(); }};
    return Done{};
}

void PostgresMover::stop() {
    {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
        verifications_.stop();
        if (run_) run_->stop();
    }
    wake_.notify_all();
    verifications_.join();
    if (supervisor_.joinable()) supervisor_.join();
    const std::lock_guard lock{mutex_};
    run_.reset();  // Status must not speak of it any more.
}

std::shared_ptr<MoverRun> PostgresMover::current() const {
    const std::lock_guard lock{mutex_};
    return run_;
}

Error PostgresMover::not_connected() const {
    const std::lock_guard lock{shared_.mutex};
    const std::string& why = shared_.invalid.empty() ? last_failure_ : shared_.invalid;
    return {Errc::closed, "the mover is not connected" + (why.empty() ? "" : ": " + why)};
}

void PostgresMover::supervise() {
    auto pause = pause_min;
    for (;;) {
        const auto run = std::make_shared<MoverRun>(shared_, alone_);
        {
            const std::lock_guard lock{mutex_};
            if (stopping_) return;
            run_ = run;
        }
        const auto begun_at = Clock::now();
        const Error reason = run->serve();
        {
            const std::lock_guard lock{mutex_};
            if (stopping_) return;
        }
        note_end(reason, *run);
        guard_disks();
        // What changes its tables every second would else never be copied.
        if (run->ended_to_begin_anew() || Clock::now() - begun_at > good_run) pause = pause_min;
        {
            const std::lock_guard lock{mutex_};
            run_.reset();
        }
        if (rest(pause, lease_of_another())) return;
        pause = std::min(pause * 2, pause_max);
    }
}

bool PostgresMover::lease_of_another() const {
    const std::lock_guard lock{shared_.mutex};
    return shared_.lease == LeaseState::of_another;
}

// Between two runs. True when the mover is being stopped.
bool PostgresMover::rest(Clock::duration time, bool another_works) {
    const auto until = Clock::now() + time;
    const auto stopping = [&] { return stopping_; };
    std::unique_lock lock{mutex_};
    if (!another_works) return wake_.wait_until(lock, until, stopping);
    OtherProgress other{shared_};
    while (!stopping_ && Clock::now() < until) {
        lock.unlock();
        other.publish();
        lock.lock();
        wake_.wait_for(lock, other_progress_interval, stopping);
    }
    return stopping_;
}

void PostgresMover::note_end(const Error& reason, const MoverRun& run) {
    const std::lock_guard lock{shared_.mutex};
    const Side authority = shared_.authority;
    alone_ = !run.stopped_table().empty();
    shared_.schema_stop = run.stopped_by_schema() ? reason.detail : std::string{};
    if (run.ended_to_begin_anew()) return;
    std::string& problem = shared_.stream_problem[index(authority)];
    problem = reason.detail;
    for (auto& [name, figures] : shared_.tables) {
        const bool stopped = run.stopped_table() == name.first + "." + name.second;
        figures.stopped_because = stopped ? reason.detail : std::string{};
        if (stopped) problem += "; mend it there, or run `segue repair`";
    }
    ++runs_failed_;
    last_failure_ = reason.detail;
    // The first reason stays: what follows from a slot that was given up says less.
    if (reason.code == Errc::refused && shared_.invalid.empty()) shared_.invalid = reason.detail;
}

// Law 11, also while the other side is gone and nothing runs: a slot that holds back more than the
// cap goes.
void PostgresMover::guard_disks() {
    if (shared_.settings.retained_log_bytes_max == 0) return;
    for (const Side side : {Side::source, Side::target}) {
        const std::string slot = slot_name(shared_.settings.migration, side);
        auto connection = Connection::open(shared_.identity.url[index(side)], {});
        if (!connection) continue;
        const auto over = connection->execute(
            "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1 AND"
            " pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn) > $2::numeric",
            {slot, std::to_string(shared_.settings.retained_log_bytes_max)});
        if (!over || over->size() == 0) continue;
        if (!over->null(0, 0)) {
            auto ended = connection->execute("SELECT pg_terminate_backend($1::integer, 5000)",
                                             {over->text(0, 0)});
            if (!ended) continue;
        }
        if (auto dropped = connection->execute("SELECT pg_drop_replication_slot($1)", {slot});
            !dropped)
            continue;
        const std::lock_guard lock{shared_.mutex};
        shared_.invalid = "the copy is invalid: the log retained on the " +
                          std::string{name(side)} + " reached [limits] retained_log_mb and slot " +
                          slot +
                          " was given up to save its disk; finish this migration and start again";
    }
}

void PostgresMover::set_paused(bool paused) {
    shared_.paused.store(paused);
    if (const auto run = current()) run->set_paused(paused);
}

Status PostgresMover::nudge(Side stream_of) {
    const auto run = current();
    if (!run) return not_connected();
    return run->nudge(stream_of);
}

Status PostgresMover::become(Side authority, Position since) {
    bool changed = false;
    {
        const std::lock_guard lock{shared_.mutex};
        changed = shared_.authority != authority || shared_.since.load() != since.value;
        shared_.authority = authority;
        shared_.since.store(since.value);
        shared_.epoch.store(std::max(shared_.epoch.load(), shared_.own_epoch.load()));
        shared_.lease = LeaseState::free;
    }
    if (changed) {
        for (StrayCount& strays : shared_.strays) strays.reset(0, {});
    }
    // A run that is not there, or ends now, is followed by one that reads the roles anew.
    if (const auto run = current()) run->set_role(authority, since);
    return Done{};
}

// Only what is on record is forgotten: what was found since stays, there and here.
Status PostgresMover::strays_mended(Side stream_of, std::uint64_t count) {
    if (count == 0) return Done{};
    const auto run = current();
    if (!run) return Error{Errc::closed, "the mover is not connected"};
    auto record = run->link(other(stream_of), LinkKind::writer);
    if (!record) return record.error();
    const std::uint64_t since = shared_.since.load();
    if (const Status forgotten = forget_strays(**record, stream_of, since, count); !forgotten)
        return forgotten;
    auto left = read_strays(**record, stream_of, since);
    if (!left) return left.error();
    shared_.strays[index(stream_of)].mended(count, left->tables);
    return Done{};
}

Result<std::unique_ptr<Twin>> PostgresMover::open_twin(const std::string& role,
                                                       Clock::time_point deadline) {
    const auto run = current();
    if (!run) return not_connected();
    {
        const std::lock_guard lock{shared_.mutex};
        if (shared_.backfill != router::Backfill::consistent) {
            return Error{Errc::refused, "the copy is not consistent yet"};
        }
    }
    return open_role_twin(run, shared_, role, deadline);
}

Result<Verification> PostgresMover::verify(const VerifyRequest& request) {
    const auto run = current();
    if (!run || !run->authority_stream()) return not_connected();
    return verifications_.verify(request);
}

Result<std::vector<std::string>> PostgresMover::copy_stopped_again() {
    std::set<TableName> stopped;
    {
        const std::lock_guard lock{shared_.mutex};
        for (const auto& [name, figures] : shared_.tables) {
            if (!figures.stopped_because.empty()) stopped.insert(name);
        }
    }
    std::vector<std::string> names;
    for (const TableName& name : stopped) names.push_back(name.first + "." + name.second);
    if (stopped.empty()) return names;
    if (const Status emptied = empty_for_copy(shared_, stopped, Clock::now() + copy_again_time_max);
        !emptied)
        return emptied.error();
    const auto run = current();
    const auto stream = run ? run->authority_stream() : nullptr;
    if (stream) stream->pipe().fail(Error{Errc::closed, "a table is copied again"});
    return names;
}

void PostgresMover::add_tables(MoverStatus& status) const {
    std::uint64_t estimate = 0;
    bool estimated = true;
    for (const auto& [name, figures] : shared_.tables) {
        TableProgress table;
        table.schema = name.first;
        table.name = name.second;
        table.rows_copied = figures.rows_copied;
        table.rows_total_estimate = figures.rows_estimate;
        table.stopped_because = figures.stopped_because;
        if (!figures.stopped_because.empty()) {
            table.state = "stopped";
        } else if (shared_.backfill == router::Backfill::consistent) {
            table.state = "consistent";
        } else if (shared_.indexing) {
            table.state = "indexing";
        } else {
            table.state = figures.loaded ? "loaded" : figures.started ? "copying" : "waiting";
        }
        status.rows_copied += figures.rows_copied;
        status.bytes_copied += figures.bytes_copied;
        estimated = estimated && figures.rows_estimate.has_value();
        estimate += std::max(figures.rows_estimate.value_or(0), figures.rows_copied);
        status.tables.push_back(std::move(table));
    }
    if (!status.tables.empty() && estimated) status.rows_total_estimate = estimate;
}

MoverStatus PostgresMover::status() const {
    MoverStatus status;
    const auto run = current();
    status.running = run != nullptr;
    status.paused = shared_.paused.load();
    for (const Side side : {Side::source, Side::target}) {
        StreamStatus& stream = status.streams[index(side)];
        if (run) stream = run->stream_status(side);
        stream.applied = shared_.applied[index(side)].current();
        status.stray_writes += shared_.strays[index(side)].count();
        for (std::string& table : shared_.strays[index(side)].tables()) {
            status.stray_write_tables.push_back(std::move(table));
        }
    }
    const std::lock_guard lock{shared_.mutex};
    status.backfill = shared_.backfill;
    status.runs_failed = runs_failed_;
    status.moved_by_another = shared_.lease == LeaseState::of_another;
    status.superseded = shared_.lease == LeaseState::superseded;
    status.last_failure = last_failure_;
    add_tables(status);
    for (const Side side : {Side::source, Side::target}) {
        StreamStatus& stream = status.streams[index(side)];
        const SideFigures& figures = shared_.sides[index(side)];
        if (figures.known) {
            stream.retained_log_bytes = figures.retained_log_bytes;
            // Before the applier has told, nothing is known: zero would count as all of the log.
            if (stream.applied.value != 0) {
                stream.lag_bytes =
                    figures.log_end.value - std::min(figures.log_end.value, stream.applied.value);
                // What the server has not sent yet is not among the commits that have arrived. (Of
                // a stream that is only watched the position is written now and then.)
                const double age = side == shared_.authority
                                       ? figures.trail.age(stream.applied, Clock::now()).count()
                                       : 0;
                stream.lag_seconds = std::max(stream.lag_seconds.value_or(0), age);
            }
        }
        // A run that began again where the last one failed (a full disk) has not mended it before
        // something went through.
        if (!stream.connected || !stream.reverse_ready)
            stream.problem = shared_.stream_problem[index(side)];
    }
    status.invalid = !shared_.invalid.empty();
    if (status.invalid) status.problems.push_back(shared_.invalid);
    if (const auto& work = shared_.schema_work) {
        status.schema_work = work->what + (work->waits_for.empty() ? "" : ": " + work->waits_for);
        status.schema_work_since = work->since;
    }
    const std::string& problem = shared_.stream_problem[index(shared_.authority)];
    if (!status.streams[index(shared_.authority)].problem.empty()) {
        if (problem != shared_.invalid) status.problems.push_back(problem);
        status.schema_stop = shared_.schema_stop;
    }
    if (status.backfill == router::Backfill::copying && shared_.copying_since &&
        status.rows_total_estimate) {
        const double seconds =
            std::chrono::duration<double>(Clock::now() - *shared_.copying_since).count();
        const auto copied = static_cast<double>(
            status.rows_copied - std::min(status.rows_copied, shared_.copied_when_started));
        const auto left = static_cast<double>(*status.rows_total_estimate - status.rows_copied);
        if (copied > 0) status.eta_seconds = left * seconds / copied;
    }
    return status;
}

}  // namespace

std::unique_ptr<Mover> make_postgres_mover(MoverSettings settings) {
    return std::make_unique<PostgresMover>(std::move(settings));
}

}  // namespace segue::backfill
