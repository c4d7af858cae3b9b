// Comparing both sides under load (DESIGN 5, "Twin snapshots", and dirty windows): zero false
// alarms, whatever the interleaving, with crashes of the mover and the source and commits applied
// out of order. One loaded table of two keys, three transactions. Visibility is judged by the real
// code. The model's follower is right by construction, so that every difference a comparison
// reports is a false alarm.

#include <gtest/gtest.h>

#include "tests/model/explore.hpp"
#include "tests/model/source.hpp"

namespace segue::model {
namespace {

enum class Method : std::uint8_t { window, twin };

struct Rules {
    Method method = Method::twin;
    bool gap_check = true;           // S sees every commit dispatched before it.
    bool reach_h = true;             // The stream, applied, has come to the log's end under S.
    bool skip_dirty = true;          // Window: keys touched in it are left for the next round.
    bool dispatch_only_seen = true;  // Twin: what S does not see waits until T is open.
    bool drain_before_t = true;      // Twin: T is opened when everything dispatched is applied.
    bool caught_up_first =
        true;  // Twin: not before everything that is durable was delivered again.
    bool contiguous_progress = true;  // Held commits keep the applied position below them.
    bool durable_unseen = true;
    Ids ids = Ids::in_commit_order;
};

enum class Comparing : std::uint8_t { nothing, opened, reading };

struct State {
    Source source;
    Comparing comparing = Comparing::nothing;
    std::uint8_t opened_at = 0;
    Commits snapshot = 0;
    std::uint8_t h = 0;
    std::uint8_t dispatched = 0;
    Commits done = 0;
    Commits pending = 0;
    Commits held = 0;
    Commits unseen = 0;
    std::array<std::uint8_t, keys> rows{1, 0};
    std::uint8_t applied = 0;
    Commits beyond = 0;
    std::uint8_t restart = 0;
    Commits restart_unseen = 0;
    std::uint8_t slot = 0;
    std::uint8_t compared = 0;  // Whether a comparison ever came to its end.
};

class Comparison {
public:
    explicit Comparison(Rules rules) : rules_(rules) {}

    State initial() const { return {}; }
    bool goal(const State& s) const {
        return s.source.at_rest() && s.done == up_to(s.source.size) && s.compared == 1;
    }
    void steps(const State& s, std::vector<Step<State>>& out) const {
        source_steps(s.source, true, [&](const Source& source, const char* action) {
            State next = s;
            next.source = source;
            emit(out, next, action);
        });
        State next = s;
        emit(out, restarted(s), "kill -9 of the mover");
        next.source = s.source.crashed();
        emit(out, restarted(next), "crash of the source");
        deliver(s, out);
        apply(s, out);
        progress(s, out);
        if (rules_.method == Method::twin) {
            twin(s, out);
        } else {
            window(s, out);
        }
    }

private:
    void emit(std::vector<Step<State>>& out,
              const State& next,
              const char* action,
              const char* violation = nullptr) const {
        for (unsigned key = 0; key < keys && violation == nullptr; ++key) {
            if (next.rows[key] != next.source.value(key, next.done))
                violation = "a held commit was lost";
        }
        out.push_back({next, action, violation});
    }

    State restarted(State s) const {
        s.comparing = Comparing::nothing;
        s.opened_at = s.snapshot = s.h = 0;
        s.dispatched = s.slot;
        s.done = static_cast<Commits>(up_to(s.applied) | s.beyond);
        s.pending = s.held = 0;
        s.unseen = rules_.durable_unseen ? s.restart_unseen : Commits{0};
        return s;
    }

    bool twin_open(const State& s) const {
        return rules_.method == Method::twin && s.comparing != Comparing::nothing;
    }

    void deliver(const State& s, std::vector<Step<State>>& out) const {
        if (s.dispatched >= s.source.flushed) return;
        if (twin_open(s) && (s.comparing == Comparing::opened || s.dispatched >= s.h))
            return;  // Hold.
        State next = s;
        const unsigned c = ++next.dispatched;
        auto unseen = unseen_of(next.unseen, rules_.ids);
        if (!unseen.add(id_of(c, rules_.ids), Position{c})) return;
        next.unseen = bits_of(unseen);
        if (has(s.done, c)) {
            emit(out, next, "stream: a commit is delivered again");
            return;
        }
        const bool hold = twin_open(s) && rules_.dispatch_only_seen && !has(s.snapshot, c);
        Commits& where = hold ? next.held : next.pending;
        where = static_cast<Commits>(where | one(c));
        emit(out, next, hold ? "stream: a commit is held" : "stream: a commit is dispatched");
    }

    void apply(const State& s, std::vector<Step<State>>& out) const {
        for (unsigned c = 1; c <= s.source.size; ++c) {
            if (!has(s.pending, c)) continue;
            bool waits = false;
            for (unsigned earlier = 1; earlier < c; ++earlier) {
                waits = waits ||
                        (has(s.pending, earlier) && s.source.key_of(earlier) == s.source.key_of(c));
            }
            if (waits) continue;
            State next = s;
            auto& row = next.rows[s.source.key_of(c)];
            const bool fits = (row == 0) == (s.source.value_before(c) == 0);
            row = static_cast<std::uint8_t>(s.source.new_value(c));
            next.pending = static_cast<Commits>(next.pending & ~one(c));
            next.done = static_cast<Commits>(next.done | one(c));
            record_progress(next);
            emit(
                out, next, "apply", fits ? nullptr : "strict apply: a change does not fit the row");
        }
    }

    void record_progress(State& s) const {
        unsigned position = s.applied;
        for (unsigned c = position + 1u; c <= s.source.size; ++c) {
            if (has(s.done, c)) {
                position = c;
            } else if (rules_.contiguous_progress) {
                break;
            }
        }
        s.applied = static_cast<std::uint8_t>(position);
        s.beyond = static_cast<Commits>(s.done & ~up_to(s.applied));
    }

    void progress(const State& s, std::vector<Step<State>>& out) const {
        State next = s;
        next.restart = std::min(s.applied, s.dispatched);
        const auto durable = unseen_of(s.unseen, rules_.ids).durable(Position{next.restart});
        next.restart_unseen = bits_of(*backfill::Unseen::restore(durable));
        if (next.restart > s.restart ||
            (next.restart == s.restart && next.restart_unseen != s.restart_unseen)) {
            emit(out, next, "progress: mark the restart point");
        }
        next = s;
        next.slot = s.restart;
        if (next.slot > s.slot) emit(out, next, "progress: confirm the slot");
    }

    // Takes S; true when it sees every commit dispatched before the comparison was opened.
    bool take_snapshot(State& s) const {
        auto unseen = unseen_of(s.unseen, rules_.ids);
        const auto snapshot = snapshot_of(s.source.visible, rules_.ids);
        const bool accepted =
            !rules_.gap_check || unseen.all_seen_up_to(snapshot, Position{s.opened_at});
        unseen.prune(snapshot);
        s.unseen = bits_of(unseen);
        if (!accepted) return false;
        s.comparing = Comparing::reading;
        s.snapshot = s.source.visible;
        s.h = s.source.size;
        return true;
    }

    static State closed(State s) {
        s.comparing = Comparing::nothing;
        s.opened_at = s.snapshot = s.h = 0;
        s.compared = 1;
        return s;
    }

    void twin(const State& s, std::vector<Step<State>>& out) const {
        State next = s;
        switch (s.comparing) {
            case Comparing::nothing: {
                const bool caught_up = (s.done & ~up_to(s.dispatched)) == 0;
                if (!caught_up && rules_.caught_up_first) return;
                next.comparing = Comparing::opened;
                next.opened_at = s.dispatched;
                emit(out, next, "twin: hold dispatch");
                break;
            }
            case Comparing::opened: {
                const bool accepted = take_snapshot(next);
                emit(out, next, accepted ? "twin: S" : "twin: S refused");
                break;
            }
            case Comparing::reading: {
                if (rules_.reach_h && s.dispatched < s.h) return;
                if (rules_.drain_before_t && s.pending != 0) return;
                bool equal = true;
                for (unsigned key = 0; key < keys; ++key) {
                    equal = equal && s.rows[key] == s.source.value(key, s.snapshot);
                }
                next = closed(s);
                next.pending = static_cast<Commits>(next.pending | next.held);
                next.held = 0;
                emit(out, next, "twin: T, compare, release", equal ? nullptr : "a false alarm");
                break;
            }
        }
    }

    void window(const State& s, std::vector<Step<State>>& out) const {
        State next = s;
        switch (s.comparing) {
            case Comparing::nothing:
                next.comparing = Comparing::opened;
                next.opened_at = s.dispatched;
                emit(out, next, "window: open");
                break;
            case Comparing::opened: {
                const bool accepted = take_snapshot(next);
                emit(out, next, accepted ? "window: S" : "window: S refused");
                break;
            }
            case Comparing::reading: {
                const bool reached = (up_to(s.h) & ~s.done) == 0 && s.dispatched >= s.h;
                if (rules_.reach_h && !reached) return;
                bool equal = true;
                for (unsigned key = 0; key < keys; ++key) {
                    if (rules_.skip_dirty && dirty(s, key)) continue;
                    equal = equal && s.rows[key] == s.source.value(key, s.snapshot);
                }
                emit(out,
                     closed(s),
                     "window: compare what is clean",
                     equal ? nullptr : "a false alarm");
                break;
            }
        }
    }

    static bool dirty(const State& s, unsigned key) {
        for (unsigned c = s.opened_at + 1u; c <= s.dispatched; ++c) {
            if (s.source.key_of(c) == key) return true;
        }
        return false;
    }

    Rules rules_;
};

constexpr std::size_t states_max = 20'000'000;

Exploration explore(const Rules& rules) {
    return Explorer<State>{states_max}.run(Comparison{rules});
}

class ComparisonMethod : public ::testing::TestWithParam<std::pair<Method, Ids>> {};

TEST_P(ComparisonMethod, NeverRaisesAFalseAlarmAndAlwaysEnds) {
    Rules rules;
    rules.method = GetParam().first;
    rules.ids = GetParam().second;
    const auto result = explore(rules);
    EXPECT_TRUE(result.violation.empty()) << result.text();
    EXPECT_TRUE(result.complete) << result.text();
    EXPECT_GT(result.goals, 0u);
    EXPECT_EQ(result.stuck, 0u) << result.text();
}

INSTANTIATE_TEST_SUITE_P(Of,
                         ComparisonMethod,
                         ::testing::Values(std::pair{Method::window, Ids::in_commit_order},
                                           std::pair{Method::window, Ids::reversed},
                                           std::pair{Method::twin, Ids::in_commit_order},
                                           std::pair{Method::twin, Ids::reversed}));

struct Mutant {
    const char* name;
    Method method;
    bool Rules::*rule;
};

class ComparisonMutant : public ::testing::TestWithParam<Mutant> {};

TEST_P(ComparisonMutant, IsCaught) {
    Rules rules;
    rules.method = GetParam().method;
    rules.*GetParam().rule = false;
    const auto result = explore(rules);
    EXPECT_FALSE(result.violation.empty())
        << "without this rule nothing goes wrong: " << result.text();
}

INSTANTIATE_TEST_SUITE_P(
    Without,
    ComparisonMutant,
    ::testing::Values(
        Mutant{"window_gap_check", Method::window, &Rules::gap_check},
        Mutant{"window_reaching_h", Method::window, &Rules::reach_h},
        Mutant{"window_skipping_dirty_keys", Method::window, &Rules::skip_dirty},
        Mutant{"window_durable_unseen", Method::window, &Rules::durable_unseen},
        Mutant{"twin_gap_check", Method::twin, &Rules::gap_check},
        Mutant{"twin_reaching_h", Method::twin, &Rules::reach_h},
        Mutant{"twin_dispatching_only_what_s_sees", Method::twin, &Rules::dispatch_only_seen},
        Mutant{"twin_draining_before_t", Method::twin, &Rules::drain_before_t},
        Mutant{"twin_catching_up_first", Method::twin, &Rules::caught_up_first},
        Mutant{"twin_contiguous_progress", Method::twin, &Rules::contiguous_progress},
        Mutant{"twin_durable_unseen", Method::twin, &Rules::durable_unseen}),
    [](const auto& mutant) { return std::string{mutant.param.name}; });

}  // namespace
}  // namespace segue::model
