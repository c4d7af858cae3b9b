#pragma once
// Explores every reachable state of a small model, breadth first, so that the first violation found
// comes with a shortest story. A state is a plain value of bytes without padding.

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

namespace segue::model {

// What one step of the model does. `violation` is null, or names the broken promise.
template <class State>
struct Step {
    State next;
    const char* action = "";
    const char* violation = nullptr;
};

struct Exploration {
    std::size_t states = 0;
    std::size_t goals = 0;  // States in which the model says that everything came to its end.
    std::string violation;  // Empty: none.
    std::vector<std::string> story;  // The actions that lead to it.
    std::size_t stuck = 0;           // States from which no goal can be reached any more.
    bool complete = false;           // Every reachable state was visited.

    std::string text() const {
        std::string result = violation.empty() ? "no violation" : violation;
        result += " (" + std::to_string(states) + " states)";
        for (const auto& action : story) result += "\n  " + action;
        return result;
    }
};

template <class State>
class Explorer {
    static_assert(std::has_unique_object_representations_v<State>,
                  "no padding: states are hashed by bytes");

public:
    explicit Explorer(std::size_t states_max) : states_max_(states_max) {
        table_.assign(1 << 16, none);
    }

    // Model: State initial(); bool goal(const State&); void steps(const State&,
    // std::vector<Step<State>>&).
    template <class Model>
    Exploration run(const Model& model) {
        Exploration result;
        remember(model.initial(), none, "begin");
        std::vector<Step<State>> steps;
        for (std::uint32_t at = 0; at < states_.size(); ++at) {
            if (model.goal(states_[at])) goals_.push_back(at);
            steps.clear();
            model.steps(State{states_[at]}, steps);
            for (const auto& step : steps) {
                if (step.violation != nullptr) {
                    result.violation = step.violation;
                    result.story = story(at, step.action);
                    result.states = states_.size();
                    return result;
                }
                edges_.push_back({at, remember(step.next, at, step.action)});
            }
            if (states_.size() > states_max_) {
                result.states = states_.size();
                return result;
            }
        }
        result.states = states_.size();
        result.goals = goals_.size();
        result.complete = true;
        result.stuck = count_stuck(result);
        return result;
    }

private:
    static constexpr std::uint32_t none = 0xffffffff;
    struct Edge {
        std::uint32_t from, to;
    };

    static std::size_t hash(const State& state) {
        std::uint64_t value = 0x9e3779b97f4a7c15ull;
        const auto* bytes = reinterpret_cast<const unsigned char*>(&state);
        for (std::size_t i = 0; i < sizeof(State); ++i)
            value = (value ^ bytes[i]) * 0x100000001b3ull;
        return value ^ (value >> 29);
    }

    std::uint32_t remember(const State& state, std::uint32_t from, const char* action) {
        std::size_t slot = hash(state) & (table_.size() - 1);
        for (; table_[slot] != none; slot = (slot + 1) & (table_.size() - 1)) {
            if (std::memcmp(&states_[table_[slot]], &state, sizeof(State)) == 0)
                return table_[slot];
        }
        const auto index = static_cast<std::uint32_t>(states_.size());
        states_.push_back(state);
        from_.push_back(from);
        action_.push_back(action);
        table_[slot] = index;
        if (states_.size() * 2 > table_.size()) grow();
        return index;
    }

    void grow() {
        table_.assign(table_.size() * 4, none);
        for (std::uint32_t i = 0; i < states_.size(); ++i) {
            std::size_t slot = hash(states_[i]) & (table_.size() - 1);
            while (table_[slot] != none) slot = (slot + 1) & (table_.size() - 1);
            table_[slot] = i;
        }
    }

    std::vector<std::string> story(std::uint32_t at, const char* last) const {
        std::vector<std::string> result;
        if (last != nullptr) result.push_back(last);
        for (; at != none; at = from_[at]) result.push_back(action_[at]);
        return {result.rbegin(), result.rend()};
    }

    // Walks backwards from the goals.
    std::size_t count_stuck(Exploration& result) const {
        std::vector<std::uint32_t> first(states_.size() + 1, 0);
        for (const Edge& edge : edges_) ++first[edge.to + 1];
        for (std::size_t i = 1; i < first.size(); ++i) first[i] += first[i - 1];
        std::vector<std::uint32_t> sources(edges_.size());
        std::vector<std::uint32_t> next = first;
        for (const Edge& edge : edges_) sources[next[edge.to]++] = edge.from;

        std::vector<bool> reaches(states_.size(), false);
        std::vector<std::uint32_t> work = goals_;
        for (const std::uint32_t goal : goals_) reaches[goal] = true;
        std::size_t count = goals_.size();
        while (!work.empty()) {
            const std::uint32_t at = work.back();
            work.pop_back();
            for (std::uint32_t i = first[at]; i < first[at + 1]; ++i) {
                if (reaches[sources[i]]) continue;
                reaches[sources[i]] = true;
                ++count;
                work.push_back(sources[i]);
            }
        }
        for (std::uint32_t i = 0; i < states_.size() && result.story.empty(); ++i) {
            if (!reaches[i]) result.story = story(i, "and from here the end cannot be reached");
        }
        return states_.size() - count;
    }

    std::size_t states_max_;
    std::vector<State> states_;
    std::vector<std::uint32_t> from_;
    std::vector<const char*> action_;
    std::vector<std::uint32_t> table_;  // Open addressing: indexes of states_.
    std::vector<Edge> edges_;
    std::vector<std::uint32_t> goals_;
};

}  // namespace segue::model
