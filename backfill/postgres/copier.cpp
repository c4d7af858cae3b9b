#include "backfill/postgres/copier.hpp"

#include <algorithm>
#include <thread>

#include "backfill/crash_point.hpp"
#include "backfill/postgres/store.hpp"
#include "backfill/postgres/stream_reader.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::milliseconds wait_step{20};
constexpr std::chrono::milliseconds snapshot_pause_max{50};
constexpr std::chrono::minutes finish_time_max{10};
constexpr int unknown_in_turn_max = 20;

std::string column_list(const Table& table) {
    std::string columns;
    for (const Column& column : table.columns) {
        if (column.generated) continue;
        columns += (columns.empty() ? "" : ", ") + quote_identifier(column.name);
    }
    return columns;
}

// What another try may overcome: somebody's lock, or a unique value that is on its way through the
// stream.
bool passes_by_itself(const Error& error) {
    constexpr std::string_view states[] = {"55P03", "23505", "23P01", "40P01", "40001", "57014"};
    return error.code == Errc::refused ||
           std::find(std::begin(states), std::end(states), error.sqlstate) != std::end(states);
}

// A table, column or schema that only one side has.
bool is_unknown(const Error& error) {
    return error.sqlstate == "42P01" || error.sqlstate == "42703" || error.sqlstate == "3F000";
}

}  // namespace

Copier::Copier(StreamPipe& pipe,
               StreamReader& reader,
               CopyPlan& plan,
               MoverLink& authority,
               MoverLink& follower,
               const FollowerTables& tables,
               MoverShared& shared,
               Settings settings)
    : pipe_(pipe),
      reader_(reader),
      plan_(plan),
      authority_(authority),
      follower_(follower),
      writer_(tables),
      shared_(shared),
      settings_(settings) {}

void Copier::run() {
    if (const Status ended = loop(); !ended) {
        Error error = ended.error();
        error.detail = "copying: " + error.detail;
        pipe_.fail(std::move(error));
    }
}

Status Copier::loop() {
    // The follower's table may be locked by somebody's maintenance: then the chunk is given up, not
    // waited for.
    if (const auto set = follower_->execute("SET lock_timeout = '10s'"); !set) return set.error();
    while (!pipe_.failure()) {
        if (shared_.paused.load() || shared_.copiers_make_way.load()) {
            std::this_thread::sleep_for(wait_step);
            continue;
        }
        const auto work = plan_.next(*authority_, pipe_);
        if (!work) {
            if (!authority_->good()) return work.error();
            if (is_unknown(work.error())) {
                if (const Status came = await_schema(work.error()); !came) return came;
            } else if (!passes_by_itself(work.error())) {
                return work.error();
            }
            continue;
        }
        if (!*work) {
            if (pipe_.all_loaded()) return Done{};
            std::this_thread::sleep_for(wait_step);
            continue;
        }
        if (const Status copied = copy(**work); !copied) return copied;
    }
    return Done{};
}

Status Copier::copy(const CopyPlan::Work& work) {
    crash_point("copy.after_open");
    {
        const std::lock_guard lock{shared_.mutex};
        shared_.tables[work.opened.name.first].started = true;
    }
    Read read;
    const Status copied = copy_steps(work, read);
    if (copied) {
        count(work, read);
        unknown_in_turn_ = 0;
        return copied;
    }
    const Error error = copied.error();
    const bool again = passes_by_itself(error) || is_unknown(error);
    if (!authority_->good() || !follower_->good() || !again) return error;
    give_up(work);
    if (is_unknown(error)) return await_schema(error);
    std::this_thread::sleep_for(wait_step);
    return Done{};
}

Status Copier::may_go_on(const CopyPlan::Work& work) {
    if (!pipe_.chunk_lives(work.opened.name))
        return Error{Errc::refused, "the chunk is copied anew"};
    if (shared_.copiers_make_way.load())
        return Error{Errc::refused, "the chunk makes way for a change of the schema"};
    return Done{};
}

void Copier::give_up(const CopyPlan::Work& work) {
    pipe_.abandon_chunk(work.opened.name);
    for (MoverLink* link : {&authority_, &follower_}) {
        // A failure shows at the next use.
        if (PQtransactionStatus((*link)->raw()) != PQTRANS_IDLE) (void)(*link)->execute("ROLLBACK");
    }
}

Status Copier::copy_steps(const CopyPlan::Work& work, Read& read) {
    // Rows of a former copy of this range must be gone before new ones come.
    AppliedPosition& applied = shared_.applied[index(settings_.authority)];
    while (applied.current() < work.opened.barrier) {
        if (const auto failure = pipe_.failure()) return *failure;
        applied.wait_for(work.opened.barrier, std::chrono::steady_clock::now() + wait_step);
    }
    auto accepted = accept_snapshot(work);
    if (!accepted) return accepted.error();
    read = std::move(*accepted);
    if (const Status chunk = pipe_.chunk_read(work.opened.name, read.snapshot); !chunk)
        return chunk;

    const auto begun_at = std::chrono::steady_clock::now();
    if (const Status moved = transfer(work, read); !moved) return moved;
    plan_.took(*work.table, read.rows, std::chrono::steady_clock::now() - begun_at);
    crash_point("copy.after_read");

    auto pipeline = StatementPipeline::enter(*follower_);
    if (!pipeline) return pipeline.error();
    Status loaded = pass_gate(work, *pipeline, read);
    if (loaded) loaded = load(work, *pipeline, read);
    if (loaded || !follower_->good()) return loaded;
    // Nothing may be outstanding when the mode is left.
    (void)pipeline->query("ROLLBACK", {}, {{}, "ROLLBACK"});
    (void)pipeline->finish();
    return loaded;
}

// Rule R2: the lock first, then a snapshot that sees every commit dispatched before the chunk was
// opened.
Result<Copier::Read> Copier::accept_snapshot(const CopyPlan::Work& work) {
    std::chrono::milliseconds pause{1};
    for (;;) {
        const auto begun = authority_->execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '1s';"
            " LOCK TABLE ONLY " +
            work.table->qualified_name() + " IN ACCESS SHARE MODE");
        if (!begun) return begun.error();
        const auto taken = authority_->execute(
            "SELECT pg_current_snapshot(), pg_current_wal_insert_lsn(), "
            "pg_current_wal_flush_lsn()");
        if (!taken) return taken.error();
        auto snapshot = parse_snapshot(taken->at(0, 0));
        const auto inserted = parse_lsn(taken->at(0, 1));
        const auto flushed = parse_lsn(taken->at(0, 2));
        if (!snapshot) return snapshot.error();
        if (!inserted || !flushed)
            return Error{Errc::bad_value, "the log's position is unreadable"};
        if (pipe_.sees_all_dispatched(*snapshot, work.opened.opened_at)) {
            pipe_.prune(*snapshot);
            return Read{std::move(*snapshot), *inserted, *flushed, 0, 0};
        }
        if (const auto ended = authority_->execute("ROLLBACK"); !ended) return ended.error();
        if (const auto failure = pipe_.failure()) return *failure;
        if (const Status may = may_go_on(work); !may) return may.error();
        std::this_thread::sleep_for(pause);
        pause = std::min(pause * 2, snapshot_pause_max);
    }
}

// A change of the schema is on its way in the stream: when it arrives, this run copies the table no
// more. Nothing of ours is open meanwhile.
Status Copier::await_schema(const Error& error) {
    if (++unknown_in_turn_ > unknown_in_turn_max) return error;
    const auto ticket = authority_->execute("UPDATE segue.ticket SET number = number + 1");
    if (!ticket) return ticket.error();
    const auto end = authority_->execute("SELECT pg_current_wal_flush_lsn()");
    if (!end) return end.error();
    const Position position = parse_lsn(end->at(0, 0)).value_or(Position{});
    for (;;) {
        reader_.nudge();
        const auto reached = pipe_.wait_for_position(position, wait_step);
        if (!reached) return reached.error();
        if (*reached || shared_.paused.load()) return Done{};
    }
}

Status Copier::transfer(const CopyPlan::Work& work, Read& read) {
    const Table& table = *work.table;
    const std::string columns = column_list(table);
    const auto begun = follower_->execute("BEGIN");
    if (!begun) return begun.error();
    // A table may have no columns, or none that is written: then nothing names them.
    const std::string list = columns.empty() ? "" : " (" + columns + ")";
    const auto into = follower_->execute("COPY " + table.qualified_name() + list + " FROM STDIN");
    if (!into) return into.error();
    const auto from =
        authority_->execute("COPY (SELECT " + columns + " FROM ONLY " + table.qualified_name() +
                            " WHERE " + range_condition(table, work.range) + ") TO STDOUT");
    if (!from) {
        PQputCopyEnd(follower_->raw(), from.error().detail.c_str());
        return from.error();
    }
    for (;;) {
        char* row = nullptr;
        const int size = PQgetCopyData(authority_->raw(), &row, 0);
        if (size == -1) break;
        if (size < 0) return authority_->error("COPY TO");
        const int put = PQputCopyData(follower_->raw(), row, size);
        PQfreemem(row);
        if (put != 1) return follower_->error("COPY FROM");
        ++read.rows;
        read.bytes += static_cast<std::uint64_t>(size);
        constexpr std::uint64_t look_every = 1024;
        if (read.rows % look_every != 0) continue;
        if (const Status may = may_go_on(work); !may) {
            PQputCopyEnd(follower_->raw(), may.error().detail.c_str());
            authority_->cancel();
            // Both answers are read to their ends by the ROLLBACKs that follow.
            return may;
        }
    }
    Rows sent{PQgetResult(authority_->raw())};
    if (PQresultStatus(sent.raw()) != PGRES_COMMAND_OK)
        return authority_->error("COPY TO", sent.raw());
    while (PGresult* more = PQgetResult(authority_->raw())) PQclear(more);
    // Its lock is not kept while the follower takes what is on its way.
    if (const auto ended = authority_->execute("ROLLBACK"); !ended) return ended.error();
    if (PQputCopyEnd(follower_->raw(), nullptr) != 1) return follower_->error("COPY FROM");
    Rows received{PQgetResult(follower_->raw())};
    const bool stored = PQresultStatus(received.raw()) == PGRES_COMMAND_OK;
    Status result = Done{};
    if (!stored) result = follower_->error(table.plain_name() + ": COPY FROM", received.raw());
    while (PGresult* more = PQgetResult(follower_->raw())) PQclear(more);
    return result;
}

Status Copier::drain_buffer(const CopyPlan::Work& work, StatementPipeline& pipeline) {
    const auto changes = pipe_.take_buffer(work.opened.name);
    if (!changes) return changes.error();
    for (const Buffered& buffered : *changes) {
        if (const Status sent = writer_.write(pipeline, buffered.change); !sent) return sent;
    }
    return Done{};
}

// Rule R3: the stream must have reached H.
Status Copier::pass_gate(const CopyPlan::Work& work,
                         StatementPipeline& pipeline,
                         const Read& read) {
    if (read.flushed < read.inserted) {
        const auto ticket = authority_->execute("UPDATE segue.ticket SET number = number + 1");
        if (!ticket) return ticket.error();
    }
    for (;;) {
        reader_.nudge();
        const auto reached = pipe_.wait_for_position(read.inserted, wait_step);
        if (!reached) return reached.error();
        if (const Status drained = drain_buffer(work, pipeline); !drained) return drained;
        if (*reached) return Done{};
        if (shared_.paused.load()) return Error{Errc::refused, "copying was paused"};
        if (const Status may = may_go_on(work); !may) return may;
    }
}

// Rule R4, at a position where dispatch stands still and the follower has everything before it: so
// the chunk joins a state that the authority had, and legal unique values never meet.
Status Copier::load(const CopyPlan::Work& work, StatementPipeline& pipeline, const Read& read) {
    const auto deadline = std::chrono::steady_clock::now() + finish_time_max;
    const auto hold =
        StreamHold::take(pipe_, deadline, [&] { return drain_buffer(work, pipeline); });
    if (!hold) return hold.error();
    for (;;) {
        const auto drained = pipe_.wait_drained(wait_step);
        if (!drained) return drained.error();
        if (*drained) break;
        if (const Status may = may_go_on(work); !may) return may;
        if (std::chrono::steady_clock::now() > deadline) {
            return Error{Errc::refused, "the follower did not catch up in time"};
        }
    }
    Status sent = drain_buffer(work, pipeline);
    if (sent)
        sent = send_mark(pipeline, settings_.authority, settings_.writer, settings_.generation);
    if (sent) {
        sent = send_chunk(pipeline,
                          {work.opened.name.first,
                           work.opened.name.second,
                           work.range,
                           pipe_.position(),
                           read.rows,
                           read.bytes});
    }
    if (sent) sent = pipeline.finish();
    if (!sent) return sent;
    crash_point("copy.before_loaded");
    if (const Status commit = pipeline.query("COMMIT", {}, {{}, "COMMIT"}); !commit) return commit;
    if (const Status committed = pipeline.finish(); !committed) {
        // Whether it is there is not known (law 8): the next run of the mover reads it from the
        // follower.
        return Error{Errc::in_doubt, committed.error().detail};
    }
    crash_point("copy.after_loaded");
    const auto loaded = pipe_.chunk_loaded(work.opened.name);
    if (!loaded) return loaded.error();
    return Done{};
}

void Copier::count(const CopyPlan::Work& work, const Read& read) {
    const bool complete = pipe_.is_whole(work.opened.name.first);
    const std::lock_guard lock{shared_.mutex};
    TableFigures& figures = shared_.tables[work.opened.name.first];
    figures.rows_copied += read.rows;
    figures.bytes_copied += read.bytes;
    figures.loaded = complete;
}

}  // namespace segue::backfill::postgres
