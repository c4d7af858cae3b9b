#pragma once
// One migration that goes on through any number of deaths: Segue is killed at random times and at
// named instants, either server crashes, while clients write and an operator changes the authority
// there and back, again and again.

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/faults/driven_life.hpp"
#include "tests/faults/point_book.hpp"
#include "tests/support/dice.hpp"

namespace segue::test {

// Asks for one thing after the other, and again where Segue is not there or refuses. In a thread of
// its own; starts and ends no process but the verbs'.
class StormOperator {
public:
    StormOperator(const SegueProcess& segue, std::uint64_t seed) : segue_(segue), dice_(seed) {}
    ~StormOperator() { stop(); }

    void start();
    void stop();
    // Once consistent, each change of authority, and each verification that came to its end.
    int goals_reached() const { return goals_; }
    int verified() const { return verified_; }
    int changes() const { return changes_; }
    bool found_difference() const { return different_; }
    std::string said_last() const;

private:
    using Goal = std::function<bool(const nlohmann::json& status)>;
    void run();
    bool reach(const std::vector<std::string>& verb, const Goal& reached);
    CommandResult say(const std::vector<std::string>& verb);
    void verify();
    void something_else(const std::string& change);

    const SegueProcess& segue_;
    Dice dice_;
    std::atomic<bool> stopping_{false}, different_{false};
    std::atomic<int> goals_{0}, verified_{0}, changes_{0};
    mutable std::mutex mutex_;
    std::string said_;
    std::thread thread_;
};

class Storm {
public:
    // `kills` of Segue; a part of them at the crash points of that book, which outlives this, and
    // now and then a server crashes.
    Storm(unsigned seed, int kills, PointBook& points);

    // All of it, and the end in calm weather: equality and journal on both sides.
    void rage();
    std::string report();

private:
    struct Gap {
        std::chrono::milliseconds length;
        bool until_goal;  // Nobody dies before the operator has reached something.
    };
    void round();
    Gap next_gap();
    Gap random_gap();
    void wait(const Gap& gap);
    std::string arm();
    void crash_a_server();
    void kill_segue();
    void learn_points();
    void note(const std::string& what);
    void expect_progress(const Gap& gap);

    SegueProcess& segue() { return life_.migration().segue(); }

    const int kills_wanted_;
    Dice dice_;
    DrivenLife life_;
    StormOperator operator_;
    PointBook& points_;
    std::string armed_;  // In this round; empty: none.
    int kills_ = 0, at_points_ = 0, crashes_ = 0;
    int goals_seen_ = 0, rounds_in_vain_ = 0;
    const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace segue::test
