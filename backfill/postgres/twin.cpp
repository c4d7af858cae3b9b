#include "backfill/postgres/twin.hpp"

#include <algorithm>
#include <map>
#include <thread>

#include "backfill/postgres/lock_retry.hpp"
#include "backfill/postgres/store.hpp"
#include "backfill/postgres/text_array.hpp"
#include "backfill/snapshot.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::milliseconds step{2};
constexpr std::chrono::seconds boundary_time_max{10};
// Writer number in segue.progress of a refresh.
constexpr int refresh_writer = 1000;
constexpr std::size_t refresh_keys_max = 1000;

Error late() { return Error{Errc::timed_out, "the two sides could not be brought to the same state in time"}; }

Side authority_of(const MoverShared& shared) {
    const std::lock_guard lock{shared.mutex};
    return shared.authority;
}

// Locks before snapshots: DDL must not happen between them and the reads.
Status begin_and_lock(Connection& connection, const std::vector<Table>& tables) {
    auto begun = connection.execute(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '500ms'");
    if (!begun) return begun.error();
    std::string names;
    for (const Table& table : tables) names += (names.empty() ? "ONLY " : ", ONLY ") + table.qualified_name();
    if (names.empty()) return Done{};
    auto locked = connection.execute("LOCK TABLE " + names + " IN ACCESS SHARE MODE");
    if (!locked) return locked.error();
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

// Under the hold. When it returns, the follower has exactly the commits that `reader`'s snapshot sees.
Status reach_same_state(MoverStream& stream, Connection& reader, Connection& prober, Clock::time_point deadline) {
    StreamPipe& pipe = stream.pipe();
    for (;;) {
        // What one snapshot sees, every later one sees.
        const auto tried = take_snapshot(prober);
        if (!tried) return tried.error();
        if (pipe.sees_all_dispatched(tried->snapshot, pipe.position())) break;
        if (Clock::now() > deadline) return late();
        std::this_thread::sleep_for(step);
    }
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
        if (*drained) return Done{};
        if (Clock::now() > deadline) return late();
    }
}

class PostgresTwin final : public Twin {
public:
    PostgresTwin(std::shared_ptr<MoverRun> run, MoverLink source, MoverLink target, Side follower)
        : run_(std::move(run)),
          links_{std::move(source), std::move(target)},
          guard_(run_->twins(), PQsocket(links_[index(follower)]->raw())) {}

    Result<std::vector<Row>> query(Side side,
                                   const std::string& sql,
                                   const std::vector<std::optional<std::string>>& parameters,
                                   std::size_t rows_max) override {
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

    Connection& connection(Side side) { return *links_[index(side)]; }

private:
    std::shared_ptr<MoverRun> run_;
    MoverLink links_[2];
    TwinGuard::Entry guard_;
};

// On both sides or on none: while one side's locks are waited for, nobody queues behind the other's. Each try gives
// up after its lock timeout, so that whoever waits behind it goes first.
Status lock_both(PostgresTwin& twin, const std::vector<Table>& tables, Clock::time_point deadline) {
    return retry_locked(deadline, [&]() -> Status {
        Status locked = Done{};
        for (const Side side : {Side::source, Side::target}) {
            if (locked) locked = begin_and_lock(twin.connection(side), tables);
        }
        if (locked || !met_a_lock(locked.error())) return locked;
        for (const Side side : {Side::source, Side::target}) {
            if (auto undone = twin.connection(side).execute("ROLLBACK"); !undone) return undone.error();
        }
        return locked;
    });
}

// A hold that has let the stream go on in part must end between two transactions.
void settle(StreamPipe& pipe) {
    const auto deadline = Clock::now() + boundary_time_max;
    while (Clock::now() < deadline) {
        const auto at_boundary = pipe.wait_boundary(step);
        if (!at_boundary || *at_boundary) return;
    }
}

// Opens the links, holds the stream, reaches the same state, and calls `then` before the stream goes on.
template <class Then>
Status with_same_state(const std::shared_ptr<MoverRun>& run,
                       MoverShared& shared,
                       PostgresTwin& twin,
                       Clock::time_point deadline,
                       Then then) {
    const Side authority = authority_of(shared);
    const auto stream = run->authority_stream();
    if (!stream) return Error{Errc::closed, "the authority's stream is not open"};
    auto prober = run->link(authority, LinkKind::writer);
    if (!prober) return prober.error();
    if (Status locked = lock_both(twin, run->authority_tables(), deadline); !locked) return locked;
    const auto hold = StreamHold::take(stream->pipe(), deadline, []() -> Status { return Done{}; });
    if (!hold) return hold.error();
    Status same = reach_same_state(*stream, twin.connection(authority), **prober, deadline);
    if (same) same = then();
    settle(stream->pipe());
    return same;
}

Result<std::unique_ptr<PostgresTwin>> make_twin(const std::shared_ptr<MoverRun>& run, Side follower) {
    auto source = run->link(Side::source, LinkKind::reader);
    if (!source) return source.error();
    auto target = run->link(Side::target, LinkKind::reader);
    if (!target) return target.error();
    return std::make_unique<PostgresTwin>(run, std::move(*source), std::move(*target), follower);
}

}  // namespace

Result<std::unique_ptr<Twin>> open_twin_of(std::shared_ptr<MoverRun> run,
                                           MoverShared& shared,
                                           Clock::time_point deadline) {
    const Side follower = other(authority_of(shared));
    auto twin = make_twin(run, follower);
    if (!twin) return twin.error();
    const Status opened = with_same_state(run, shared, **twin, deadline, [&]() -> Status {
        auto taken = (*twin)->connection(follower).execute("SELECT pg_current_snapshot()");
        if (!taken) return taken.error();
        return Done{};
    });
    if (!opened) return opened.error();
    return std::unique_ptr<Twin>{std::move(*twin)};
}

namespace {

std::string key_text(const Table& table) {
    std::string columns;
    for (const int key : table.key) {
        columns += (columns.empty() ? "" : ", ") +
                   quote_identifier(table.columns[static_cast<std::size_t>(key)].name);
    }
    return "ROW(" + columns + ")::text";
}

Status copy_rows(Connection& from, Connection& to, const Table& table, const std::string& condition) {
    std::string columns;
    for (const Column& column : table.columns) {
        if (column.generated) continue;
        columns += (columns.empty() ? "" : ", ") + quote_identifier(column.name);
    }
    auto reading = from.execute("COPY (SELECT " + columns + " FROM ONLY " + table.qualified_name() +
                                " WHERE " + condition + ") TO STDOUT");
    if (!reading) return reading.error();
    auto writing = to.execute("COPY " + table.qualified_name() + " (" + columns + ") FROM STDIN");
    if (!writing) return writing.error();
    for (;;) {
        char* row = nullptr;
        const int size = PQgetCopyData(from.raw(), &row, 0);
        if (size < -1) return from.error("refresh");
        if (size < 0) break;
        const int put = PQputCopyData(to.raw(), row, size);
        PQfreemem(row);
        if (put != 1) return to.error("refresh");
    }
    while (PGresult* rest = PQgetResult(from.raw())) PQclear(rest);
    if (PQputCopyEnd(to.raw(), nullptr) != 1) return to.error("refresh");
    Rows stored{PQgetResult(to.raw())};
    Status result = Done{};
    if (PQresultStatus(stored.raw()) != PGRES_COMMAND_OK) result = to.error("refresh", stored.raw());
    while (PGresult* rest = PQgetResult(to.raw())) PQclear(rest);
    return result;
}

using KeysByTable = std::map<std::string, std::vector<std::string>>;

// One mover transaction on the follower: removed and inserted, marked as ours.
Status rewrite(MoverRun& run, Side authority, PostgresTwin& twin, Connection& writer, const KeysByTable& keys) {
    auto begun = writer.execute("BEGIN");
    if (!begun) return begun.error();
    for (const Table& table : run.authority_tables()) {
        const auto wanted = keys.find(table.plain_name());
        if (wanted == keys.end()) continue;
        const std::string condition =
            key_text(table) + " = ANY (" + quote_literal(text_array(wanted->second)) + "::text[])";
        auto removed = writer.execute("DELETE FROM ONLY " + table.qualified_name() + " WHERE " + condition);
        if (!removed) return removed.error();
        const Status copied = copy_rows(twin.connection(authority), writer, table, condition);
        if (!copied) return copied;
    }
    auto pipeline = StatementPipeline::enter(writer);
    if (!pipeline) return pipeline.error();
    Status sent = send_mark(*pipeline, authority, refresh_writer, run.generation(other(authority)));
    if (sent) sent = pipeline->finish();
    if (sent) sent = pipeline->query("COMMIT", {}, {{}, "COMMIT"});
    if (sent) sent = pipeline->finish();
    return sent;
}

}  // namespace

Status refresh_rows(std::shared_ptr<MoverRun> run,
                    MoverShared& shared,
                    const std::vector<VerifyDifference>& rows,
                    Clock::time_point deadline) {
    if (rows.size() > refresh_keys_max) {
        return Error{Errc::too_large,
                     "more rows than a refresh mends at once: find out why they differ before mending them"};
    }
    KeysByTable keys;
    for (const VerifyDifference& row : rows) {
        if (row.key.empty()) return Error{Errc::refused, row.table + ": a table without a key cannot be refreshed"};
        keys[row.table].push_back(row.key);
    }
    const Side authority = authority_of(shared);
    auto twin = make_twin(run, other(authority));
    if (!twin) return twin.error();
    auto writer = run->link(other(authority), LinkKind::writer);
    if (!writer) return writer.error();
    return with_same_state(
        run, shared, **twin, deadline, [&] { return rewrite(*run, authority, **twin, **writer, keys); });
}

}  // namespace segue::backfill::postgres
