#include "backfill/postgres/applier.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "backfill/crash_point.hpp"
#include "backfill/event_log.hpp"
#include "backfill/postgres/lock_retry.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::milliseconds tick{500};
// While readers wait until the authority shows what the follower does.
constexpr std::chrono::milliseconds readers_tick{20};
constexpr std::chrono::seconds checkpoint_interval{1};
constexpr std::chrono::seconds idle_checkpoint_interval{10};
constexpr std::uint64_t checkpoint_bytes = 1u << 20;
// Of a group that is not whole yet; beyond it the rows gathered for one statement are sent. Well
// below queue_bytes_max.
constexpr std::size_t held_bytes_max = 16u << 20;
// Source transactions that are applied alone after a group has failed.
constexpr std::size_t alone_commits = 2000;
constexpr const char* begin_statement = "segue_begin";
constexpr const char* commit_statement = "segue_commit";

}  // namespace

Applier::Applier(StreamPipe& pipe,
                 MoverLink& follower,
                 FollowerTables tables,
                 Progress progress,
                 MoverShared& shared,
                 TwinGuard& twins,
                 Settings settings)
    : pipe_(pipe),
      follower_(follower),
      tables_(std::move(tables), shared.settings.exclude),
      writer_(tables_.tables()),
      batch_(tables_.tables(), writer_),
      progress_(std::move(progress)),
      shared_(shared),
      twins_(twins),
      settings_(std::move(settings)),
      ddl_(settings_.stream, shared.settings.exclude),
      visibility_(pipe, shared.applied[index(settings_.stream)], settings_.open_authority),
      highest_(progress_.contiguous()),
      alone_left_(settings_.alone ? alone_commits : 0) {}

void Applier::run() {
    auto pipeline = StatementPipeline::enter(*follower_);
    Status ended = pipeline ? Status{Done{}} : Status{pipeline.error()};
    if (ended) ended = loop(*pipeline);
    if (ended) return;
    Error error = ended.error();
    if (pipeline && stopped_table_.empty() && !pipeline->failed_subject().empty())
        stopped_table_ = pipeline->failed_subject();
    error.detail =
        "applying to the " + std::string{name(other(settings_.stream))} + ": " + error.detail;
    pipe_.fail(std::move(error));
}

void Applier::request_checkpoint() {
    checkpoint_wanted_.store(true);
    pipe_.wake_applier();
}

Status Applier::loop(StatementPipeline& pipeline) {
    Status sent = Done{};
    // A table that was tiny when its statement was planned is read whole ever after, however it
    // grows.
    for (const char* const setting :
         {"SET enable_seqscan = off", "SET enable_bitmapscan = off", "SET jit = off"}) {
        if (sent) sent = pipeline.query(setting, {}, {{}, "settings"});
    }
    if (sent) sent = pipeline.prepare(begin_statement, "BEGIN", "BEGIN");
    if (sent) sent = pipeline.prepare(commit_statement, "COMMIT", "COMMIT");
    if (sent) sent = prepare_progress(pipeline, settings_.stream);
    if (sent) sent = pipeline.finish();
    if (!sent) return sent;
    // What a former run made durable is durable; its slot may be told so.
    checkpointed_at_ = std::chrono::steady_clock::now() - checkpoint_interval;
    while (!ended_) {
        if (next_ == items_.size()) {
            items_.clear();
            next_ = 0;
            if (const Status freed = free_memory(pipeline); !freed) return freed;
            const bool idle = !in_transaction_ && pipe_.queue_is_empty();
            if (idle) {
                if (const Status finished = finish(pipeline); !finished) return finished;
                begin_anew_if_due();
                if (ended_) break;
                if (readers_wait()) visibility_.when_idle(highest_);
            }
            if (!pipe_.take(items_, readers_wait() ? readers_tick : tick)) return Done{};
            continue;
        }
        if (const Status processed = process(pipeline, items_[next_]); !processed) return processed;
        ++next_;
        ++group_items_;
        if (!in_transaction_ && group_is_full()) {
            if (const Status finished = finish(pipeline); !finished) return finished;
        }
    }
    return Done{};
}

// Also inside a transaction: one that is bigger than the queue would else wait for itself for ever.
Status Applier::free_memory(StatementPipeline& pipeline) {
    if (group_bytes_ < held_bytes_max) return Done{};
    if (begun_) {
        if (const Status sent = batch_.flush(pipeline); !sent) return sent;
    }
    pipe_.freed(std::exchange(group_bytes_, 0));
    return Done{};
}

bool Applier::group_is_full() const {
    const std::size_t commits_max = alone_left_ > 0 ? 1 : group_commits_max;
    // A value that was added to an enum can be used once its transaction is over.
    if (group_changed_schema_) return true;
    return group_commits_ >= commits_max || group_changes_ >= group_changes_max;
}

Status Applier::begin(StatementPipeline& pipeline) {
    if (begun_) return Done{};
    if (tables_are_stale_.exchange(false)) {
        if (const Status forgotten = forget_tables(pipeline); !forgotten) return forgotten;
    }
    begun_ = true;
    return pipeline.execute(begin_statement, {}, {{}, "BEGIN"});
}

Status Applier::process(StatementPipeline& pipeline, ApplyItem& item) {
    group_bytes_ += item_memory(item);
    const auto forget = [&](const auto& what) -> Status {
        in_transaction_ = true;
        if (const Status begun = begin(pipeline); !begun) return begun;
        if (const Status sent = batch_.flush(pipeline); !sent) return sent;
        if (const Status known = know_tables(pipeline, item); !known) return known;
        return writer_.forget(pipeline, what);
    };
    return std::visit(
        Overloaded{
            [&](Change& change) -> Status {
                in_transaction_ = true;
                ++group_changes_;
                if (const Status begun = begin(pipeline); !begun) return begun;
                if (const Status known = know_tables(pipeline, item); !known) return known;
                for (std::size_t i = 0; i < change.truncated_size(); ++i) {
                    twins_.cancel({change.truncated(i).schema, change.truncated(i).name});
                }
                const Relation& relation = change.relation();
                if (may_be_passed_over(relation)) return write_or_pass_over(pipeline, change);
                Status added = alone_left_ > 0 ? writer_.write(pipeline, change)
                                               : batch_.add(pipeline, std::move(change));
                if (!added) {
                    stopped_table_ = relation.schema + "." + relation.name;
                    stopped_by_schema_ =
                        added.error().detail.find(definition_was_changed) != std::string::npos;
                }
                return added;
            },
            [&](const SchemaChange& change) { return change_schema(pipeline, change); },
            [&](const CommitDone& commit) -> Status {
                in_transaction_ = false;
                ++group_commits_;
                progress_.committed(commit.start, commit.position);
                highest_ = std::max(highest_, commit.position);
                return Done{};
            },
            [&](const Passed& passed) -> Status {
                progress_.reached(passed.position);
                highest_ = std::max(highest_, passed.position);
                return Done{};
            },
            [&](const ParkedCommit& parked) -> Status {
                progress_.parked(parked.start);
                return Done{};
            },
            [&](const StrayWrite& stray) -> Status {
                if (const Status begun = begin(pipeline); !begun) return begun;
                group_strays_.push_back(stray);
                const std::uint64_t since = shared_.since.load();
                if (strays_sent_++ % events_between_looks == 0) {
                    if (Status sent = send_stray_sum(pipeline, settings_.stream, since); !sent)
                        return sent;
                }
                return send_stray(pipeline, settings_.stream, since, stray);
            },
            [&](const ForgetChunk& chunk) { return forget(chunk); },
            [&](const ForgetTable& table) { return forget(table); },
        },
        item);
}

bool Applier::may_be_passed_over(const Relation& relation) const {
    if (!shared_.passes_over.load(std::memory_order_relaxed)) return false;
    const std::lock_guard lock{shared_.mutex};
    return shared_.passed_over_tables.contains({relation.schema, relation.name});
}

// A change that does not hit its row, or breaks a constraint, leaves nothing; others fail as ever.
Status Applier::write_or_pass_over(StatementPipeline& pipeline, const Change& change) {
    if (const Status sent = batch_.flush(pipeline); !sent) return sent;
    if (change.kind() == ChangeKind::truncate) return writer_.write(pipeline, change);
    if (const Status suspended = pipeline.suspend(); !suspended) return suspended;
    const auto hit = writer_.write_if_it_fits(*follower_, change);
    if (!hit) {
        if (hit.error().code != Errc::closed)
            stopped_table_ = change.relation().schema + "." + change.relation().name;
        return hit.error();
    }
    if (!*hit) note_passed_over(change);
    return pipeline.resume();
}

void Applier::note_passed_over(const Change& change) {
    shared_.passed_over.fetch_add(1);
    const std::lock_guard lock{shared_.mutex};
    auto& keys = shared_.passed_over_keys[{change.relation().schema, change.relation().name}];
    for (std::string& key : writer_.keys_of(change)) keys.note(std::move(key));
}

// Whatever has been changed: see KnownTables.
Status Applier::forget_tables(StatementPipeline& pipeline) {
    tables_.forget();
    if (const Status forgotten = batch_.forget_statements(pipeline); !forgotten) return forgotten;
    return writer_.forget_statements(pipeline);
}

// Those of what is queued behind `item`, which is the next one, in the same go.
Status Applier::know_tables(StatementPipeline& pipeline, const ApplyItem& item) {
    if (tables_.knows(item)) return Done{};
    if (const Status suspended = pipeline.suspend(); !suspended) return suspended;
    if (const Status known = tables_.learn(*follower_, items_, next_); !known) return known;
    return pipeline.resume();
}

bool Applier::is_copying() const {
    const std::lock_guard lock{shared_.mutex};
    return shared_.backfill != router::Backfill::consistent && !shared_.indexing;
}

// What others are told meanwhile; a transaction's changes count together.
Status Applier::change_patiently_noted(const SchemaChange& change, bool copying) {
    const auto begun = std::chrono::steady_clock::now();
    auto since = begun - schema_work_;
    {
        const std::lock_guard lock{shared_.mutex};
        const auto& before = shared_.schema_work;
        if (before && before->transaction == change.start) since = std::min(since, before->since);
    }
    std::vector<std::string> tables;
    for (const auto& table : change.tables) tables.push_back(table.schema + "." + table.name);
    const std::string what = change.what + (tables.empty() ? "" : " of " + tables.front()) +
                             " is being carried to the " +
                             std::string{name(other(settings_.stream))};
    const auto tell = [&](std::optional<SchemaWork> work) {
        const std::lock_guard lock{shared_.mutex};
        shared_.schema_work = std::move(work);
    };
    tell(SchemaWork{what, "", since, change.start});
    Status changed = change_patiently(
        *follower_,
        {},
        [&] { return try_to_change(change, copying); },
        [&] {
            shared_.copiers_make_way.store(copying);
            tell(SchemaWork{what, who_holds_locks(*follower_, tables), since, change.start});
        });
    shared_.copiers_make_way.store(false);
    if (!changed && met_a_lock(changed.error()))
        tell(SchemaWork{what, "it waits in a circle and begins anew", since, change.start});
    else
        tell(std::nullopt);
    schema_work_ += std::chrono::steady_clock::now() - begun;
    return changed;
}

Status Applier::try_to_change(const SchemaChange& change, bool copying) {
    // Also those that were taken between two attempts: they wait for the stream.
    for (const auto& table : change.tables) twins_.cancel({table.schema, table.name});
    for (const auto& table : change.emptied) {
        const auto emptied =
            follower_->execute("TRUNCATE ONLY " + qualified(table.schema, table.name));
        if (!emptied) return emptied.error();
    }
    return ddl_.apply(*follower_, change, tables_.tables(), copying);
}

Status Applier::change_schema(StatementPipeline& pipeline, const SchemaChange& change) {
    in_transaction_ = true;
    if (const Status begun = begin(pipeline); !begun) return begun;
    if (const Status sent = batch_.flush(pipeline); !sent) return sent;
    if (const Status suspended = pipeline.suspend(); !suspended) return suspended;
    const bool copying = is_copying();
    // What a command makes of a table that it alters is compared with what that was.
    if (change.what.starts_with("ALTER ")) {
        std::set<TableName> altered;
        for (const auto& table : change.tables) altered.emplace(table.schema, table.name);
        if (const Status known = tables_.learn(*follower_, altered); !known) return known;
    }
    const Status changed = change_patiently_noted(change, copying);
    if (!changed && follower_->good() && met_a_lock(changed.error())) {
        ended_ = true;  // Whoever waits for us in turn goes on; and then we.
        return Error{Errc::closed, "a change of the schema waits in a circle: it begins anew"};
    }
    if (!changed) {
        stopped_table_ = change.tables.empty()
                             ? change.what
                             : change.tables.front().schema + "." + change.tables.front().name;
        stopped_by_schema_ = changed.error().code != Errc::closed;
        return changed;
    }
    if (ddl_.by_hand()) shared_.code_let_pass.store(true);
    if (const Status resumed = pipeline.resume(); !resumed) return resumed;
    group_changed_schema_ = true;
    if (copying && !change.emptied.empty()) group_altered_ = true;
    return forget_tables(pipeline);
}

bool Applier::checkpoint_due() const {
    const Position now = progress_.contiguous();
    if (now <= checkpointed_) return false;
    const auto since = std::chrono::steady_clock::now() - checkpointed_at_;
    if (since >= idle_checkpoint_interval) return true;
    const bool much = begun_ || now.value - checkpointed_.value > checkpoint_bytes;
    return since >= checkpoint_interval && much;
}

Status Applier::write_progress(StatementPipeline& pipeline) {
    const Position applied = progress_.contiguous();
    const bool wanted = checkpoint_wanted_.exchange(false);
    if (wanted || checkpoint_due()) {
        // The unseen commits at or below the restart point must outlive a crash (rule R7).
        Checkpoint checkpoint{applied, pipe_.durable_unseen(applied)};
        const bool short_enough = checkpoint.unseen.xids.size() <= checkpoint_unseen_max;
        const bool waited =
            std::chrono::steady_clock::now() - checkpointed_at_ >= idle_checkpoint_interval;
        if (wanted || short_enough || waited) {
            checkpoint_in_flight_ = applied;
            return send_checkpoint(pipeline,
                                   settings_.stream,
                                   settings_.generation,
                                   applied,
                                   progress_.beyond(),
                                   checkpoint);
        }
    }
    return send_progress(pipeline, settings_.generation, applied, progress_.beyond());
}

Status Applier::finish(StatementPipeline& pipeline) {
    const bool write = begun_ || checkpoint_wanted_.load() || checkpoint_due();
    if (write) {
        Status sent = begin(pipeline);
        if (sent) sent = batch_.flush(pipeline);
        if (sent) sent = write_progress(pipeline);
        if (sent) sent = commit(pipeline);
        if (!sent) return sent;
    }
    if (group_items_ == 0 && !write) return Done{};
    if (write) durable_.store(progress_.contiguous().value);
    publish();
    return Done{};
}

Status Applier::commit(StatementPipeline& pipeline) {
    const bool applied = !durable_only_.load();
    if (applied) visibility_.ask();
    Status sent = pipeline.finish();
    if (!sent) return sent;
    // Only now is it known that every change hit exactly its row.
    crash_point("apply.before_commit");
    if (applied) visibility_.before_commit(highest_);
    sent = pipeline.execute(commit_statement, {}, {{}, "COMMIT"});
    if (sent) sent = pipeline.finish();
    if (!sent) return sent;
    crash_point("apply.after_commit");
    begun_ = false;
    return Done{};
}

// A watched stream shows nothing.
bool Applier::readers_wait() const { return !durable_only_.load() && visibility_.is_awaited(); }

void Applier::wake_for_readers() {
    if (readers_wait()) pipe_.wake_applier();
}

void Applier::begin_anew_if_due() {
    if (!altered_since_ || ended_) return;
    const bool long_enough = std::chrono::steady_clock::now() - *altered_since_ > altered_waits_max;
    if (!long_enough && !pipe_.all_loaded_but_altered()) return;
    pipe_.fail(Error{Errc::closed, "the schema was changed: tables are read anew"});
    ended_ = true;
}

void Applier::publish() {
    if (std::exchange(group_altered_, false) && !altered_since_)
        altered_since_ = std::chrono::steady_clock::now();
    begin_anew_if_due();
    if (checkpoint_in_flight_) {
        checkpointed_ = *checkpoint_in_flight_;
        checkpointed_at_ = std::chrono::steady_clock::now();
        confirmable_.store(checkpointed_.value);
        checkpoint_in_flight_.reset();
    }
    for (const StrayWrite& stray : group_strays_) {
        shared_.strays[index(settings_.stream)].add(stray.tables);
    }
    group_strays_.clear();
    const Position contiguous = progress_.contiguous();
    const bool durable_only = durable_only_.load();
    shared_.applied[index(settings_.stream)].publish(durable_only ? durable() : contiguous);
    // Before anybody learns that the follower has got so far.
    if (std::exchange(group_changed_schema_, false)) shared_.schema_changes.fetch_add(1);
    pipe_.finished(group_items_, group_bytes_, contiguous);
    alone_left_ -= std::min(alone_left_, group_commits_);
    schema_work_ = {};
    group_items_ = group_bytes_ = group_commits_ = group_changes_ = 0;
}

}  // namespace segue::backfill::postgres
