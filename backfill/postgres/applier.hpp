#pragma once
// One thread's loop: takes what one stream's pipe gives and makes it durable on the other side,
// strictly in stream order, many source transactions in one follower transaction, together with the
// progress that claims them (laws 1 to 3). Of a watched stream it records progress and stray writes
// only.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backfill/applied_position.hpp"
#include "backfill/postgres/change_batch.hpp"
#include "backfill/postgres/ddl_apply.hpp"
#include "backfill/postgres/known_tables.hpp"
#include "backfill/postgres/mover_link.hpp"
#include "backfill/postgres/mover_shared.hpp"
#include "backfill/postgres/row_writer.hpp"
#include "backfill/postgres/schema_patience.hpp"
#include "backfill/postgres/store.hpp"
#include "backfill/postgres/twin_guard.hpp"
#include "backfill/postgres/visibility.hpp"
#include "backfill/progress.hpp"
#include "backfill/stream_pipe.hpp"

namespace segue::backfill::postgres {

// A follower transaction is ended at the next edge of a source transaction once it has this many of
// them, or this many changes. Then also when nothing is queued, so that lag stays small. The
// further behind, the larger the groups, and the more of their changes share a statement.
inline constexpr std::size_t group_commits_max = 1000;
inline constexpr std::size_t group_changes_max = 4000;
// The durable list of unseen commits is kept short by waiting for the next pruning.
inline constexpr std::size_t checkpoint_unseen_max = 2000;
// A table that is altered before it is copied waits for a run that knows it as it is now. This one
// goes on with the others as long as that, or until nothing else is left.
inline constexpr std::chrono::seconds altered_waits_max{15};

class Applier {
public:
    struct Settings {
        Side stream = Side::source;
        std::int64_t generation = 0;
        // One source transaction at a time for a while: after a group failed.
        bool alone = false;
        Visibility::Open open_authority;
    };
    // Everything referred to outlives it. `tables`: all of them, as they are now.
    Applier(StreamPipe& pipe,
            MoverLink& follower,
            FollowerTables tables,
            Progress progress,
            MoverShared& shared,
            TwinGuard& twins,
            Settings settings);

    // Until the pipe fails; fails it on an error of its own.
    void run();

    // Any thread. Progress is written durably as soon as possible, also when nothing was applied.
    void request_checkpoint();
    // Any thread. Somebody may have begun to read on the follower while nothing is to be applied.
    void wake_for_readers();
    // What the slot may be confirmed to: durable here, with the unseen list.
    Position confirmable() const { return Position{confirmable_.load()}; }
    // Contiguous position of the last durable progress.
    Position durable() const { return Position{durable_.load()}; }
    // Of a watched stream only what is durable is published: that is what proves the way back.
    void publish_durable_only(bool only) { durable_only_.store(only); }
    // Any thread. The other direction's applier has changed tables: each is read before its next
    // change is applied.
    void reread_tables() { tables_are_stale_.store(true); }
    // The table whose change could not be applied; set before the pipe fails.
    const std::string& stopped_table() const { return stopped_table_; }
    // It stands before a change of the schema that could not be made here, or a row of a table
    // that somebody has changed on one side only.
    bool stopped_by_schema() const { return stopped_by_schema_; }
    // Nothing has failed: tables that were to be copied have been altered.
    bool ended_to_begin_anew() const { return ended_; }

private:
    Status loop(StatementPipeline& pipeline);
    Status process(StatementPipeline& pipeline, ApplyItem& item);
    Status change_schema(StatementPipeline& pipeline, const SchemaChange& change);
    Status change_patiently_noted(const SchemaChange& change, bool copying);
    Status try_to_change(const SchemaChange& change, bool copying);
    bool may_be_passed_over(const Relation& relation) const;
    Status write_or_pass_over(StatementPipeline& pipeline, const Change& change);
    void note_passed_over(const Change& change);
    bool is_copying() const;  // The follower has no indexes and constraints but keys yet.
    void begin_anew_if_due();
    Status forget_tables(StatementPipeline& pipeline);
    Status know_tables(StatementPipeline& pipeline, const ApplyItem& item);
    Status begin(StatementPipeline& pipeline);
    Status finish(StatementPipeline& pipeline);
    Status write_progress(StatementPipeline& pipeline);
    Status commit(StatementPipeline& pipeline);
    bool readers_wait() const;
    bool group_is_full() const;
    Status free_memory(StatementPipeline& pipeline);
    bool checkpoint_due() const;
    void publish();

    StreamPipe& pipe_;
    MoverLink& follower_;
    KnownTables tables_;
    RowWriter writer_;
    ChangeBatch batch_;
    Progress progress_;
    MoverShared& shared_;
    TwinGuard& twins_;
    Settings settings_;
    DdlApplier ddl_;
    Visibility visibility_;
    Position highest_;  // Of the commits that the follower shows or is about to show.

    std::vector<ApplyItem> items_;
    std::size_t next_ = 0;
    bool begun_ = false;           // A follower transaction is open.
    bool in_transaction_ = false;  // Between the changes of a source transaction.
    std::size_t group_items_ = 0, group_bytes_ = 0, group_commits_ = 0, group_changes_ = 0;
    std::size_t alone_left_ = 0;
    std::chrono::steady_clock::duration schema_work_{0};  // Of this group's changes so far.
    bool group_changed_schema_ = false, group_altered_ = false;
    // Since when a table that this run does not copy any more waits for the next one.
    std::optional<std::chrono::steady_clock::time_point> altered_since_;
    bool ended_ = false;
    std::vector<StrayWrite> group_strays_;
    std::uint64_t strays_sent_ = 0;
    Position checkpointed_;
    std::optional<Position> checkpoint_in_flight_;
    std::chrono::steady_clock::time_point checkpointed_at_;

    std::atomic<bool> checkpoint_wanted_{false}, durable_only_{false}, tables_are_stale_{false};
    std::atomic<std::uint64_t> confirmable_{0}, durable_{0};
    std::string stopped_table_;
    bool stopped_by_schema_ = false;
};

}  // namespace segue::backfill::postgres
