#pragma once
// One run of the mover on two simulated databases. Pipe, dispatcher, chunks, unseen list and
// progress are the real ones; what reads, writes and copies is a fake that does one step at a time,
// in the order of backfill/postgres: stream_reader, applier, copier, mover_run_copy, twin.

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backfill/applied_position.hpp"
#include "backfill/progress.hpp"
#include "backfill/stream_pipe.hpp"
#include "router/side.hpp"
#include "tests/simulation/database.hpp"
#include "tests/simulation/rules.hpp"
#include "tests/support/dice.hpp"

namespace segue::simulation {

// What a run shares with everything else.
struct Shared {
    Shared(const Rules& of, test::Dice& throws) : rules(of), dice(throws) {}

    const Rules& rules;
    test::Dice& dice;
    std::array<Database, 2> databases{Database{true}, Database{false}};
    std::array<backfill::AppliedPosition, 2>* applied = nullptr;  // The process's.
    Side authority = Side::source;  // As the process has told the mover.
    Position since;
    std::uint64_t strays[2] = {0, 0};
    bool rogues = false;             // Somebody writes past the fence, so that sides may differ.
    bool stopped_by_a_miss = false;  // Strict apply has met what it did not expect.
    int twins = 0;                   // That were compared to their end.
    std::string violation;

    Database& at(Side side) { return databases[index(side)]; }
    void violate(const std::string& what) {
        if (violation.empty()) violation = what;
    }
};

class Stream {
public:
    Stream(Shared& shared, Side side, const StoredProgress& from);

    bool read();   // One event of the log reaches the pipe.
    bool apply();  // One item is taken or written, or a transaction of the follower ends.
    void confirm();
    void set_role(bool is_authority, Position since);
    void request_checkpoint() { checkpoint_wanted_ = true; }
    Position durable() const { return durable_; }

    backfill::StreamPipe& pipe() { return *pipe_; }
    bool failed() const { return pipe_->failure().has_value(); }
    bool at_boundary() const {
        return pipe_->with_dispatcher(
            [](const auto& dispatcher) { return dispatcher.at_boundary(); });
    }
    Side side() const { return side_; }

private:
    struct Write {  // Of the open transaction of the follower.
        std::optional<RowChange> change;
        std::optional<backfill::ForgetChunk> chunk;
        std::optional<backfill::ForgetTable> table;
    };
    bool fetch();
    void process(backfill::ApplyItem& item);
    void add(const backfill::Change& change);
    void swap_transactions();
    void finish();
    bool carry_out(const Write& write, Rows& rows, Meta& meta, std::vector<RowChange>& changes);
    void write_progress(Meta& meta);
    void publish();

    Shared& shared_;
    const Side side_;
    std::unique_ptr<backfill::StreamPipe> pipe_;
    backfill::Progress progress_;
    Position cursor_, restart_;
    std::deque<backfill::StreamEvent> arriving_;
    std::vector<backfill::ApplyItem> items_;
    std::size_t next_ = 0, group_items_ = 0;
    std::vector<Write> writes_;
    bool begun_ = false, in_transaction_ = false, checkpoint_wanted_ = false, durable_only_ = false;
    bool progress_owed_ = false;
    std::uint64_t group_strays_ = 0;
    std::optional<Position> checkpoint_;
    Position confirmable_, durable_;
};

// Copies chunk after chunk from the source to the target.
class CopyWorker {
public:
    CopyWorker(Shared& shared, Stream& stream) : shared_(shared), stream_(stream) {}
    bool step();
    void unlock();  // What remains of it in the databases, when the run is over.

private:
    enum class State : std::uint8_t { idle, opened, reading, waiting, holding };
    bool open();
    bool accept_snapshot();
    bool read_rows();
    bool wait_for_the_end();
    bool load();
    void give_up();
    int table() const;

    Shared& shared_;
    Stream& stream_;
    State state_ = State::idle;
    std::optional<backfill::StreamPipe::Opened> opened_;
    backfill::ChunkRange range_;
    backfill::Snapshot snapshot_;
    Position inserted_, flushed_;
    Rows rows_;
    std::vector<backfill::Buffered> buffered_;
    bool holds_ = false, locks_ = false;
};

// Compares both sides at the same state.
class TwinWorker {
public:
    TwinWorker(Shared& shared, Stream& stream) : shared_(shared), stream_(stream) {}
    bool step();
    void give_up();
    void unlock();

private:
    enum class State : std::uint8_t { idle, holding, at_boundary, aligning, draining };
    Shared& shared_;
    Stream& stream_;
    State state_ = State::idle;
    backfill::Snapshot snapshot_;
    bool locks_ = false;
};

class Run {
public:
    explicit Run(Shared& shared);
    ~Run();

    bool failed() const;
    void step();  // One of everything that could go on.
    void set_role();
    // Progress of that side's stream is written durably as soon as possible.
    void request_checkpoint(Side side);
    bool consistent() const { return stage_ == Stage::consistent; }

private:
    enum class Stage : std::uint8_t {
        copying,
        building,
        reverse_slot,
        reverse_stream,
        proving,
        consistent
    };
    bool open_stream(Side side);
    void create_way_back();
    void set_up_tables();
    bool complete();

    Shared& shared_;
    std::uint64_t crashes_[2];
    std::unique_ptr<Stream> streams_[2];
    std::vector<CopyWorker> workers_;
    std::optional<TwinWorker> twin_;
    Stage stage_ = Stage::copying;
    Position loaded_up_to_;
    bool broken_ = false;
};

const backfill::Relation& relation(int table);
backfill::TableName name_of(int table);
backfill::Change change_of(const RowChange& change);
// The way back: one change or two.
std::vector<RowChange> row_changes(const backfill::Change& change);
bool inside(const backfill::ChunkRange& range, int key);

}  // namespace segue::simulation
