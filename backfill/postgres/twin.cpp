#include "backfill/postgres/twin.hpp"

#include <thread>
#include <utility>

#include "backfill/postgres/lock_retry.hpp"
#include "backfill/snapshot.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::milliseconds step{2};
constexpr std::chrono::seconds boundary_time_max{10};

Error late() {
    return Error{Errc::timed_out, "the two sides could not be brought to the same state in time"};
}

Side authority_of(const MoverShared& shared) {
    const std::lock_guard lock{shared.mutex};
    return shared.authority;
}

// Locks before snapshots: DDL must not happen between them and the reads. The stream is held
// meanwhile, so a lock that is not free soon is asked for again later.
Status begin_and_lock(Connection& connection, const std::vector<Table>& tables) {
    auto begun = connection.execute(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '200ms'");
    if (!begun) return begun.error();
    std::string names;
    for (const Table& table : tables)
        names += (names.empty() ? "ONLY " : ", ONLY ") + table.qualified_name();
    if (names.empty()) return Done{};
    auto locked = connection.execute("LOCK TABLE " + names + " IN ACCESS SHARE MODE");
    if (!locked) return locked.error();
    return Done{};
}

Status end_transaction(Connection& connection) {
    if (!connection.good()) return Error{Errc::closed, "a twin's connection was broken"};
    if (PQtransactionStatus(connection.raw()) == PQTRANS_IDLE) return Done{};
    auto ended = connection.execute("ROLLBACK");
    if (!ended) return ended.error();
    return Done{};
}

struct AuthoritySnapshot {
    Snapshot snapshot;
    Position inserted, flushed;
};

Result<AuthoritySnapshot> take_snapshot(Connection& connection) {
    const auto rows = connection.execute(
        "SELECT pg_current_snapshot(), pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn()");
    if (!rows) return rows.error();
    auto snapshot = parse_snapshot(rows->at(0, 0));
    if (!snapshot) return snapshot.error();
    return AuthoritySnapshot{std::move(*snapshot),
                             parse_lsn(rows->at(0, 1)).value_or(Position{}),
                             parse_lsn(rows->at(0, 2)).value_or(Position{})};
}

// Under the hold: until a snapshot sees all that was dispatched. No lock of ours waits for that.
Status wait_until_seen(StreamPipe& pipe, Connection& prober, Clock::time_point deadline) {
    for (;;) {
        // What one snapshot sees, every later one sees.
        const auto tried = take_snapshot(prober);
        if (!tried) return tried.error();
        if (pipe.sees_all_dispatched(tried->snapshot, pipe.position())) return Done{};
        if (Clock::now() > deadline) return late();
        std::this_thread::sleep_for(step);
    }
}

// Under the hold. When it returns, the follower has exactly the commits that `reader`'s snapshot
// sees; all of them stand below the position.
Result<Position> reach_same_state(MoverStream& stream,
                                  Connection& reader,
                                  Connection& prober,
                                  Clock::time_point deadline) {
    StreamPipe& pipe = stream.pipe();
    const auto taken = take_snapshot(reader);
    if (!taken) return taken.error();
    if (taken->flushed < taken->inserted) {
        auto ticket = prober.execute("UPDATE segue.ticket SET number = number + 1");
        if (!ticket) return ticket.error();
    }
    pipe.align(taken->snapshot, taken->inserted);
    for (;;) {
        stream.reader().nudge();
        const auto aligned = pipe.wait_aligned(step);
        if (!aligned) return aligned.error();
        if (*aligned) break;
        if (Clock::now() > deadline) return late();
    }
    for (;;) {
        const auto drained = pipe.wait_drained(step);
        if (!drained) return drained.error();
        if (*drained) return taken->inserted;
        if (Clock::now() > deadline) return late();
    }
}

// A hold that has let the stream go on in part must end between two transactions.
void settle(StreamPipe& pipe) {
    const auto deadline = Clock::now() + boundary_time_max;
    while (Clock::now() < deadline) {
        const auto at_boundary = pipe.wait_boundary(step);
        if (!at_boundary || *at_boundary) return;
    }
}

}  // namespace

PostgresTwin::PostgresTwin(std::shared_ptr<MoverRun> run,
                           MoverShared& shared,
                           MoverLink source,
                           MoverLink target)
    : run_(std::move(run)), shared_(shared), links_{std::move(source), std::move(target)} {}

Result<std::unique_ptr<PostgresTwin>> PostgresTwin::open(std::shared_ptr<MoverRun> run,
                                                         MoverShared& shared) {
    auto source = run->link(Side::source, LinkKind::reader);
    if (!source) return source.error();
    auto target = run->link(Side::target, LinkKind::reader);
    if (!target) return target.error();
    return std::make_unique<PostgresTwin>(
        std::move(run), shared, std::move(*source), std::move(*target));
}

Result<std::vector<Twin::Row>> PostgresTwin::query(
    Side side,
    const std::string& sql,
    const std::vector<std::optional<std::string>>& parameters,
    std::size_t rows_max) {
    const auto rows = links_[index(side)]->execute(sql, parameters);
    if (!rows) return rows.error();
    const auto count = static_cast<std::size_t>(rows->size());
    if (count > rows_max) return Error{Errc::too_large, "a twin's query returned too many rows"};
    std::vector<Row> result(count);
    for (std::size_t i = 0; i < count; ++i) {
        const int row = static_cast<int>(i);
        for (int column = 0; column < PQnfields(rows->raw()); ++column) {
            result[i].push_back(rows->null(row, column)
                                    ? std::nullopt
                                    : std::optional<std::string>{rows->text(row, column)});
        }
    }
    return result;
}

Status PostgresTwin::end() {
    Status ended = Done{};
    for (MoverLink& link : links_) {
        if (Status one = end_transaction(*link); !one && ended) ended = std::move(one);
    }
    guard_.reset();
    return ended;
}

Status PostgresTwin::open_prober(Side authority) {
    if (prober_ && prober_side_ == authority && (*prober_)->good()) return Done{};
    auto opened = run_->link(authority, LinkKind::writer);
    if (!opened) return opened.error();
    prober_.reset();
    prober_.emplace(std::move(*opened));
    prober_side_ = authority;
    return Done{};
}

// The authority's locks are taken when its snapshot is about to follow, the follower's when it has
// drained: nobody waits for a lock of ours while we wait for the stream or for commits to become
// visible.
Status PostgresTwin::try_same_state(const std::vector<Table>& tables,
                                    Clock::time_point deadline,
                                    const std::function<Status()>& then) {
    if (Status ended = end(); !ended) return ended;
    const Side authority = authority_of(shared_);
    const auto stream = run_->authority_stream();
    if (!stream) return Error{Errc::closed, "the authority's stream is not open"};
    if (Status opened = open_prober(authority); !opened) return opened;
    std::set<TableName> names;
    for (const Table& table : tables) names.emplace(table.schema, table.name);
    guard_.emplace(run_->twins(), PQsocket(connection(other(authority)).raw()), std::move(names));
    const auto hold = StreamHold::take(stream->pipe(), deadline, []() -> Status { return Done{}; });
    if (!hold) return hold.error();
    Status same = wait_until_seen(stream->pipe(), **prober_, deadline);
    if (same) same = begin_and_lock(connection(authority), tables);
    if (same) {
        const auto reached = reach_same_state(*stream, connection(authority), **prober_, deadline);
        if (reached) positions_[index(authority)] = *reached;
        same = reached ? Status{Done{}} : Status{reached.error()};
    }
    if (same) same = begin_and_lock(connection(other(authority)), tables);
    if (same) same = then();
    settle(stream->pipe());
    return same;
}

Status PostgresTwin::at_same_state(const std::vector<Table>& tables,
                                   Clock::time_point deadline,
                                   const std::function<Status()>& then) {
    return retry_locked(deadline, [&]() -> Status {
        Status reached = try_same_state(tables, deadline, then);
        if (reached) return reached;
        // Nothing of an attempt stays, nor does a lock while the next one is waited for.
        if (Status ended = end(); !ended && ended.error().code == Errc::closed) return ended;
        return reached;
    });
}

Status PostgresTwin::renew(const std::vector<Table>& tables, Clock::time_point deadline) {
    return at_same_state(tables, deadline, [this]() -> Status {
        const Side follower = other(authority_of(shared_));
        const auto taken = connection(follower).execute(
            "SELECT pg_current_snapshot(), pg_current_wal_insert_lsn()");
        if (!taken) return taken.error();
        positions_[index(follower)] = parse_lsn(taken->at(0, 1)).value_or(Position{});
        return Done{};
    });
}

}  // namespace segue::backfill::postgres
