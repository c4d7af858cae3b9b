// The copy protocol "open, snapshot, gate" (DESIGN 5), with kill -9 of the mover and crashes of the
// source at every point, asynchronous commit, the durable list of unseen commits, and progress out
// of order. One chunk, two keys, three transactions, every interleaving. Visibility is judged by
// the real code.
//
// Every rule has a mutant: the same model without it, in which a story of a lost, revived or
// doubled row must be found. A mutant that survives means that the model no longer checks anything.

#include <gtest/gtest.h>

#include <vector>

#include "tests/model/explore.hpp"
#include "tests/model/source.hpp"

namespace segue::model {
namespace {

struct Rules {
    // R2: the snapshot sees every commit dispatched before the chunk opened.
    bool gap_check = true;
    // R3: the chunk is committed only when the stream has reached H.
    bool gate = true;
    // R1: a loaded chunk skips commits at or below its load position.
    bool load_filter = true;
    // R4: buffered changes that the snapshot shows are not applied again.
    bool snapshot_filter = true;
    // R7: the restart point carries the unseen list.
    bool durable_unseen = true;
    // The restart point is durable before the slot is confirmed to it.
    bool mark_before_confirm = true;
    // `applied` stands below the first commit that is unfinished.
    bool contiguous_progress = true;
    // Commits applied above it are remembered with it.
    bool remember_beyond = true;
    // No chunk is opened before all that was done before a crash came by again.
    bool open_when_caught_up = true;
    bool asynchronous_commit = true;
    Ids ids = Ids::in_commit_order;
};

enum class Chunk : std::uint8_t { none, open, read, loaded };

struct State {
    Source source;
    // The mover's memory.
    Chunk chunk = Chunk::none;
    std::uint8_t open_position = 0;  // OPEN, READ
    Commits snapshot = 0;            // READ: what S shows.
    std::uint8_t h = 0;              // READ: the log's end under S.
    std::uint8_t dispatched = 0;     // The stream's position.
    Commits done = 0;                // Discarded, buffered, skipped, or durable on the follower.
    Commits pending = 0;             // Dispatched to the applier.
    Commits unseen = 0;
    // Durable on the follower.
    std::uint8_t load_position = 0;  // LOADED
    std::array<std::uint8_t, keys> rows{};
    std::uint8_t applied = 0;
    Commits beyond = 0;
    std::uint8_t restart = 0;
    Commits restart_unseen = 0;
    // Durable on the source.
    std::uint8_t slot = 0;
};

class CopyProtocol {
public:
    explicit CopyProtocol(Rules rules) : rules_(rules) {}

    State initial() const { return {}; }
    bool goal(const State& s) const {
        return s.source.at_rest() && s.chunk == Chunk::loaded && s.dispatched == s.source.size &&
               s.pending == 0;
    }
    void steps(const State& s, std::vector<Step<State>>& out) const {
        source_steps(
            s.source, rules_.asynchronous_commit, [&](const Source& source, const char* action) {
                State next = s;
                next.source = source;
                emit(out, next, action);
            });
        crashes(s, out);
        deliver(s, out);
        apply(s, out);
        copy(s, out);
        progress(s, out);
    }

private:
    static constexpr const char* strict = "strict apply: a change does not fit the row";

    void emit(std::vector<Step<State>>& out,
              const State& next,
              const char* action,
              const char* violation = nullptr) const {
        if (violation == nullptr) violation = check(next);
        out.push_back({next, action, violation});
    }

    // I1: a loaded chunk is exactly the source after the commits that count as applied.
    const char* check(const State& s) const {
        // Not looked at without the rule itself: its mutant shall show what is lost.
        if (rules_.mark_before_confirm && s.slot > s.applied)
            return "the slot is beyond what is durable on the follower";
        if (s.chunk != Chunk::loaded) return nullptr;
        const auto applied = static_cast<Commits>(up_to(s.load_position) | s.done);
        for (unsigned key = 0; key < keys; ++key) {
            if (s.rows[key] != s.source.value(key, applied))
                return "the follower's row differs from the source's";
        }
        return nullptr;
    }

    // What a restart finds. LOADED is durable; every other state of the chunk is forgotten.
    State restarted(State s) const {
        if (s.chunk != Chunk::loaded) s.chunk = Chunk::none;
        s.open_position = s.snapshot = s.h = 0;
        s.dispatched = s.slot;
        s.done = static_cast<Commits>(up_to(s.applied) | s.beyond);
        s.pending = 0;
        s.unseen = rules_.durable_unseen ? s.restart_unseen : Commits{0};
        return s;
    }

    void crashes(const State& s, std::vector<Step<State>>& out) const {
        emit(out, restarted(s), "kill -9 of the mover");
        State next = s;
        next.source = s.source.crashed();
        emit(out, restarted(next), "crash of the source");
    }

    void deliver(const State& s, std::vector<Step<State>>& out) const {
        if (s.dispatched >= s.source.flushed) return;
        State next = s;
        const unsigned c = ++next.dispatched;
        auto unseen = unseen_of(next.unseen, rules_.ids);
        if (!unseen.add(id_of(c, rules_.ids), Position{c})) return;
        next.unseen = bits_of(unseen);
        switch (s.chunk) {
            case Chunk::none:
            case Chunk::open:
            case Chunk::read:  // Buffered ones are those in (open_position, dispatched].
                if (has(s.done, c) && s.open_position == c - 1) ++next.open_position;
                next.done = static_cast<Commits>(next.done | one(c));
                break;
            case Chunk::loaded:
                if (has(s.done, c)) break;
                if (rules_.load_filter && c <= s.load_position) {
                    next.done = static_cast<Commits>(next.done | one(c));
                } else {
                    next.pending = static_cast<Commits>(next.pending | one(c));
                }
                break;
        }
        emit(out, next, "stream: a commit is delivered");
    }

    // One follower transaction: the row and the progress that claims it.
    void apply(const State& s, std::vector<Step<State>>& out) const {
        for (unsigned c = 1; c <= s.source.size; ++c) {
            if (!has(s.pending, c) || earlier_writer_pending(s, c)) continue;
            State next = s;
            const char* violation =
                write(next.rows[s.source.key_of(c)], s.source, c) ? nullptr : strict;
            next.pending = static_cast<Commits>(next.pending & ~one(c));
            next.done = static_cast<Commits>(next.done | one(c));
            record_progress(next);
            emit(out,
                 next,
                 c == 1 || (s.pending & up_to(c - 1)) == 0 ? "apply" : "apply out of order",
                 violation);
        }
    }

    static bool earlier_writer_pending(const State& s, unsigned c) {
        for (unsigned earlier = 1; earlier < c; ++earlier) {
            if (has(s.pending, earlier) && s.source.key_of(earlier) == s.source.key_of(c))
                return true;
        }
        return false;
    }

    // INSERT must find nothing, UPDATE and DELETE exactly one row.
    static bool write(std::uint8_t& row, const Source& source, unsigned c) {
        const bool fits = (row == 0) == (source.value_before(c) == 0);
        row = static_cast<std::uint8_t>(source.new_value(c));
        return fits;
    }

    void record_progress(State& s) const {
        unsigned contiguous = 0;
        for (unsigned c = 1; c <= s.dispatched && has(s.done, c); ++c) contiguous = c;
        if (!rules_.contiguous_progress) {
            for (unsigned c = 1; c <= s.dispatched; ++c)
                contiguous = has(s.done, c) ? c : contiguous;
        }
        s.applied = static_cast<std::uint8_t>(std::max<unsigned>(s.applied, contiguous));
        if (rules_.remember_beyond) s.beyond = static_cast<Commits>(s.done & ~up_to(s.applied));
    }

    void copy(const State& s, std::vector<Step<State>>& out) const {
        State next = s;
        switch (s.chunk) {
            case Chunk::none:
                // What is delivered again is skipped as a whole, so nothing may be open that would
                // need it.
                if (rules_.open_when_caught_up && (s.done & ~up_to(s.dispatched)) != 0) break;
                next.chunk = Chunk::open;
                next.open_position = s.dispatched;
                emit(out, next, "chunk: open");
                break;
            case Chunk::open: {
                auto unseen = unseen_of(s.unseen, rules_.ids);
                const auto snapshot = snapshot_of(s.source.visible, rules_.ids);
                const bool accepted =
                    !rules_.gap_check || unseen.all_seen_up_to(snapshot, Position{s.open_position});
                unseen.prune(snapshot);
                next.unseen = bits_of(unseen);
                if (accepted) {
                    next.chunk = Chunk::read;
                    next.snapshot = s.source.visible;
                    next.h = s.source.size;
                }
                emit(out,
                     next,
                     accepted ? "chunk: read under a snapshot" : "chunk: snapshot refused");
                break;
            }
            case Chunk::read:
                if (!rules_.gate || s.dispatched >= s.h) load(s, out);
                break;
            case Chunk::loaded:
                break;
        }
    }

    // The open follower transaction: rows of S, then what was buffered and S does not show, then
    // LOADED.
    void load(const State& s, std::vector<Step<State>>& out) const {
        State next = s;
        bool fits = true;
        for (unsigned key = 0; key < keys; ++key) {
            auto row = static_cast<std::uint8_t>(s.source.value(key, s.snapshot));
            for (unsigned c = s.open_position + 1u; c <= s.dispatched; ++c) {
                if (s.source.key_of(c) != key) continue;
                if (rules_.snapshot_filter && has(s.snapshot, c)) continue;
                fits = write(row, s.source, c) && fits;
            }
            next.rows[key] = row;
        }
        next.chunk = Chunk::loaded;
        next.load_position = s.dispatched;
        next.open_position = next.snapshot = next.h = 0;
        emit(out, next, "chunk: load", fits ? nullptr : strict);
    }

    void progress(const State& s, std::vector<Step<State>>& out) const {
        State next = s;
        record_progress(next);
        next.restart = next.applied;
        const auto durable = unseen_of(s.unseen, rules_.ids).durable(Position{next.restart});
        next.restart_unseen = bits_of(*backfill::Unseen::restore(durable));
        if (next.restart > s.restart || next.restart_unseen != s.restart_unseen)
            emit(out, next, "progress: mark the restart point");

        next = s;
        next.slot = rules_.mark_before_confirm ? s.restart : contiguous(s);
        if (next.slot > s.slot) emit(out, next, "progress: confirm the slot");
    }

    static std::uint8_t contiguous(const State& s) {
        std::uint8_t result = 0;
        while (result < s.dispatched && has(s.done, result + 1u)) ++result;
        return result;
    }

    Rules rules_;
};

constexpr std::size_t states_max = 20'000'000;

Exploration explore(const Rules& rules) {
    return Explorer<State>{states_max}.run(CopyProtocol{rules});
}

void expect_exact(const Rules& rules) {
    const auto result = explore(rules);
    EXPECT_TRUE(result.violation.empty()) << result.text();
    EXPECT_TRUE(result.complete) << result.text();
    EXPECT_GT(result.goals, 0u);
    EXPECT_EQ(result.stuck, 0u) << result.text();
    ::testing::Test::RecordProperty("states", static_cast<int>(result.states));
}

TEST(CopyProtocol, IsExactUnderEveryInterleavingAndCrash) { expect_exact({}); }

TEST(CopyProtocol, IsExactWhenTransactionsCommitInAnotherOrderThanTheyBegan) {
    Rules rules;
    rules.ids = Ids::reversed;
    expect_exact(rules);
}

TEST(CopyProtocol, IsExactUnderSynchronousCommit) {
    Rules rules;
    rules.asynchronous_commit = false;
    expect_exact(rules);
}

struct Mutant {
    const char* name;
    bool Rules::*rule;
};

class CopyProtocolMutant : public ::testing::TestWithParam<Mutant> {};

TEST_P(CopyProtocolMutant, IsCaught) {
    Rules rules;
    rules.*GetParam().rule = false;
    const auto result = explore(rules);
    EXPECT_FALSE(result.violation.empty())
        << "without this rule nothing goes wrong: " << result.text();
}

INSTANTIATE_TEST_SUITE_P(
    Without,
    CopyProtocolMutant,
    ::testing::Values(Mutant{"the_gap_check", &Rules::gap_check},
                      Mutant{"the_gate", &Rules::gate},
                      Mutant{"the_load_filter", &Rules::load_filter},
                      Mutant{"the_snapshot_filter", &Rules::snapshot_filter},
                      Mutant{"the_durable_unseen_list", &Rules::durable_unseen},
                      Mutant{"the_mark_before_the_confirmation", &Rules::mark_before_confirm},
                      Mutant{"contiguous_progress", &Rules::contiguous_progress},
                      Mutant{"memory_of_what_is_beyond", &Rules::remember_beyond},
                      Mutant{"opening_only_when_caught_up", &Rules::open_when_caught_up}),
    [](const auto& mutant) { return std::string{mutant.param.name}; });

}  // namespace
}  // namespace segue::model
