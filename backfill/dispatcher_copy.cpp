// The dispatcher's part that deals with tables in copy: rule R1, and keys that move between chunks.

#include <algorithm>
#include <cassert>

#include "backfill/dispatcher.hpp"

namespace segue::backfill {

namespace {

enum class Half : std::uint8_t { before, after };

// The two halves of an update that moves a row: the old one removed, the new one inserted.
Change half_of(const Change& change, Half half) {
    const Relation& relation = change.relation();
    const bool removes = half == Half::before;
    ChangeBuilder builder{relation,
                          removes ? ChangeKind::remove : ChangeKind::insert,
                          removes ? change.old_row() : OldRow::none,
                          change.memory()};
    for (std::size_t i = 0; i < relation.columns.size(); ++i) {
        Cell cell = removes ? change.old_cell(i) : change.new_cell(i);
        // A whole old row knows what the new one left out.
        if (cell.kind == CellKind::unchanged) cell = change.old_cell(i);
        builder.add(cell.kind, cell.text);
    }
    return builder.take();
}

bool lacks_values(const Change& change) {
    return change.has_unchanged() && change.old_row() != OldRow::full;
}

}  // namespace

TableInCopy& Dispatcher::add_table(TableName name,
                                   std::vector<std::string> key_columns,
                                   std::shared_ptr<const KeyOrder> order) {
    TableInCopy added{name, std::move(key_columns), TableChunks{std::move(order)}, {}, 0};
    return tables_.insert_or_assign(std::move(name), std::move(added)).first->second;
}

void Dispatcher::forget_tables() {
    assert(at_boundary());
    tables_.clear();
    routes_.clear();
    buffered_bytes_ = 0;
}

TableInCopy* Dispatcher::table(const TableName& name) {
    const auto found = tables_.find(name);
    return found == tables_.end() ? nullptr : &found->second;
}

Result<const Dispatcher::RelationRoute*> Dispatcher::route_of(const Relation& relation) {
    if (const auto known = routes_.find(&relation); known != routes_.end()) return &known->second;
    RelationRoute route{table({relation.schema, relation.name}), {}, {}};
    if (route.table) {
        for (const std::string& column : route.table->key_columns) {
            const auto at = std::find_if(relation.columns.begin(),
                                         relation.columns.end(),
                                         [&](const auto& c) { return c.name == column; });
            if (at == relation.columns.end()) {
                route.lacks = column;
                break;
            }
            route.key.push_back(static_cast<std::size_t>(at - relation.columns.begin()));
        }
    }
    return &routes_.emplace(&relation, std::move(route)).first->second;
}

Status Dispatcher::apply(Change change, std::vector<ApplyItem>& out) {
    if (tables_.empty()) {
        transaction_->forwarded = true;
        out.emplace_back(std::move(change));
        return Done{};
    }
    if (change.kind() == ChangeKind::truncate) return apply_truncate(std::move(change), out);
    const auto found = route_of(change.relation());
    if (!found) return found.error();
    const RelationRoute& route = **found;
    if (!route.table || route.table->chunks.settled(transaction_->start)) {
        transaction_->forwarded = true;
        out.emplace_back(std::move(change));
        return Done{};
    }
    if (route.table->altered || route.table->dropped_later)
        return Done{};  // Nothing of it is on the follower until it is copied.
    if (!route.lacks.empty()) {
        const Relation& relation = change.relation();
        return Error{Errc::refused,
                     relation.schema + "." + relation.name + ": key column " + route.lacks +
                         " is gone; its definition was changed during the copy"};
    }
    if (change.kind() == ChangeKind::update && change.old_row() != OldRow::none) {
        return apply_key_change(route, std::move(change), out);
    }
    std::vector<std::string_view> key;
    for (const std::size_t column : route.key) {
        key.push_back(change.kind() == ChangeKind::insert ? change.new_cell(column).text
                                                          : change.key_cell(column).text);
    }
    const auto target = route.table->chunks.route(key, transaction_->start);
    if (!target) return target.error();
    deliver(*target, std::move(change), out);
    return Done{};
}

// Old and new key may lie in different chunks: each half goes its own way (rule R1 for each).
Status Dispatcher::apply_key_change(const RelationRoute& route,
                                    Change change,
                                    std::vector<ApplyItem>& out) {
    TableChunks& chunks = route.table->chunks;
    std::vector<std::string_view> before_key, after_key;
    for (const std::size_t column : route.key) {
        before_key.push_back(change.old_cell(column).text);
        const Cell cell = change.new_cell(column);
        after_key.push_back(cell.kind == CellKind::unchanged ? before_key.back() : cell.text);
    }
    const auto before = chunks.route(before_key, transaction_->start);
    if (!before) return before.error();
    const auto after = chunks.route(after_key, transaction_->start);
    if (!after) return after.error();
    const bool together = before->chunk == after->chunk ||
                          (before->route == Route::apply && after->route == Route::apply);
    if (together && before->route == after->route) {
        deliver(*before, std::move(change), out);
        return Done{};
    }
    deliver(*before, half_of(change, Half::before), out);
    if (after->route == Route::discard || after->route == Route::skip) return Done{};
    if (!lacks_values(change)) {
        deliver(*after, half_of(change, Half::after), out);
        return Done{};
    }
    // The row must be created there, and the stream does not have all of its values: read it again.
    if (after->route == Route::buffer) {
        abandon_chunk(*route.table, after->chunk->number);
    } else {
        forget_chunk(*route.table, after->chunk->number, out);
    }
    return Done{};
}

void Dispatcher::deliver(TableChunks::Target at, Change change, std::vector<ApplyItem>& out) {
    switch (at.route) {
        case Route::discard:
        case Route::skip:
            break;
        case Route::apply:
            transaction_->forwarded = true;
            out.emplace_back(std::move(change));
            break;
        case Route::buffer:
            if (at.chunk->snapshot && at.chunk->snapshot->sees(transaction_->xid)) break;
            at.chunk->buffer_bytes += change.memory();
            buffered_bytes_ += change.memory();
            at.chunk->buffer.push_back(Buffered{transaction_->xid, std::move(change)});
            break;
    }
}

// Its copy starts again, once the follower's table is empty.
void Dispatcher::begin_again(TableInCopy& in, std::vector<ApplyItem>& out) {
    for (const auto& chunk : in.chunks.chunks()) drop_buffer(*chunk);
    in.chunks.clear();
    transaction_->restarted.push_back(in.name);
    out.emplace_back(ForgetTable{in.name});
}

// It begins in the stream, which has every row of it: those of its own transaction too. A chunk
// that was opened, because the authority had the table already, is gone.
void Dispatcher::take_for_whole(TableInCopy& in) {
    for (const auto& chunk : in.chunks.chunks()) drop_buffer(*chunk);
    in.chunks.clear();
    in.altered = in.dropped_later = false;
    const auto whole = in.chunks.add(in.next_number++, ChunkRange{});
    assert(whole);  // Nothing is there that it could overlap.
    (*whole)->state = ChunkState::loaded;
    (*whole)->loaded_at = transaction_->start;
    in.chunks.update_complete();
}

Status Dispatcher::apply_truncate(Change change, std::vector<ApplyItem>& out) {
    for (std::size_t i = 0; i < change.truncated_size(); ++i) {
        const Relation& relation = change.truncated(i);
        TableInCopy* const in = table({relation.schema, relation.name});
        if (!in || in->chunks.settled(transaction_->start)) continue;
        begin_again(*in, out);  // It is small now.
    }
    transaction_->forwarded = true;
    out.emplace_back(std::move(change));
    return Done{};
}

void Dispatcher::forget_chunk(TableInCopy& in, std::uint64_t number, std::vector<ApplyItem>& out) {
    const Chunk* const chunk = in.chunks.find(number);
    assert(chunk);
    out.emplace_back(ForgetChunk{in.name, number, chunk->range});
    in.chunks.erase(number);
    transaction_->forwarded = true;
    transaction_->restarted.push_back(in.name);
}

Result<std::uint64_t> Dispatcher::open_chunk(TableInCopy& in, ChunkRange range) {
    assert(at_boundary());
    const std::uint64_t number = in.next_number;
    const auto added = in.chunks.add(number, std::move(range));
    if (!added) return added.error();
    ++in.next_number;
    (*added)->state = ChunkState::open;
    (*added)->opened_at = position_;
    in.chunks.update_complete();
    return number;
}

void Dispatcher::chunk_read(Chunk& chunk, const Snapshot& snapshot) {
    assert(chunk.state == ChunkState::open);
    chunk.state = ChunkState::read;
    chunk.snapshot = snapshot;
    std::erase_if(chunk.buffer, [&](const Buffered& buffered) {
        if (!snapshot.sees(buffered.xid)) return false;
        chunk.buffer_bytes -= buffered.change.memory();
        buffered_bytes_ -= buffered.change.memory();
        return true;
    });
}

std::vector<Buffered> Dispatcher::take_buffer(Chunk& chunk) {
    assert(chunk.state == ChunkState::read);
    buffered_bytes_ -= chunk.buffer_bytes;
    chunk.buffer_bytes = 0;
    return std::exchange(chunk.buffer, {});
}

void Dispatcher::chunk_loaded(TableInCopy& in, Chunk& chunk) {
    assert(at_boundary() && chunk.state == ChunkState::read && chunk.buffer.empty());
    chunk.state = ChunkState::loaded;
    chunk.loaded_at = position_;
    in.chunks.update_complete();
}

void Dispatcher::drop_buffer(Chunk& chunk) {
    buffered_bytes_ -= chunk.buffer_bytes;
    chunk.buffer_bytes = 0;
    chunk.buffer.clear();
}

void Dispatcher::abandon_chunk(TableInCopy& in, std::uint64_t number) {
    Chunk* const chunk = in.chunks.find(number);
    if (!chunk || chunk->state == ChunkState::loaded) return;
    drop_buffer(*chunk);
    in.chunks.erase(number);
}

}  // namespace segue::backfill
