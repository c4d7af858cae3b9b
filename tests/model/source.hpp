#pragma once
// A database that is being copied, as the models see it: transactions enter the log, are flushed,
// and become visible, in that order per key but in any order between keys (DESIGN law 4); with
// asynchronous commit they may be visible before they are flushed; a crash loses what was not
// flushed, and what was lost may be written again at the same positions under the same ids.
//
// What a snapshot shows is asked of the real code (backfill/snapshot, backfill/unseen).

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "backfill/snapshot.hpp"
#include "backfill/unseen.hpp"
#include "tests/model/explore.hpp"

namespace segue::model {

inline constexpr unsigned commits_max = 3;  // Transactions; each changes one key.
inline constexpr unsigned keys = 2;
inline constexpr unsigned values = 3;  // 0 is: no such row.

// A set of commits: bit i stands for the commit at position i + 1.
using Commits = std::uint8_t;
constexpr Commits up_to(unsigned position) { return static_cast<Commits>((1u << position) - 1); }
constexpr Commits one(unsigned position) { return static_cast<Commits>(1u << (position - 1)); }
constexpr bool has(Commits set, unsigned position) { return (set & one(position)) != 0; }

// In which order the transactions began: ids are given at the beginning, positions at the commit.
enum class Ids : std::uint8_t { in_commit_order, reversed };

struct Source {
    std::array<std::uint8_t, commits_max> log{};  // key * values + new value
    std::uint8_t size = 0;                        // The log's end; positions are 1 .. size.
    std::uint8_t flushed = 0;
    Commits visible = 0;

    unsigned key_of(unsigned position) const { return log[position - 1] / values; }
    unsigned new_value(unsigned position) const { return log[position - 1] % values; }
    // Of a key when exactly those commits have happened.
    unsigned value(unsigned key, Commits commits) const {
        unsigned result = key == 0 ? 1 : 0;
        for (unsigned c = 1; c <= size; ++c) {
            if (has(commits, c) && key_of(c) == key) result = new_value(c);
        }
        return result;
    }
    unsigned value_before(unsigned position) const {
        return value(key_of(position), up_to(position - 1));
    }
    bool at_rest() const {
        return size == commits_max && flushed == size && visible == up_to(size);
    }

    // A writer of a key waits until the one before it is visible.
    bool may_write(unsigned key) const {
        for (unsigned c = 1; c <= size; ++c) {
            if (key_of(c) == key && !has(visible, c)) return false;
        }
        return size < commits_max;
    }
    Source crashed() const {
        Source result = *this;
        for (unsigned c = flushed + 1u; c <= size; ++c) result.log[c - 1] = 0;
        result.size = flushed;
        result.visible = up_to(flushed);
        return result;
    }
};

inline std::uint64_t id_of(unsigned position, Ids ids) {
    return ids == Ids::in_commit_order ? 99 + position : 100 + (commits_max - position);
}

// What pg_current_snapshot() would print now. Every transaction began before everything.
inline backfill::Snapshot snapshot_of(Commits visible, Ids ids) {
    std::uint64_t xmax = 100;
    for (unsigned c = 1; c <= commits_max; ++c) {
        if (has(visible, c)) xmax = std::max(xmax, id_of(c, ids) + 1);
    }
    backfill::Snapshot snapshot{xmax, xmax, {}};
    for (unsigned c = 1; c <= commits_max; ++c) {
        if (!has(visible, c) && id_of(c, ids) < xmax) snapshot.in_progress.push_back(id_of(c, ids));
    }
    std::sort(snapshot.in_progress.begin(), snapshot.in_progress.end());
    if (!snapshot.in_progress.empty()) snapshot.xmin = snapshot.in_progress.front();
    return snapshot;
}

// The real list from its bits, and back.
inline backfill::Unseen unseen_of(Commits commits, Ids ids) {
    backfill::Unseen::Durable durable;
    for (unsigned c = 1; c <= commits_max; ++c) {
        if (!has(commits, c)) continue;
        durable.xids.push_back(id_of(c, ids));
        durable.positions.push_back(Position{c});
    }
    return *backfill::Unseen::restore(durable);
}
inline Commits bits_of(const backfill::Unseen& unseen) {
    Commits result = 0;
    for (const auto& commit : unseen.commits()) {
        result = static_cast<Commits>(result | one(static_cast<unsigned>(commit.position.value)));
    }
    return result;
}

// The database's own steps: emit(next source, action).
template <class Emit>
void source_steps(const Source& source, bool asynchronous_commit, const Emit& emit) {
    static constexpr const char* write_names[keys] = {"source: commit record for key 0",
                                                      "source: commit record for key 1"};
    for (unsigned key = 0; key < keys; ++key) {
        if (!source.may_write(key)) continue;
        const unsigned current = source.value(key, up_to(source.size));
        for (unsigned value = 0; value < values; ++value) {
            if (value == current) continue;
            Source next = source;
            next.log[next.size++] = static_cast<std::uint8_t>(key * values + value);
            emit(next, write_names[key]);
        }
    }
    if (source.flushed < source.size) {
        Source next = source;
        ++next.flushed;
        emit(next, "source: flush");
    }
    for (unsigned c = 1; c <= source.size; ++c) {
        if (has(source.visible, c) || (c > source.flushed && !asynchronous_commit)) continue;
        Source next = source;
        next.visible = static_cast<Commits>(next.visible | one(c));
        emit(next, "source: a commit becomes visible");
    }
}

}  // namespace segue::model
