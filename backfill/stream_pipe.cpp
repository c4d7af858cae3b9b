#include "backfill/stream_pipe.hpp"

#include <algorithm>
#include <cassert>
#include <variant>

namespace segue::backfill {

namespace {

// Not copied in this run.
bool is_left(const TableInCopy& table) { return table.altered || table.dropped_later; }

Error gone() { return Error{Errc::refused, "the chunk is copied anew"}; }

}  // namespace

std::size_t item_memory(const ApplyItem& item) {
    if (const auto* schema = std::get_if<SchemaChange>(&item)) return schema->memory();
    const auto* change = std::get_if<Change>(&item);
    return change ? change->memory() : sizeof(ApplyItem);
}

// A time of zero only looks.
template <class Predicate>
Result<bool> StreamPipe::wait(std::chrono::milliseconds time, Predicate predicate) {
    std::unique_lock lock{mutex_};
    if (time > time.zero()) changed_.wait_for(lock, time, [&] { return failure_ || predicate(); });
    if (failure_) return *failure_;
    return predicate();
}

void StreamPipe::fail(Error reason) {
    const std::lock_guard lock{mutex_};
    if (!failure_) failure_ = std::move(reason);
    changed_.notify_all();
    applier_wakes_.notify_all();
}

std::optional<Error> StreamPipe::failure() const {
    const std::lock_guard lock{mutex_};
    return failure_;
}

bool StreamPipe::room(const StreamEvent& event) const {
    if (queue_bytes_ + taken_bytes_ > queue_bytes_max) return false;
    const bool edge =
        std::holds_alternative<TransactionBegin>(event) || std::holds_alternative<Advance>(event);
    if (edge && dispatcher_.at_boundary()) {
        if (dispatcher_.unseen().full()) return false;
        if (align_until_) return dispatcher_.position() < *align_until_;
        // A hold begins where nothing is delivered again any more.
        return (!held_ && !paused_) || !dispatcher_.caught_up();
    }
    // The copy worker that owns the buffer empties it as soon as its read is done.
    return dispatcher_.buffered_bytes() <= chunk_buffer_bytes_max;
}

Result<bool> StreamPipe::feed(StreamEvent& event) {
    const std::lock_guard lock{mutex_};
    if (failure_) return *failure_;
    if (!room(event)) return false;
    const bool edge = std::holds_alternative<TransactionBegin>(event) ||
                      std::holds_alternative<TransactionCommit>(event) ||
                      std::holds_alternative<Advance>(event);
    if (const auto* commit = std::get_if<TransactionCommit>(&event)) {
        pending_.push_back(Pending{commit->position, commit->committed_at});
    }
    if (const Status went = dispatcher_.on(std::move(event), dispatched_); !went)
        return went.error();
    if (dispatcher_.parked_bytes() > parked_bytes_max) {
        return Error{Errc::too_large, "transactions that wait for a twin exceed their memory"};
    }
    enqueue(dispatched_);
    if (edge) changed_.notify_all();
    return true;
}

void StreamPipe::enqueue(std::vector<ApplyItem>& items) {
    if (items.empty()) return;
    // A transaction is worth waking for when it is whole, or big.
    constexpr std::size_t wake_bytes = 256u << 10;
    const bool whole = !std::holds_alternative<Change>(items.back());
    for (ApplyItem& item : items) {
        queue_bytes_ += item_memory(item);
        queue_.push_back(std::move(item));
        ++enqueued_;
    }
    items.clear();
    if (whole || queue_bytes_ > wake_bytes) applier_wakes_.notify_one();
}

void StreamPipe::wait_for_room(std::chrono::milliseconds time) {
    std::unique_lock lock{mutex_};
    if (!failure_) changed_.wait_for(lock, time);
}

void StreamPipe::set_paused(bool paused) {
    const std::lock_guard lock{mutex_};
    paused_ = paused;
    changed_.notify_all();
}

bool StreamPipe::take(std::vector<ApplyItem>& items, std::chrono::milliseconds time) {
    std::unique_lock lock{mutex_};
    applier_wakes_.wait_for(lock, time, [&] { return failure_ || wake_ || !queue_.empty(); });
    wake_ = false;
    if (failure_) return false;
    taken_bytes_ += queue_bytes_;
    queue_bytes_ = 0;
    if (items.empty()) {
        items.swap(queue_);
    } else {
        for (ApplyItem& item : queue_) items.push_back(std::move(item));
    }
    queue_.clear();
    return true;
}

void StreamPipe::wake_applier() {
    const std::lock_guard lock{mutex_};
    wake_ = true;
    applier_wakes_.notify_one();
}

bool StreamPipe::queue_is_empty() const {
    const std::lock_guard lock{mutex_};
    return queue_.empty();
}

void StreamPipe::freed(std::size_t bytes) {
    if (bytes == 0) return;
    const std::lock_guard lock{mutex_};
    taken_bytes_ -= std::min(taken_bytes_, bytes);
    changed_.notify_all();
}

void StreamPipe::finished(std::size_t items, std::size_t bytes, Position contiguous) {
    const std::lock_guard lock{mutex_};
    finished_ += items;
    taken_bytes_ -= std::min(taken_bytes_, bytes);
    while (!pending_.empty() && pending_.front().position <= contiguous) pending_.pop_front();
    changed_.notify_all();
}

Position StreamPipe::position() const {
    const std::lock_guard lock{mutex_};
    return dispatcher_.position();
}

Result<bool> StreamPipe::wait_for_position(Position position, std::chrono::milliseconds time) {
    return wait(time,
                [&] { return dispatcher_.at_boundary() && dispatcher_.position() >= position; });
}

std::optional<std::chrono::sys_time<std::chrono::microseconds>> StreamPipe::oldest_pending() const {
    const std::lock_guard lock{mutex_};
    if (pending_.empty()) return std::nullopt;
    return pending_.front().committed_at;
}

void StreamPipe::prune(const Snapshot& snapshot) {
    const std::lock_guard lock{mutex_};
    dispatcher_.unseen().prune(snapshot);
    changed_.notify_all();
}

Unseen::Durable StreamPipe::durable_unseen(Position restart) const {
    const std::lock_guard lock{mutex_};
    return dispatcher_.unseen().durable(restart);
}

bool StreamPipe::sees_all_dispatched(const Snapshot& snapshot, Position up_to) const {
    const std::lock_guard lock{mutex_};
    return dispatcher_.unseen().all_seen_up_to(snapshot, up_to);
}

Result<bool> StreamPipe::try_hold(std::chrono::milliseconds time) {
    std::unique_lock lock{mutex_};
    if (time > time.zero()) changed_.wait_for(lock, time, [&] { return failure_ || !held_; });
    if (failure_) return *failure_;
    if (held_) return false;
    held_ = true;
    return true;
}

Result<bool> StreamPipe::wait_boundary(std::chrono::milliseconds time) {
    return wait(time, [&] { return dispatcher_.at_boundary() && dispatcher_.caught_up(); });
}

void StreamPipe::release_hold() {
    const std::lock_guard lock{mutex_};
    assert(held_);
    held_ = false;
    align_until_.reset();
    if (dispatcher_.parking() && !failure_) {
        if (!dispatcher_.at_boundary()) {
            failure_ = Error{Errc::timed_out, "a twin was given up inside a transaction"};
        } else if (const Status released = dispatcher_.release_parked(dispatched_); !released) {
            failure_ = released.error();
        } else {
            enqueue(dispatched_);
        }
        applier_wakes_.notify_one();
    }
    changed_.notify_all();
}

Result<bool> StreamPipe::wait_drained(std::chrono::milliseconds time) {
    return wait(time, [&] { return finished_ == enqueued_; });
}

void StreamPipe::align(Snapshot snapshot, Position until) {
    const std::lock_guard lock{mutex_};
    assert(held_);
    dispatcher_.park_unseen_by(std::move(snapshot));
    align_until_ = until;
    changed_.notify_all();
}

Result<bool> StreamPipe::wait_aligned(std::chrono::milliseconds time) {
    return wait(time, [&] {
        return align_until_ && dispatcher_.at_boundary() && dispatcher_.position() >= *align_until_;
    });
}

void StreamPipe::set_role(StreamRole role, Position since) {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return failure_ || dispatcher_.at_boundary(); });
    if (!failure_) dispatcher_.set_role(role, since);
}

Result<Chunk*> StreamPipe::find(const ChunkName& name) {
    if (failure_) return *failure_;
    TableInCopy* const table = dispatcher_.table(name.first);
    Chunk* const chunk = table ? table->chunks.find(name.second) : nullptr;
    if (!chunk) return gone();
    return chunk;
}

std::vector<ChunkRange> StreamPipe::holes(const TableName& name) const {
    return with_dispatcher([&](const Dispatcher& dispatcher) {
        const auto found = dispatcher.tables().find(name);
        return found == dispatcher.tables().end() || is_left(found->second)
                   ? std::vector<ChunkRange>{}
                   : found->second.chunks.holes();
    });
}

Result<StreamPipe::Opened> StreamPipe::open_chunk(const TableName& name, ChunkRange range) {
    std::unique_lock lock{mutex_};
    changed_.wait(
        lock, [&] { return failure_ || (dispatcher_.at_boundary() && dispatcher_.caught_up()); });
    if (failure_) return *failure_;
    TableInCopy* const table = dispatcher_.table(name);
    if (!table || is_left(*table)) return gone();
    // The stream may have brought the whole table meanwhile.
    const auto holes = table->chunks.holes();
    const auto still = [&](const ChunkRange& hole) { return hole.low == range.low; };
    if (std::none_of(holes.begin(), holes.end(), still)) return gone();
    const auto number = dispatcher_.open_chunk(*table, std::move(range));
    if (!number) return number.error();
    return Opened{{name, *number}, dispatcher_.position(), table->barrier};
}

Status StreamPipe::chunk_read(const ChunkName& name, const Snapshot& snapshot) {
    const std::lock_guard lock{mutex_};
    const auto chunk = find(name);
    if (!chunk) return chunk.error();
    dispatcher_.chunk_read(**chunk, snapshot);
    return Done{};
}

Result<std::vector<Buffered>> StreamPipe::take_buffer(const ChunkName& name) {
    const std::lock_guard lock{mutex_};
    const auto chunk = find(name);
    if (!chunk) return chunk.error();
    auto taken = dispatcher_.take_buffer(**chunk);
    changed_.notify_all();
    return taken;
}

Result<Position> StreamPipe::chunk_loaded(const ChunkName& name) {
    const std::lock_guard lock{mutex_};
    const auto chunk = find(name);
    if (!chunk) return chunk.error();
    assert(held_);
    dispatcher_.chunk_loaded(*dispatcher_.table(name.first), **chunk);
    changed_.notify_all();
    return dispatcher_.position();
}

void StreamPipe::abandon_chunk(const ChunkName& name) {
    std::unique_lock lock{mutex_};
    TableInCopy* const table = dispatcher_.table(name.first);
    if (table) dispatcher_.abandon_chunk(*table, name.second);
    changed_.notify_all();
}

bool StreamPipe::chunk_lives(const ChunkName& name) const {
    return with_dispatcher([&](const Dispatcher& dispatcher) {
        const auto found = dispatcher.tables().find(name.first);
        if (found == dispatcher.tables().end()) return false;
        for (const auto& chunk : found->second.chunks.chunks()) {
            if (chunk->number == name.second) return true;
        }
        return false;
    });
}

bool StreamPipe::all_loaded() const {
    return with_dispatcher([](const Dispatcher& dispatcher) {
        for (const auto& [name, table] : dispatcher.tables()) {
            if (!table.dropped_later && !table.chunks.complete()) return false;
        }
        return true;
    });
}

bool StreamPipe::all_loaded_but_altered() const {
    return with_dispatcher([](const Dispatcher& dispatcher) {
        for (const auto& [name, table] : dispatcher.tables()) {
            if (!is_left(table) && !table.chunks.complete()) return false;
        }
        return true;
    });
}

bool StreamPipe::is_whole(const TableName& name) const {
    return with_dispatcher([&](const Dispatcher& dispatcher) {
        const auto found = dispatcher.tables().find(name);
        return found == dispatcher.tables().end() || found->second.chunks.complete();
    });
}

Position StreamPipe::loaded_up_to() const {
    return with_dispatcher([](const Dispatcher& dispatcher) {
        Position highest;
        for (const auto& [name, table] : dispatcher.tables()) {
            highest = std::max(highest, table.chunks.loaded_up_to());
        }
        return highest;
    });
}

void StreamPipe::forget_tables() {
    const std::lock_guard lock{mutex_};
    assert(held_);
    dispatcher_.forget_tables();
}

}  // namespace segue::backfill
