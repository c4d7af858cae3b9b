#include "backfill/chunk.hpp"

#include <algorithm>
#include <cassert>

namespace segue::backfill {

namespace {

std::vector<std::string_view> view(const Key& key) { return {key.begin(), key.end()}; }

Error uncomparable() {
    return Error{Errc::bad_value, "a key has a text that cannot be ordered as the server does"};
}

Route route_of(const Chunk& chunk, Position start) {
    switch (chunk.state) {
        case ChunkState::none:
            return Route::discard;
        case ChunkState::open:
        case ChunkState::read:
            return Route::buffer;
        case ChunkState::loaded:
            return start >= chunk.loaded_at ? Route::apply : Route::skip;
    }
    return Route::discard;
}

}  // namespace

std::optional<std::weak_ordering> TableChunks::compare(const Key& a, KeyView b) const {
    return order_->compare(view(a), b);
}

Result<std::size_t> TableChunks::place(KeyView key) const {
    std::size_t low = 0, high = chunks_.size();
    while (low < high) {
        const std::size_t middle = (low + high) / 2;
        const auto& end = chunks_[middle]->range.high;
        if (end) {
            const auto order = compare(*end, key);
            if (!order) return uncomparable();
            if (*order < 0) {
                low = middle + 1;
                continue;
            }
        }
        high = middle;
    }
    return low;
}

Result<TableChunks::Target> TableChunks::route(KeyView key, Position start) {
    if (settled(start)) return Target{Route::apply, nullptr};
    if (!order_) {
        if (chunks_.empty()) return Target{};
        return Target{route_of(*chunks_.front(), start), chunks_.front().get()};
    }
    const auto at = place(key);
    if (!at) return at.error();
    if (*at == chunks_.size()) return Target{};
    Chunk& chunk = *chunks_[*at];
    if (chunk.range.low) {
        const auto order = compare(*chunk.range.low, key);
        if (!order) return uncomparable();
        if (*order >= 0) return Target{};
    }
    return Target{route_of(chunk, start), &chunk};
}

Result<Chunk*> TableChunks::add(std::uint64_t number, ChunkRange range) {
    std::size_t at = chunks_.size();
    if (range.high && order_) {
        const auto place_of = place(view(*range.high));
        if (!place_of) return place_of.error();
        at = *place_of;
    }
    assert(order_ || chunks_.empty());
    auto chunk = std::make_unique<Chunk>();
    chunk->number = number;
    chunk->range = std::move(range);
    Chunk* const added = chunk.get();
    chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(at), std::move(chunk));
    return added;
}

Chunk* TableChunks::find(std::uint64_t number) {
    for (const auto& chunk : chunks_) {
        if (chunk->number == number) return chunk.get();
    }
    return nullptr;
}

void TableChunks::erase(std::uint64_t number) {
    std::erase_if(chunks_, [&](const auto& chunk) { return chunk->number == number; });
    update_complete();
}

void TableChunks::clear() {
    chunks_.clear();
    update_complete();
}

void TableChunks::update_complete() {
    complete_ = false;
    if (chunks_.empty() || !holes().empty()) return;
    Position highest;
    for (const auto& chunk : chunks_) {
        if (chunk->state != ChunkState::loaded) return;
        highest = std::max(highest, chunk->loaded_at);
    }
    complete_ = true;
    loaded_up_to_ = highest;
}

std::vector<ChunkRange> TableChunks::holes() const {
    std::vector<ChunkRange> result;
    std::optional<Key> low;  // Where the next chunk must begin to leave no hole.
    for (const auto& chunk : chunks_) {
        if (chunk->range.low != low) result.push_back(ChunkRange{low, chunk->range.low});
        if (!chunk->range.high) return result;
        low = chunk->range.high;
    }
    result.push_back(ChunkRange{low, std::nullopt});
    return result;
}

}  // namespace segue::backfill
