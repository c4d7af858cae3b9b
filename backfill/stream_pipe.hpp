#pragma once
// One side's stream inside this process, from the thread that reads it to the thread that applies
// it, and the place where copying and twins meet it. Thread-safe; built on Dispatcher.
//
// Limits: the queue to the applier holds queue_bytes_max, buffers of chunks chunk_buffer_bytes_max;
// at either the reader waits (the log is retained on its side, up to the operator's cap).

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backfill/dispatcher.hpp"
#include "protocol/position.hpp"
#include "protocol/result.hpp"

namespace segue::backfill {

inline constexpr std::size_t queue_bytes_max = 64u << 20;
inline constexpr std::size_t chunk_buffer_bytes_max = 128u << 20;

std::size_t item_memory(const ApplyItem& item);

using SteadyTime = std::chrono::steady_clock::time_point;

class StreamPipe {
public:
    explicit StreamPipe(Dispatcher::Start start) : dispatcher_(std::move(start)) {}

    // Ends every wait in this object with an error, now and later. The first reason stays.
    void fail(Error reason);
    std::optional<Error> failure() const;

    // The reader's side. False: not now; `event` is untouched; call wait_for_room.
    Result<bool> feed(StreamEvent& event);
    void wait_for_room(std::chrono::milliseconds time);
    void set_paused(bool paused);

    // The applier's side. Appends what is queued, waiting for it up to `time`. False when failed.
    bool take(std::vector<ApplyItem>& items, std::chrono::milliseconds time);
    // Ends a take() that waits.
    void wake_applier();
    bool queue_is_empty() const;
    // That much item_memory of what was taken is held no more, though it may not be durable yet.
    void freed(std::size_t bytes);
    // That many of the items taken, with that much item_memory still held, are durable;
    // `contiguous` as Progress has it.
    void finished(std::size_t items, std::size_t bytes, Position contiguous);

    Position position() const;
    // False at the deadline; an error when failed.
    Result<bool> wait_for_position(Position position, std::chrono::milliseconds time);
    // When the oldest commit that is not yet applied was committed (by the side's clock).
    std::optional<std::chrono::sys_time<std::chrono::microseconds>> oldest_pending() const;

    // Unseen commits.
    void prune(const Snapshot& snapshot);
    Unseen::Durable durable_unseen(Position restart) const;
    bool sees_all_dispatched(const Snapshot& snapshot, Position up_to) const;

    void set_role(StreamRole role, Position since);  // Waits for a boundary.

    // Copying. Errc::refused: the chunk is gone (a TRUNCATE, or a row that must be read again).
    using ChunkName = std::pair<TableName, std::uint64_t>;
    struct Opened {
        ChunkName name;
        Position opened_at, barrier;
    };
    // What is neither loaded nor being copied, in key order. Nothing of a table that was altered:
    // what is known of it here is of the past, and the next run copies it.
    std::vector<ChunkRange> holes(const TableName& table) const;
    Result<Opened> open_chunk(const TableName& table, ChunkRange range);
    Status chunk_read(const ChunkName& name, const Snapshot& snapshot);
    Result<std::vector<Buffered>> take_buffer(const ChunkName& name);
    Result<Position> chunk_loaded(const ChunkName& name);  // Under a hold, buffer taken.
    void abandon_chunk(const ChunkName& name);
    bool chunk_lives(const ChunkName& name) const;
    bool all_loaded() const;
    bool all_loaded_but_altered() const;
    // It needs no copy (any more).
    bool is_whole(const TableName& table) const;
    Position loaded_up_to() const;
    void forget_tables();  // Under a hold.
    // For setting up before the reader starts, and for status.
    template <class Function>
    auto with_dispatcher(Function function) const {
        const std::lock_guard lock{mutex_};
        return function(dispatcher_);
    }
    template <class Function>
    auto set_up(Function function) {
        const std::lock_guard lock{mutex_};
        return function(dispatcher_);
    }

    // Holding dispatch: one owner at a time; take it with StreamHold.
    Result<bool> try_hold(
        std::chrono::milliseconds time);  // True: owned, maybe not at a boundary yet.
    Result<bool> wait_boundary(
        std::chrono::milliseconds time);  // True: nothing is dispatched any more.
    void release_hold();
    // Everything dispatched is durable on the follower.
    Result<bool> wait_drained(std::chrono::milliseconds time);
    // Under a hold: dispatch goes on up to `until`, parking what `snapshot` does not see.
    void align(Snapshot snapshot, Position until);
    Result<bool> wait_aligned(std::chrono::milliseconds time);

private:
    bool room(const StreamEvent& event) const;
    Result<Chunk*> find(const ChunkName& name);
    template <class Predicate>
    Result<bool> wait(std::chrono::milliseconds time, Predicate predicate);
    void enqueue(std::vector<ApplyItem>& items);

    mutable std::mutex mutex_;
    std::condition_variable changed_;  // For everybody but the applier.
    std::condition_variable applier_wakes_;
    Dispatcher dispatcher_;
    std::optional<Error> failure_;
    std::vector<ApplyItem> queue_, dispatched_;
    std::size_t queue_bytes_ = 0, taken_bytes_ = 0;
    std::uint64_t enqueued_ = 0, finished_ = 0;
    bool wake_ = false;
    bool paused_ = false;
    bool held_ = false;
    std::optional<Position> align_until_;
    struct Pending {
        Position position;
        std::chrono::sys_time<std::chrono::microseconds> committed_at;
    };
    std::deque<Pending> pending_;
};

// A hold that lets go when it is destroyed.
class StreamHold {
public:
    // Between waits `meanwhile` is called, until dispatch stands at a boundary or the deadline
    // comes.
    template <class Function>
    static Result<StreamHold> take(StreamPipe& pipe, SteadyTime deadline, Function meanwhile) {
        constexpr std::chrono::milliseconds step{5};
        StreamHold hold;
        for (;;) {
            const auto got = hold.pipe_ ? pipe.wait_boundary(step) : pipe.try_hold(step);
            if (!got) return got.error();
            if (*got && hold.pipe_) return hold;
            if (*got) hold.pipe_ = &pipe;
            if (const Status went = meanwhile(); !went) return went.error();
            if (std::chrono::steady_clock::now() > deadline) {
                return Error{Errc::timed_out, "the stream could not be held in time"};
            }
        }
    }
    StreamHold(StreamHold&& other) noexcept : pipe_(std::exchange(other.pipe_, nullptr)) {}
    StreamHold& operator=(StreamHold&&) = delete;
    ~StreamHold() {
        if (pipe_) pipe_->release_hold();
    }

private:
    StreamHold() = default;
    StreamPipe* pipe_ = nullptr;
};

}  // namespace segue::backfill
