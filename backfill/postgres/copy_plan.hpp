#pragma once
// Cuts tables into chunks as they are copied, sized by time: a chunk should be read in about a
// second. Tables that are small, have no key, or whose keys only the server can order, are one
// chunk. Thread-safe.

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backfill/postgres/catalog.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/stream_pipe.hpp"

namespace segue::backfill::postgres {

// Tables below this are one chunk whatever their key.
inline constexpr std::uint64_t small_table_bytes = 8u << 20;
inline constexpr std::uint64_t chunk_rows_min = 1000, chunk_rows_max = 5'000'000;
inline constexpr std::uint64_t chunk_rows_first = 20'000;
inline constexpr std::chrono::milliseconds chunk_time{1000};

// The order of a table's keys, or nullptr where they have none that is known here, or the table is
// small and was not cut before.
std::shared_ptr<const KeyOrder> key_order(const Table& table, bool cut_before);
// The names of the columns that chunks are ordered by; empty where key_order is null.
std::vector<std::string> key_column_names(const Table& table);

class CopyPlan {
public:
    explicit CopyPlan(std::vector<Table> tables);

    struct Work {
        const Table* table = nullptr;
        ChunkRange range;
        StreamPipe::Opened opened;
    };
    // Opens the next chunk; empty when all is loaded or being copied. `authority` is used to find
    // bounds.
    Result<std::optional<Work>> next(Connection& authority, StreamPipe& pipe);
    // How long a chunk took, for the size of the table's next.
    void took(const Table& table, std::uint64_t rows, std::chrono::steady_clock::duration time);

    const std::vector<Table>& tables() const { return tables_; }

private:
    Result<std::optional<Key>> bound(Connection& authority,
                                     const Table& table,
                                     const ChunkRange& hole,
                                     std::uint64_t rows);

    std::mutex mutex_;
    std::vector<Table> tables_;              // Largest first.
    std::vector<std::uint64_t> chunk_rows_;  // By table.
};

}  // namespace segue::backfill::postgres
