#include "tests/faults/storm.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/support/who_waits.hpp"

namespace segue::test {

using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr auto goal_limit = 180s * busy_factor;
constexpr auto verb_limit = 60s;
constexpr auto between_verbs = 50ms;

constexpr unsigned at_point_percent = 33;
// Then it is killed wherever it is. The operator comes to a change of authority in his own time.
constexpr auto at_point_limit = 5s, at_change_limit = 20s;
constexpr unsigned crash_percent = 12;  // Of the rounds: a server crashes in them, too.
constexpr unsigned start_in_between_percent = 40;
// Where Segue never lives long enough to get anything done, the storm pauses, so that the next
// kills meet it at another place.
constexpr int rounds_in_vain_max = 8;

bool is_authority(const json& status, const std::string& side) {
    return status["authority"] == side && status["sessions"]["held"] == 0;
}

}  // namespace

void StormOperator::start() {
    thread_ = std::thread{[this] { run(); }};
}

void StormOperator::stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
}

std::string StormOperator::said_last() const {
    const std::scoped_lock lock{mutex_};
    return said_;
}

void StormOperator::run() {
    if (!reach({"start"}, [](const json& now) { return now["backfill"]["state"] == "consistent"; }))
        return;
    ++goals_;
    for (bool there = true; !stopping_; there = !there) {
        const std::string change = there ? "cutover" : "rollback";
        something_else(change);
        const std::string to = there ? "target" : "source";
        if (!reach({change}, [&](const json& now) { return is_authority(now, to); })) return;
        ++changes_;
        ++goals_;
    }
}

// Until status says that it is so; false when the storm is over before.
bool StormOperator::reach(const std::vector<std::string>& verb, const Goal& reached) {
    while (!stopping_ && !different_) {
        const auto now = segue_.status();
        if (now && (*now)["verify"]["state"] == "different") different_ = true;
        if (now && reached(*now)) return true;
        if (now) say(verb);
        within(between_verbs, [&] { return stopping_.load(); });
    }
    return false;
}

// It goes on where it was, so that it ends even where it is killed again and again.
void StormOperator::verify() {
    const auto verified = [this] { return say({"verify"}).exit_code == 0; };
    if (!reach({"status"}, [&](const json&) { return verified(); })) return;
    ++verified_;
    ++goals_;
}

CommandResult StormOperator::say(const std::vector<std::string>& verb) {
    CommandResult result = segue_.verb(verb, verb_limit);
    const std::scoped_lock lock{mutex_};
    said_ = verb[0] + ": " + std::to_string(result.exit_code) + " " + result.err;
    return result;
}

void StormOperator::something_else(const std::string& change) {
    const auto mode = [](const char* name) {
        return [name](const json& now) { return now["mirror"]["mode"] == name; };
    };
    switch (dice_.below(8)) {
        case 0:
        case 1:
            reach({"mirror", "sync"}, mode("sync"));
            break;
        case 2:
            reach({"mirror", "async"}, mode("async"));
            break;
        case 3:
            verify();
            break;
        case 4:
            say({"rehearse"});
            break;
        case 5:
            say({"pause"});
            reach({"resume"}, [](const json& now) { return now["backfill"]["paused"] == false; });
            break;
        case 6:  // It is begun, and given up in the middle.
            say({change, "--deadline", "1"});
            break;
        default:
            break;
    }
}

Storm::Storm(unsigned seed, int kills, PointBook& points)
    : kills_wanted_(kills),
      dice_(seed),
      life_(seed),
      operator_(segue(), seed + 1),
      points_(points) {}

void Storm::rage() {
    life_.begin("list");
    operator_.start();
    wait(random_gap());
    kill_segue();
    learn_points();
    while (kills_ < kills_wanted_ && !testing::Test::HasFailure()) round();
    operator_.stop();
    if (operator_.found_difference()) {
        for (const PostgresServer* server :
             {&life_.migration().source(), &life_.migration().target()})
            ADD_FAILURE() << "verify found a difference: "
                          << server->value(
                                 "SELECT concat_ws(E'\\n', (SELECT json_agg(d) FROM"
                                 " segue.difference d), (SELECT json_agg(t) FROM"
                                 " segue.verified_table t WHERE verdict::text <> 'equal'))",
                                 "shop");
    }
    if (testing::Test::HasFailure()) return;
    life_.live();
    life_.expect_right();
}

std::string Storm::report() {
    return std::to_string(kills_) + " kills, " + std::to_string(at_points_) +
           " of them at crash points, " + std::to_string(crashes_) + " crashes of servers, " +
           std::to_string(operator_.changes()) + " changes of authority, " +
           std::to_string(operator_.verified()) + " verifications" +
           (life_.schema_changes() == nullptr
                ? ""
                : ", " + std::to_string(life_.schema_changes()->committed()) +
                      " changes of the schema");
}

// Segue starts, lives for a while, and dies.
void Storm::round() {
    const Gap gap = next_gap();
    const bool crash = !gap.until_goal && dice_.percent(crash_percent);
    armed_.clear();
    const bool owed = operator_.goals_reached() == 0 && points_.is_owed_while_copying();
    const bool at_point = dice_.percent(at_point_percent) || owed;
    const std::string point = gap.until_goal || crash || !at_point ? "list" : arm();
    segue().launch(point);
    wait(armed_.empty()
             ? gap
             : Gap{armed_.starts_with("change.") ? at_change_limit : at_point_limit, false});
    if (crash) {
        crash_a_server();
        wait(random_gap());
    }
    expect_progress(gap);
    const bool by_itself = !segue().running();
    if (by_itself && armed_.empty()) ADD_FAILURE() << "Segue ended by itself";
    if (by_itself) {
        ++at_points_;
        points_.died(armed_);
    }
    note((by_itself ? "dead at " : "killed, running to ") + point);
    kill_segue();
    if (operator_.goals_reached() > 0 && life_.schema_changes() != nullptr)
        life_.schema_changes()->may_rename();
    if (point == "list") learn_points();
}

Storm::Gap Storm::next_gap() {
    const int goals = operator_.goals_reached();
    rounds_in_vain_ = goals == goals_seen_ ? rounds_in_vain_ + 1 : 0;
    goals_seen_ = goals;
    if (rounds_in_vain_ > rounds_in_vain_max) return {goal_limit, true};
    return random_gap();
}

// Short ones end in the middle of recovery, long ones anywhere.
Storm::Gap Storm::random_gap() {
    const unsigned kind = dice_.below(10);
    const unsigned length_max = kind < 3 ? 250 : kind < 8 ? 800 : 1600;
    return {std::chrono::milliseconds{1 + dice_.below(length_max)}, false};
}

void Storm::wait(const Gap& gap) {
    within(gap.length, [&] {
        return !segue().running() || (gap.until_goal && (operator_.goals_reached() > goals_seen_ ||
                                                         operator_.found_difference()));
    });
}

void Storm::expect_progress(const Gap& gap) {
    if (!gap.until_goal || operator_.goals_reached() > goals_seen_) return;
    const auto status = segue().status();
    ADD_FAILURE() << "nothing is reached; the operator was told last: " << operator_.said_last()
                  << "\n"
                  << (status ? status->dump(1) : "no status") << "\n"
                  << who_waits(life_.migration().source()) << who_waits(life_.migration().target());
}

// Those that are reached all the time: not always at the first.
std::string Storm::arm() {
    const auto point = points_.arm(dice_, operator_.goals_reached() > 0);
    if (!point) return "list";
    armed_ = *point;
    const bool often = point->starts_with("apply.") && point->ends_with("_commit");
    return *point + ":" + std::to_string(1 + (often ? dice_.below(20) : 0));
}

// Segue is there, or begins while the server is away.
void Storm::crash_a_server() {
    Migration& migration = life_.migration();
    const bool source = dice_.percent(50);
    PostgresServer& server = source ? migration.source() : migration.target();
    note(source ? "the source crashes" : "the target crashes");
    server.stop(Stop::immediate);
    ++crashes_;
    if (dice_.percent(start_in_between_percent)) {
        kill_segue();
        segue().launch("list");
    }
    server.start();
}

void Storm::kill_segue() {
    segue().kill();
    ++kills_;
}

void Storm::learn_points() {
    std::istringstream log{segue().log()};
    const std::string prefix = "crash point ";
    for (std::string line; std::getline(log, line);) {
        if (line.starts_with(prefix)) points_.learn(line.substr(prefix.size()));
    }
}

// Beside Segue's log, which stays when the test fails.
void Storm::note(const std::string& what) {
    const auto at = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - began_);
    std::ofstream{segue().folder() / "storm", std::ios::app}
        << at.count() << " ms: kill " << kills_ << ", " << what << "; "
        << life_.workload().committed() << " transactions, " << operator_.goals_reached()
        << " goals; " << operator_.said_last() << std::endl;
}

}  // namespace segue::test
