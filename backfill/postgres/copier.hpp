#pragma once
// One copy worker's loop: opens a chunk, reads it under an accepted snapshot, and loads it with
// what the stream changed meanwhile (DESIGN 5: open, snapshot, gate).

#include <cstdint>

#include "backfill/postgres/copy_plan.hpp"
#include "backfill/postgres/mover_link.hpp"
#include "backfill/postgres/mover_shared.hpp"
#include "backfill/postgres/row_writer.hpp"
#include "backfill/stream_pipe.hpp"

namespace segue::backfill::postgres {

class StreamReader;

class Copier {
public:
    struct Settings {
        Side authority = Side::source;
        std::int64_t generation = 0;
        int writer = 1;  // Its row of segue.progress.
    };
    // Everything referred to outlives it.
    Copier(StreamPipe& pipe,
           StreamReader& reader,
           CopyPlan& plan,
           MoverLink& authority,
           MoverLink& follower,
           const FollowerTables& tables,
           MoverShared& shared,
           Settings settings);

    // Until every chunk is loaded, or the pipe fails; fails it on an error of its own.
    void run();

private:
    struct Read {
        Snapshot snapshot;
        Position inserted, flushed;  // H, and how far the log is flushed.
        std::uint64_t rows = 0, bytes = 0;
    };
    Status loop();
    Status copy(const CopyPlan::Work& work);
    // An error where the chunk is of no use any more, or its locks keep the stream waiting.
    Status may_go_on(const CopyPlan::Work& work);
    Status copy_steps(const CopyPlan::Work& work, Read& read);
    Result<Read> accept_snapshot(const CopyPlan::Work& work);
    Status await_schema(const Error& error);
    Status transfer(const CopyPlan::Work& work, Read& read);
    Status pass_gate(const CopyPlan::Work& work, StatementPipeline& pipeline, const Read& read);
    Status load(const CopyPlan::Work& work, StatementPipeline& pipeline, const Read& read);
    Status drain_buffer(const CopyPlan::Work& work, StatementPipeline& pipeline);
    void give_up(const CopyPlan::Work& work);
    void count(const CopyPlan::Work& work, const Read& read);

    StreamPipe& pipe_;
    StreamReader& reader_;
    CopyPlan& plan_;
    MoverLink& authority_;
    MoverLink& follower_;
    RowWriter writer_;
    MoverShared& shared_;
    Settings settings_;
    int unknown_in_turn_ = 0;  // Attempts that met a table or column which one side does not have.
};

}  // namespace segue::backfill::postgres
