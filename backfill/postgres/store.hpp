#pragma once
// What the mover keeps in schema segue of the database it writes to: progress, loaded chunks, stray
// writes; and the marks by which a transaction proves to be the mover's. Written through the
// transaction that contains the rows, so that both are durable or neither (law 3).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backfill/dispatcher.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/statement_pipeline.hpp"
#include "backfill/postgres/text_array.hpp"
#include "backfill/unseen.hpp"
#include "router/side.hpp"

namespace segue::backfill::postgres {

// Row (stream, 0) of segue.progress on the other side of that stream.
struct StoredProgress {
    Position applied;
    std::vector<Position> beyond;  // Starts of commit records (backfill/progress.hpp).
    Position restart;
    Unseen unseen;
};
Result<std::optional<StoredProgress>> read_progress(Connection& connection, Side stream);
// For a slot that was just created: nothing below `at` will be delivered.
Status create_progress(Connection& connection, Side stream, Position at);

struct StoredChunk {
    TableName table;
    std::uint64_t number = 0;
    ChunkRange range;
    Position loaded_at;
    std::uint64_t rows = 0, bytes = 0;
};
Result<std::vector<StoredChunk>> read_chunks(Connection& connection);

struct Checkpoint {
    Position restart;
    Unseen::Durable unseen;
};

// Statements of an open mover transaction. Each locks the lease row and fails (no row) when the
// generation is not ours any more: then somebody else is the mover.
Status prepare_progress(StatementPipeline& pipeline, Side stream);  // Once per connection.
Status send_progress(StatementPipeline& pipeline,
                     std::int64_t generation,
                     Position applied,
                     const std::vector<Position>& beyond);
Status send_checkpoint(StatementPipeline& pipeline,
                       Side stream,
                       std::int64_t generation,
                       Position applied,
                       const std::vector<Position>& beyond,
                       const Checkpoint& checkpoint);
// Marks a transaction of another writer than the applier (writer > 0).
Status send_mark(StatementPipeline& pipeline, Side stream, int writer, std::int64_t generation);
Status send_chunk(StatementPipeline& pipeline, const StoredChunk& chunk);
Status send_stray(StatementPipeline& pipeline,
                  Side stream,
                  std::uint64_t since,
                  const StrayWrite& stray);
// Beside the newest of them (events_kept_max), one row stands for all: how many, and in which
// tables.
Status send_stray_sum(StatementPipeline& pipeline, Side stream, std::uint64_t since);

// Stray writes that were recorded in the epoch that began at that position of its authority's
// stream.
struct StoredStrays {
    std::uint64_t count = 0;
    std::vector<std::string> tables;
};
Result<StoredStrays> read_strays(Connection& connection, Side stream, std::uint64_t since);
// The oldest `count` of them.
Status forget_strays(Connection& connection, Side stream, std::uint64_t since, std::uint64_t count);

}  // namespace segue::backfill::postgres
