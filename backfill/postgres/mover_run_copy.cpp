// A run's copying: chunks, then what stands on them (indexes, constraints), then the way back, and
// only then the record that the copy is consistent.

#include <algorithm>
#include <set>
#include <thread>

#include "backfill/crash_point.hpp"
#include "backfill/postgres/copier.hpp"
#include "backfill/postgres/mover_checks.hpp"
#include "backfill/postgres/mover_run.hpp"
#include "backfill/postgres/new_slot.hpp"
#include "backfill/postgres/schema.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/store.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::milliseconds step{50};
constexpr std::chrono::minutes hold_time_max{60};
// How long the reverse slot waits for transactions that are open on the target.
constexpr std::chrono::minutes slot_time_max{60};

SchemaSettings schema_settings(const MoverShared& shared) {
    return {shared.settings.url[0],
            shared.settings.url[1],
            shared.settings.exclude,
            shared.settings.pg_bin,
            shared.identity.migration_id};
}

}  // namespace

// What of every table is on the target already, and what `pipe` must route for the rest.
Status MoverRun::set_up_tables(StreamPipe* pipe) {
    auto stored = read_chunks(**keepers_[index(Side::target)]);
    if (!stored) return stored.error();
    const std::lock_guard lock{shared_.mutex};
    shared_.indexing = false;  // A run before may have failed there.
    for (const Table& table : authority_tables_) {
        const TableName name{table.schema, table.name};
        TableFigures figures;
        figures.rows_estimate = table.rows_estimate;
        std::vector<StoredChunk> loaded;
        for (StoredChunk& chunk : *stored) {
            if (chunk.table != name) continue;
            figures.rows_copied += chunk.rows;
            figures.bytes_copied += chunk.bytes;
            figures.started = true;
            loaded.push_back(std::move(chunk));
        }
        if (pipe) {
            const auto complete = set_up_chunks(*pipe, table, loaded);
            if (!complete) return complete.error();
            figures.loaded = *complete;
        }
        shared_.tables[name] = figures;
    }
    if (!pipe) return Done{};
    plan_ = std::make_unique<CopyPlan>(authority_tables_);
    return captures_ddl_ ? set_up_dropped(*pipe, *stored) : Status{Done{}};
}

// Tables that the authority has dropped further on in the stream. Nobody copies them any more.
Status MoverRun::set_up_dropped(StreamPipe& pipe, const std::vector<StoredChunk>& stored) {
    std::set<TableName> there;
    for (const Table& table : authority_tables_) there.emplace(table.schema, table.name);
    for (const auto& entry : tables_[index(Side::target)]) {
        const TableName& name = entry.first;
        if (there.contains(name)) continue;
        std::vector<StoredChunk> loaded;
        for (const StoredChunk& chunk : stored)
            if (chunk.table == name) loaded.push_back(chunk);
        const auto complete = set_up_chunks(pipe, entry.second.table, loaded);
        if (!complete) return complete.error();
        if (*complete) continue;
        pipe.set_up([&](Dispatcher& dispatcher) {
            TableInCopy* const table = dispatcher.table(name);
            table->dropped_later = true;
            return table;
        });
    }
    return Done{};
}

Result<bool> MoverRun::set_up_chunks(StreamPipe& pipe,
                                     const Table& table,
                                     const std::vector<StoredChunk>& loaded) {
    const bool cut_before =
        std::any_of(loaded.begin(), loaded.end(), [&](const StoredChunk& chunk) {
            return chunk.range.low || chunk.range.high;
        });
    const auto order = key_order(table, cut_before);
    return pipe.set_up([&](Dispatcher& dispatcher) -> Result<bool> {
        TableInCopy& in =
            dispatcher.add_table({table.schema, table.name},
                                 order ? key_column_names(table) : std::vector<std::string>{},
                                 order);
        for (const StoredChunk& chunk : loaded) {
            const auto added = in.chunks.add(chunk.number, chunk.range);
            if (!added) return added.error();
            (*added)->state = ChunkState::loaded;
            (*added)->loaded_at = chunk.loaded_at;
            in.next_number = std::max(in.next_number, chunk.number + 1);
        }
        in.chunks.update_complete();
        return in.chunks.complete();
    });
}

Status MoverRun::restore_keys() { return restore_key_indexes(schema_settings(shared_)); }

void MoverRun::copy_everything() {
    Status done = copy_all();
    if (done) done = complete();
    if (done) return;
    const std::lock_guard lock{mutex_};
    copy_failure_ = done.error();
    if (streams_[index(Side::source)]) streams_[index(Side::source)]->pipe().fail(done.error());
}

Status MoverRun::copy_all() {
    for (;;) {
        if (const Status copied = run_copiers(); !copied) return copied;
        const auto built = build_the_rest(stream(Side::source)->pipe());
        if (!built) return built.error();
        if (*built) return Done{};
    }
}

Status MoverRun::run_copiers() {
    const auto source = stream(Side::source);
    {
        const std::lock_guard lock{shared_.mutex};
        shared_.copying_since = std::chrono::steady_clock::now();
        shared_.copied_when_started = 0;
        for (const auto& [name, figures] : shared_.tables) {
            shared_.copied_when_started += figures.rows_copied;
        }
    }
    std::vector<std::thread> workers;
    std::mutex failed_mutex;
    std::optional<Error> failed;
    for (int i = 0; i < std::max(1, shared_.settings.copy_workers); ++i) {
        workers.emplace_back([&, i] {
            auto authority = link(Side::source, LinkKind::writer);
            auto follower = link(Side::target, LinkKind::writer);
            if (!authority || !follower) {
                const std::lock_guard lock{failed_mutex};
                failed = authority ? follower.error() : authority.error();
                return;
            }
            Copier copier{source->pipe(),
                          source->reader(),
                          *plan_,
                          *authority,
                          *follower,
                          tables_[index(Side::target)],
                          shared_,
                          {Side::source, generations_[index(Side::target)], i + 1}};
            copier.run();
        });
    }
    for (std::thread& worker : workers) worker.join();
    if (const auto failure = source->pipe().failure()) return *failure;
    // One worker that could not connect does not matter as long as another has done its work.
    if (failed && !source->pipe().all_loaded()) return *failed;
    return Done{};
}

Status MoverRun::complete() {
    auto target = link(Side::target, LinkKind::writer);
    if (!target) return target.error();
    if (const Status analyzed = analyze(**target, authority_tables()); !analyzed) return analyzed;
    crash_point("copy.before_reverse_slot");
    if (const Status created = create_reverse_slot(); !created) return created;
    crash_point("copy.after_reverse_slot");
    if (const Status opened = open_reverse_stream(); !opened) return opened;
    while (!ready()) {
        if (const auto failure = first_failure()) return *failure;
        if (stopping_.load()) return Error{Errc::closed, "the mover is stopping"};
        std::this_thread::sleep_for(step);
    }
    // From here on a sequence that is behind is one that somebody has set back.
    if (const Status ahead = look_at_sequences(); !ahead) return ahead;
    keep_sequences();
    // The way back is open to what stands on these tables now.
    if (const Status known = captures_ddl_ ? know_followers_code() : Status{Done{}}; !known)
        return known;
    crash_point("copy.before_consistent");
    if (const Status recorded = record_consistent(); !recorded) return recorded;
    crash_point("copy.after_consistent");
    const std::lock_guard lock{shared_.mutex};
    shared_.backfill = router::Backfill::consistent;
    shared_.indexing = false;
    return Done{};
}

// Under a hold: what is applied is then an exact prefix of the stream, so whatever is unique and
// consistent there is so here; and no lock of the applier meets those of the indexes. The source
// keeps its log meanwhile. False: a table was emptied meanwhile, and has to be copied again before.
Result<bool> MoverRun::build_the_rest(StreamPipe& pipe) {
    const auto now = log_end(Side::source);
    if (!now) return now.error();
    // Commands that have changed the schema by now are dealt with before what they made is taken.
    for (;;) {
        const auto reached = pipe.wait_for_position(std::max(pipe.loaded_up_to(), *now), step);
        if (!reached) return reached.error();
        if (*reached) break;
        stream(Side::source)->reader().nudge();
    }
    const auto deadline = std::chrono::steady_clock::now() + hold_time_max;
    const auto hold = StreamHold::take(pipe, deadline, []() -> Status { return Done{}; });
    if (!hold) return hold.error();
    for (;;) {
        const auto drained = pipe.wait_drained(step);
        if (!drained) return drained.error();
        if (*drained) break;
    }
    if (!pipe.all_loaded()) return false;
    // Once the copy is on record as consistent nothing tells any more which changes its chunks
    // contain: the applier's durable progress must be beyond them all before.
    stream(Side::source)->set_probe(pipe.loaded_up_to());
    {
        const std::lock_guard lock{shared_.mutex};
        shared_.indexing = true;
    }
    if (const Status restored = restore_post_data(schema_settings(shared_)); !restored) {
        pipe.fail(restored.error());  // Before the hold is over.
        return restored.error();
    }
    pipe.forget_tables();
    return true;
}

// What a commit of ours has flushed: the stream gets there by itself.
Result<Position> MoverRun::log_end(Side side) {
    auto writer = link(side, LinkKind::writer);
    if (!writer) return writer.error();
    const auto ticket = (*writer)->execute("UPDATE segue.ticket SET number = number + 1");
    if (!ticket) return ticket.error();
    const auto end = (*writer)->execute("SELECT pg_current_wal_flush_lsn()");
    if (!end) return end.error();
    return parse_lsn(end->at(0, 0)).value_or(Position{});
}

// Nobody reads the slot before there is progress that says from where: a crash in between begins it
// anew.
Status MoverRun::create_reverse_slot() {
    const std::string slot = slot_name(shared_.settings.migration, Side::target);
    auto target = link(Side::target, LinkKind::writer);
    if (!target) return target.error();
    auto source = link(Side::source, LinkKind::writer);
    if (!source) return source.error();
    const auto present = read_slot(**target, slot);
    if (!present) return present.error();
    if (!*present) {
        // A slot that is new delivers nothing of what an older one of that name had delivered.
        const auto cleared =
            (*source)->execute("DELETE FROM segue.progress WHERE stream = 'target' AND writer = 0");
        if (!cleared) return cleared.error();
        const auto created =
            (*target)->execute("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", {slot});
        if (!created) return created.error();
    }
    const auto progress = read_progress(**source, Side::target);
    if (!progress) return progress.error();
    if (*progress) return Done{};
    crash_point("copy.before_reverse_progress");
    const auto begin = first_readable(**target, std::chrono::steady_clock::now() + slot_time_max);
    if (!begin) return begin.error();
    if (const Status past = wait_for_past(**target); !past) return past;
    return create_progress(**source, Side::target, *begin);
}

Status MoverRun::record_consistent() {
    // The authority's row is the one that counts; the other one follows it.
    for (const Side side : {Side::source, Side::target}) {
        auto writer = link(side, LinkKind::writer);
        if (!writer) return writer.error();
        const auto recorded = (*writer)->execute(
            "UPDATE segue.control SET backfill = 'consistent', changed_at = now()"
            " WHERE migration_id = $1 AND phase = 'steady'",
            {shared_.identity.migration_id});
        if (!recorded) return recorded.error();
        if (side == Side::source && recorded->affected() != 1) {
            return Error{Errc::timed_out, "the control record is being changed"};
        }
    }
    return Done{};
}

}  // namespace segue::backfill::postgres
