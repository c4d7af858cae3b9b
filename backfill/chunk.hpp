#pragma once
// Which part of a table a changed row belongs to, and what becomes of the change there (rule R1 of
// the copy protocol). A chunk is NONE, OPEN, READ or LOADED; only LOADED is durable. Pure; one
// owner, not thread-safe.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backfill/change.hpp"
#include "backfill/snapshot.hpp"
#include "protocol/position.hpp"
#include "protocol/result.hpp"

namespace segue::backfill {

using Key = std::vector<std::string>;  // Texts of a key's columns.
using KeyView = std::span<const std::string_view>;

// The authority's order of one table's keys. Implemented per engine; shared by the threads that use
// a table.
class KeyOrder {
public:
    virtual ~KeyOrder() = default;
    // Empty when a text is not a value of its type: then nothing may be concluded.
    virtual std::optional<std::weak_ordering> compare(KeyView a, KeyView b) const = 0;
};

// (low, high]; absent means without bound.
struct ChunkRange {
    std::optional<Key> low, high;
    friend bool operator==(const ChunkRange&, const ChunkRange&) = default;
};

enum class ChunkState : std::uint8_t {
    none,    // Forgotten or given up: its changes are discarded.
    open,    // Changes are buffered; the snapshot is not accepted yet.
    read,    // The snapshot is known; changes that it sees are not buffered.
    loaded,  // On the follower, with every change up to `loaded_at`.
};

struct Buffered {
    std::uint64_t xid = 0;
    Change change;
};

struct Chunk {
    std::uint64_t number = 0;  // Unique in its table.
    ChunkRange range;
    ChunkState state = ChunkState::none;
    Position opened_at;  // p0: the snapshot must see every commit at or below it.
    Position loaded_at;
    std::optional<Snapshot> snapshot;  // From READ on.
    std::vector<Buffered> buffer;      // In stream order.
    std::size_t buffer_bytes = 0;
};

enum class Route : std::uint8_t { discard, buffer, apply, skip };

// All chunks of one table, in key order. Ranges never overlap; holes between them are NONE.
class TableChunks {
public:
    // Without an order the table must be one chunk without bounds.
    explicit TableChunks(std::shared_ptr<const KeyOrder> order) : order_(std::move(order)) {}

    struct Target {
        Route route = Route::discard;
        Chunk* chunk = nullptr;  // Null in a hole.
    };
    // What becomes of a change of that key by the transaction whose commit begins at `start`.
    // bad_value when the key cannot be compared.
    Result<Target> route(KeyView key, Position start);

    // The range must not overlap a chunk; the chunk stays where it is until erased.
    Result<Chunk*> add(std::uint64_t number, ChunkRange range);
    Chunk* find(std::uint64_t number);
    void erase(std::uint64_t number);
    void clear();

    // Every key is in a LOADED chunk.
    bool complete() const { return complete_; }
    // To be called after a chunk's state has changed.
    void update_complete();
    // Complete, and every load position is at or below the start of all that comes: nothing to
    // route.
    bool settled(Position start) const { return complete_ && start >= loaded_up_to_; }
    Position loaded_up_to() const { return loaded_up_to_; }
    bool has_order() const { return order_ != nullptr; }

    // What is not covered by any chunk, in key order.
    std::vector<ChunkRange> holes() const;
    const std::vector<std::unique_ptr<Chunk>>& chunks() const { return chunks_; }

private:
    std::optional<std::weak_ordering> compare(const Key& a, KeyView b) const;
    // The first chunk whose range ends at or above the key.
    Result<std::size_t> place(KeyView key) const;

    std::shared_ptr<const KeyOrder> order_;
    std::vector<std::unique_ptr<Chunk>> chunks_;  // Pointers are handed out.
    bool complete_ = false;
    Position loaded_up_to_;
};

}  // namespace segue::backfill
