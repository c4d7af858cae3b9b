// A stream's reader and applier.

#include <algorithm>
#include <charconv>

#include "tests/simulation/run.hpp"

namespace segue::simulation {

using namespace std::chrono_literals;
using backfill::ApplyItem;
using backfill::Cell;
using backfill::CellKind;
using backfill::Change;
using backfill::ChangeBuilder;
using backfill::ChangeKind;
using backfill::OldRow;
using backfill::StreamEvent;

namespace {

int number(std::string_view text) {
    int value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

std::uint64_t big_number(std::string_view text) {
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

int table_of(const std::string& name) { return name == "rows" ? rows_table : journal_table; }

}  // namespace

const backfill::Relation& relation(int table) {
    static const backfill::Relation relations[tables] = {
        {1, "public", "rows", false, {{"key", 23, true}, {"value", 25, false}}},
        {2, "public", "journal", false, {{"key", 23, true}, {"value", 25, false}}},
    };
    return relations[table];
}

Change change_of(const RowChange& change) {
    const backfill::Relation& to = relation(change.table);
    const std::string key = std::to_string(change.key), value = std::to_string(change.value);
    const auto built = [&](ChangeKind kind, OldRow old) {
        return ChangeBuilder{to, kind, old, 32};
    };
    switch (change.kind) {
        case RowChange::Kind::insert:
        case RowChange::Kind::update: {
            const bool inserts = change.kind == RowChange::Kind::insert;
            ChangeBuilder builder =
                built(inserts ? ChangeKind::insert : ChangeKind::update, OldRow::none);
            builder.add(CellKind::text, key);
            builder.add(CellKind::text, value);
            return builder.take();
        }
        case RowChange::Kind::rename: {
            ChangeBuilder builder = built(ChangeKind::update, OldRow::key);
            builder.add(CellKind::text, key);
            builder.add(CellKind::null);
            builder.add(CellKind::text, std::to_string(change.new_key));
            if (change.value_unsent) {
                builder.add(CellKind::unchanged);
            } else {
                builder.add(CellKind::text, value);
            }
            return builder.take();
        }
        case RowChange::Kind::remove: {
            ChangeBuilder builder = built(ChangeKind::remove, OldRow::key);
            builder.add(CellKind::text, key);
            builder.add(CellKind::null);
            return builder.take();
        }
        case RowChange::Kind::truncate:
            break;
    }
    return Change::truncate({&to}, false);
}

backfill::TableName name_of(int table) { return {relation(table).schema, relation(table).name}; }

bool inside(const backfill::ChunkRange& range, int key) {
    if (range.low && key <= number(range.low->front())) return false;
    return !range.high || key <= number(range.high->front());
}

std::vector<RowChange> row_changes(const Change& change) {
    const int table = table_of(change.relation().name);
    const auto value = [&] { return big_number(change.new_cell(1).text); };
    switch (change.kind()) {
        case ChangeKind::insert:
            return {{RowChange::Kind::insert, table, number(change.new_cell(0).text), 0, value()}};
        case ChangeKind::remove:
            return {{RowChange::Kind::remove, table, number(change.old_cell(0).text)}};
        case ChangeKind::truncate:
            return {{RowChange::Kind::truncate, table}};
        case ChangeKind::update:
            break;
    }
    const int key = number(change.key_cell(0).text), new_key = number(change.new_cell(0).text);
    std::vector<RowChange> result;
    if (key != new_key) result.push_back({RowChange::Kind::rename, table, key, new_key});
    if (change.new_cell(1).kind == CellKind::text)
        result.push_back({RowChange::Kind::update, table, new_key, 0, value()});
    return result;
}

Stream::Stream(Shared& shared, Side side, const StoredProgress& from)
    : shared_(shared),
      side_(side),
      progress_(from.applied, from.beyond),
      cursor_(from.restart),
      restart_(from.restart),
      confirmable_(from.restart),
      durable_(from.applied) {
    auto unseen = backfill::Unseen::restore(from.unseen);
    pipe_ = std::make_unique<backfill::StreamPipe>(
        backfill::Dispatcher::Start{from.applied, from.beyond, std::move(*unseen)});
    (*shared.applied)[index(side)].publish(from.applied);
}

void Stream::set_role(bool is_authority, Position since) {
    // Not in the middle of a transaction: the real call waits for its end.
    while (!failed() && !at_boundary()) read();
    durable_only_ = !is_authority;
    pipe_->set_role(is_authority ? backfill::StreamRole::applied : backfill::StreamRole::watched,
                    since);
}

// The next commit that is flushed, or that there is none up to here.
bool Stream::fetch() {
    const Database& from = shared_.at(side_);
    const Position begin = std::max(cursor_, from.slot->confirmed);
    const auto next = std::lower_bound(
        from.log().begin(), from.log().end(), begin, [](const Commit& one, Position position) {
            return one.start < position;
        });
    if (next != from.log().end() && next->end <= from.flushed()) {
        const Commit& commit = *next;
        arriving_.emplace_back(backfill::TransactionBegin{commit.xid, {}, commit.start});
        for (const RowChange& change : commit.changes) arriving_.emplace_back(change_of(change));
        arriving_.emplace_back(backfill::TransactionCommit{
            commit.xid, commit.end, {}, commit.is_mover, !commit.changes.empty()});
        cursor_ = commit.end;
        return true;
    }
    if (from.flushed() <= pipe_->position()) return false;
    arriving_.emplace_back(backfill::Advance{from.flushed()});
    return true;
}

bool Stream::read() {
    if (failed()) return false;
    if (arriving_.empty() && !fetch()) return false;
    const auto fed = pipe_->feed(arriving_.front());
    if (!fed || !*fed) return false;
    arriving_.pop_front();
    return true;
}

void Stream::confirm() {
    Slot& slot = *shared_.at(side_).slot;
    const bool honest = shared_.rules.confirm_only_what_is_durable;
    slot.confirmed = std::max(slot.confirmed, honest ? confirmable_ : pipe_->position());
}

bool Stream::apply() {
    if (failed()) return false;
    if (progress_owed_) {
        Meta meta = shared_.at(other(side_)).meta();
        write_progress(meta);
        shared_.at(other(side_)).commit_ours({}, std::move(meta), true);
        progress_owed_ = false;
        publish();
        return true;
    }
    if (next_ == items_.size()) {
        items_.clear();
        next_ = 0;
        const bool idle = !in_transaction_ && pipe_->queue_is_empty();
        if (idle && (begun_ || checkpoint_wanted_ || group_items_ > 0)) {
            finish();
            return true;
        }
        if (pipe_->queue_is_empty() || !pipe_->take(items_, 0ms)) return false;
        if (!shared_.rules.apply_in_stream_order) swap_transactions();
        return true;
    }
    process(items_[next_++]);
    ++group_items_;
    if (!failed() && !in_transaction_ && shared_.dice.percent(30)) finish();
    return true;
}

// The mutant of law 1: what one server did in one order is done in another.
void Stream::swap_transactions() {
    const auto ends = [](const ApplyItem& item) {
        return std::holds_alternative<backfill::CommitDone>(item);
    };
    const auto first = std::find_if(items_.begin(), items_.end(), ends);
    if (in_transaction_ || first == items_.end()) return;
    const auto second = std::find_if(first + 1, items_.end(), ends);
    if (second != items_.end()) std::rotate(items_.begin(), first + 1, second + 1);
}

void Stream::process(ApplyItem& item) {
    const auto write = [&](Write made) {
        in_transaction_ = begun_ = true;
        writes_.push_back(std::move(made));
    };
    std::visit(Overloaded{
                   [&](const Change& change) { add(change); },
                   [&](const backfill::SchemaChange&) {},
                   [&](const backfill::CommitDone& commit) {
                       in_transaction_ = false;
                       progress_.committed(commit.start, commit.position);
                   },
                   [&](const backfill::Passed& passed) { progress_.reached(passed.position); },
                   [&](const backfill::ParkedCommit& parked) {
                       if (shared_.rules.remember_commits_beyond) progress_.parked(parked.start);
                   },
                   [&](const backfill::StrayWrite&) {
                       begun_ = true;
                       ++group_strays_;
                   },
                   [&](const backfill::ForgetChunk& chunk) {
                       write({{}, chunk, {}});
                   },
                   [&](const backfill::ForgetTable& table) {
                       write({{}, {}, table});
                   },
               },
               item);
}

void Stream::add(const Change& change) {
    in_transaction_ = begun_ = true;
    for (RowChange& one : row_changes(change)) writes_.push_back({std::move(one), {}, {}});
}

bool Stream::carry_out(const Write& write,
                       Rows& rows,
                       Meta& meta,
                       std::vector<RowChange>& changes) {
    const auto change_row = [&](const RowChange& change) {
        changes.push_back(change);
        if (apply_strictly(rows, change)) return true;
        if (shared_.rules.apply_strictly) return false;
        changes.pop_back();
        const Rows before = rows;
        apply_somehow(rows, change);
        if (rows != before) changes.push_back(change);
        return true;
    };
    if (write.change) return change_row(*write.change);
    if (write.table) {
        const int table = table_of(write.table->table.second);
        std::erase_if(meta.chunks, [&](const StoredChunk& chunk) { return chunk.table == table; });
        return true;
    }
    const int table = table_of(write.chunk->table.second);
    std::erase_if(meta.chunks, [&](const StoredChunk& chunk) {
        return chunk.table == table && chunk.number == write.chunk->number;
    });
    const Rows before = rows;
    for (const auto& [key, value] : before) {
        if (key.first == table && inside(write.chunk->range, key.second))
            change_row({RowChange::Kind::remove, table, key.second});
    }
    return true;
}

void Stream::write_progress(Meta& meta) {
    StoredProgress& stored = *meta.progress;
    stored.applied = progress_.contiguous();
    stored.beyond = progress_.beyond();
    if (!std::exchange(checkpoint_wanted_, false) && !shared_.dice.percent(30)) return;
    stored.restart = stored.applied;
    stored.unseen = pipe_->durable_unseen(stored.applied);
    if (!shared_.rules.unseen_are_durable) stored.unseen = {};
    checkpoint_ = stored.restart;
}

void Stream::finish() {
    Database& follower = shared_.at(other(side_));
    const bool write = begun_ || checkpoint_wanted_;
    if (write) {
        Rows rows = follower.rows();
        Meta meta = follower.meta();
        std::vector<RowChange> changes;
        for (const Write& one : writes_) {
            if (carry_out(one, rows, meta, changes)) continue;
            shared_.stopped_by_a_miss = true;
            pipe_->fail(Error{Errc::bad_value, "a change did not hit exactly one row"});
            return;
        }
        writes_.clear();
        begun_ = false;
        progress_owed_ = !shared_.rules.progress_with_the_rows;
        if (!progress_owed_) write_progress(meta);
        follower.commit_ours(std::move(changes), std::move(meta), true);
        if (progress_owed_) return;
    }
    publish();
}

void Stream::publish() {
    if (checkpoint_) confirmable_ = *std::exchange(checkpoint_, std::nullopt);
    const Database& follower = shared_.at(other(side_));
    durable_ = follower.meta().progress->applied;
    if (shared_.rules.strays_are_counted) shared_.strays[index(side_)] += group_strays_;
    group_strays_ = 0;
    const Position contiguous = progress_.contiguous();
    (*shared_.applied)[index(side_)].publish(durable_only_ ? durable_ : contiguous);
    pipe_->finished(std::exchange(group_items_, 0), 0, contiguous);
}

}  // namespace segue::simulation
