// The status JSON has exactly INTERFACE's shape; unknown is null.

#include "proxy/status.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "proxy/metrics.hpp"
#include "proxy/screen.hpp"
#include "proxy/status_reads.hpp"
#include "tests/proxy/busy_status.hpp"

namespace segue::proxy {
namespace {

using nlohmann::json;
using test::busy;

std::set<std::string> keys(const json& object) {
    std::set<std::string> names;
    for (const auto& [name, value] : object.items()) names.insert(name);
    return names;
}

void expect_shape(const json& status) {
    for (const char* key : {"authority",
                            "epoch",
                            "finished",
                            "backfill",
                            "mirror",
                            "shadow",
                            "shift",
                            "sessions",
                            "rollback_ready",
                            "rollback_blockers",
                            "last_change",
                            "verify",
                            "stray_writes",
                            "warnings"}) {
        EXPECT_TRUE(status.contains(key)) << key;
    }
    EXPECT_EQ(keys(status["backfill"]),
              (std::set<std::string>{"state",
                                     "paused",
                                     "rows_copied",
                                     "rows_total_estimate",
                                     "bytes_copied",
                                     "eta_seconds",
                                     "tables"}));
    EXPECT_EQ(keys(status["mirror"]),
              (std::set<std::string>{"mode",
                                     "policy",
                                     "degraded",
                                     "lag_bytes",
                                     "lag_seconds",
                                     "applied_position",
                                     "retained_log_bytes"}));
    EXPECT_EQ(keys(status["shadow"]),
              (std::set<std::string>{"percent",
                                     "compared",
                                     "equal",
                                     "different",
                                     "unconfirmed",
                                     "timed",
                                     "shed",
                                     "unmeasured",
                                     "slower",
                                     "slower_count",
                                     "tables"}));
    EXPECT_EQ(keys(status["shift"]),
              (std::set<std::string>{"percent",
                                     "by",
                                     "users",
                                     "applications",
                                     "databases",
                                     "tables",
                                     "limits",
                                     "sessions_chosen",
                                     "sessions_reading",
                                     "served_by_follower",
                                     "fallbacks"}));
    EXPECT_EQ(keys(status["sessions"]),
              (std::set<std::string>{
                  "total", "held", "pinned", "pins", "transactions", "requests", "errors"}));
    EXPECT_EQ(keys(status["verify"]),
              (std::set<std::string>{"state",
                                     "rows_compared",
                                     "differences",
                                     "at",
                                     "every_row_verified_since",
                                     "background"}));
}

TEST(Status, HasTheShapeOfTheManualWithAndWithoutAMigration) {
    const json status = status_json(busy());
    expect_shape(status);
    EXPECT_EQ(status["authority"], "target");
    EXPECT_EQ(status["epoch"], 3);
    EXPECT_EQ(status["finished"], false);
    EXPECT_EQ(status["backfill"]["state"], "consistent");
    EXPECT_EQ(
        keys(status["backfill"]["tables"][0]),
        (std::set<std::string>{"schema", "name", "state", "rows_copied", "rows_total_estimate"}));
    EXPECT_EQ(status["mirror"]["mode"], "sync");
    EXPECT_EQ(status["mirror"]["lag_bytes"], 100);
    EXPECT_EQ(status["mirror"]["applied_position"], "0/16B3748");
    EXPECT_TRUE(status["mirror"]["retained_log_bytes"].is_null());
    EXPECT_EQ(status["sessions"]["pins"][0]["pid"], 42);
    EXPECT_EQ(status["rollback_ready"], true);
    EXPECT_EQ(keys(status["last_change"]),
              (std::set<std::string>{
                  "kind", "ok", "hold_ms", "longest_wait_ms", "slowed_ms", "at", "reason"}));
    EXPECT_EQ(status["last_change"]["hold_ms"], 12.5);
    EXPECT_EQ(status["last_change"]["at"], "2023-11-14T22:13:20.123Z");
    EXPECT_TRUE(status["last_change"]["reason"].is_null());
    expect_shape(status_json(StatusInputs{}));
}

TEST(Status, NamesTheStatementsThatDifferAndTheirTimes) {
    using std::chrono::microseconds;
    StatusInputs inputs = busy();
    const auto took = [](int mean) {
        return router::Latency{1, microseconds{mean}, microseconds{mean}, {}, {}};
    };
    inputs.shadow.statements = {
        {1, "SELECT a FROM t WHERE b = $1", 7, 2, 1, 0, took(1500), took(2250)},
        {2, "SELECT c FROM t", 3, 0, 0, 0, took(10), took(20)}};
    const json status = status_json(inputs);
    const json one = status["shadow_statements"][0];
    EXPECT_EQ(one["statement"], "SELECT a FROM t WHERE b = $1");
    EXPECT_EQ(one["compared"], 7);
    EXPECT_EQ(one["different"], 2);
    EXPECT_EQ(one["unconfirmed"], 1);
    EXPECT_EQ(one["authority_ms"], 1.5);
    EXPECT_EQ(one["follower_ms"], 2.25);
    EXPECT_EQ(one["slower"], false);
    const std::string screen = status_screen(status, Colours::off);
    EXPECT_NE(screen.find("2 of 7: SELECT a FROM t WHERE b = $1"), std::string::npos) << screen;
    EXPECT_EQ(screen.find("SELECT c"), std::string::npos) << screen;
}

TEST(Status, SaysNullWhileTheAuthorityIsNotKnown) {
    StatusInputs inputs;
    inputs.board.waiting_for = "the target cannot be read";
    const json status = status_json(inputs);
    EXPECT_TRUE(status["authority"].is_null());
    EXPECT_TRUE(status["epoch"].is_null());
    EXPECT_TRUE(status["backfill"]["state"].is_null());
    EXPECT_TRUE(status["rollback_ready"].is_null());
    for (const char* path : {"/backfill/paused",
                             "/backfill/rows_copied",
                             "/backfill/bytes_copied",
                             "/mirror/mode",
                             "/shadow/percent",
                             "/shift/percent",
                             "/finished",
                             "/stray_writes"}) {
        EXPECT_TRUE(status.at(json::json_pointer{path}).is_null()) << path;
    }
    EXPECT_EQ(status["warnings"][0]["code"], "authority_unknown");
    EXPECT_FALSE(status_screen(status, Colours::off).empty());
    EXPECT_EQ(metrics_text(inputs).find("segue_shift_percent"), std::string::npos);
    inputs.board.waiting_for.clear();  // Right after the program's start.
    EXPECT_NE(warnings(inputs).front().text.find("are being read"), std::string::npos);
}

TEST(Status, TellsWhoWaitsForTheGateAndWhoKeepsAChangeWaiting) {
    StatusInputs inputs = busy();
    inputs.sessions.answers_waiting = 7;
    inputs.sessions.longest_answer_wait = std::chrono::milliseconds{1900};
    EXPECT_TRUE(warnings(inputs).empty()) << "it may be nothing";
    inputs.sessions.longest_answer_wait = std::chrono::milliseconds{2500};
    for (int pid = 1; pid <= 7; ++pid)
        inputs.sessions.long_busy.push_back({pid, "open transaction, for 75.0 s"});
    const std::vector<Warning> told = warnings(inputs);
    ASSERT_EQ(told.size(), 2u);
    EXPECT_EQ(told[0].code, "answers_waiting");
    EXPECT_NE(told[0].text.find("7 clients"), std::string::npos);
    EXPECT_NE(told[0].text.find("2.5 s"), std::string::npos);
    EXPECT_NE(told[0].text.find("mirror async"), std::string::npos);
    EXPECT_EQ(told[1].code, "long_transactions");
    EXPECT_NE(told[1].text.find("pid 5: open transaction, for 75.0 s; and 2 more"),
              std::string::npos)
        << told[1].text;
}

AutoReport soaking() {
    AutoReport report;
    report.plan = "night";
    report.step = "soak";
    report.number = 3;
    report.steps = 4;
    report.code = "watching";
    report.reason = "watched for 5 s of 60 s";
    report.present.emplace();
    report.present->deed = router::Deed::soak;
    report.present->watch = router::Seconds{60};
    report.progress = {router::Seconds{5}, 7, 0};
    report.readings = {{"lag", 0.5, 10}, {"errors", std::nullopt, 0.05}};
    report.titles = {"start", "cutover", "soak", "finish"};
    return report;
}

TEST(Status, ShowsThePlanAndTheFiguresBesideTheirLimits) {
    StatusInputs inputs = busy();
    inputs.autopilot = soaking();
    const json plan = status_json(inputs)["auto"];
    EXPECT_EQ(plan["state"], "running");
    EXPECT_EQ(plan["watch"]["watched_seconds"], 5);
    EXPECT_EQ(plan["watch"]["watch_seconds"], 60);
    EXPECT_EQ(plan["watch"]["samples"], 7);
    EXPECT_EQ(plan["watch"]["samples_min"], 100);
    EXPECT_EQ(plan["watch"]["guardrails"][0],
              (json{{"code", "lag"}, {"value", 0.5}, {"limit", 10.0}}));
    EXPECT_TRUE(plan["watch"]["guardrails"][1]["value"].is_null());
    EXPECT_EQ(auto_details_json(inputs.autopilot)["step_titles"][2], "soak");
    const std::string text = metrics_text(inputs);
    EXPECT_NE(text.find("segue_auto_info{step=\"soak\",state=\"running\",code=\"watching\"} 1\n"),
              std::string::npos);
    EXPECT_NE(text.find("segue_auto_guardrail{figure=\"lag\"} 0.5\n"), std::string::npos);
    EXPECT_EQ(text.find("segue_auto_guardrail{figure=\"errors\"}"), std::string::npos)
        << "what is not known has no figure";
    EXPECT_NE(status_screen(status_json(inputs), Colours::off).find("night, step 3 of 4, soak"),
              std::string::npos);
}

// What the databases keep of it cannot be read yet: it is no figure, and is said in words.
TEST(Status, APlanThatIsNotKnownIsToldAsUnknown) {
    StatusInputs inputs = busy();
    inputs.autopilot.emplace();
    inputs.autopilot->standing = Standing::unknown;
    inputs.autopilot->reason = "unknown until the target answers: away";
    const json status = status_json(inputs);
    EXPECT_EQ(status["auto"]["state"], "unknown");
    EXPECT_TRUE(status["auto"]["step"].is_null());
    EXPECT_NE(status_screen(status, Colours::off).find("unknown until the target answers"),
              std::string::npos);
    EXPECT_EQ(metrics_text(inputs).find("segue_auto_"), std::string::npos);
}

TEST(Status, MetricsHaveHelpAndTypeAndOurPrefix) {
    StatusInputs inputs = busy();
    inputs.autopilot = soaking();
    const std::string text = metrics_text(inputs);
    std::set<std::string> announced;
    std::size_t start = 0;
    while (start < text.size()) {
        const std::size_t end = text.find('\n', start);
        const std::string line = text.substr(start, end - start);
        start = end + 1;
        if (line.starts_with("# TYPE ")) {
            announced.insert(line.substr(7, line.find(' ', 7) - 7));
        } else if (!line.starts_with("# HELP ")) {
            EXPECT_TRUE(announced.contains(line.substr(0, line.find_first_of(" {")))) << line;
            EXPECT_TRUE(line.starts_with("segue_")) << line;
        }
    }
    EXPECT_NE(text.find("segue_authority{side=\"target\"} 1\n"), std::string::npos);
    EXPECT_NE(text.find("segue_stream_lag_bytes{stream=\"source\"} 100\n"), std::string::npos);
}

TEST(Status, TheDashboardAsksForMetricsThatThereAre) {
    StatusInputs inputs = busy();
    inputs.mover.rows_total_estimate = 10;
    inputs.background.every_row_since = WallTime{};
    for (backfill::StreamStatus& stream : inputs.mover.streams) stream.retained_log_bytes = 7;
    inputs.autopilot = soaking();
    const std::string there = metrics_text(inputs);
    std::ifstream file{SEGUE_SOURCE "/configs/grafana.json"};
    const json dashboard = json::parse(file);
    int found = 0;
    for (const json& panel : dashboard["panels"]) {
        for (const json& target : panel["targets"]) {
            const std::string asked = target["expr"];
            std::size_t begin = asked.find("segue_");
            ASSERT_NE(begin, std::string::npos) << asked;
            for (; begin != std::string::npos; begin = asked.find("segue_", begin + 1)) {
                const std::string metric = asked.substr(begin, asked.find('{', begin) - begin);
                EXPECT_NE(there.find("# TYPE " + metric + " "), std::string::npos) << metric;
                ++found;
            }
        }
    }
    EXPECT_GT(found, 10);
}

TEST(Status, ShowsWhatTheOperatorHasAccepted) {
    StatusInputs inputs = busy();
    EXPECT_TRUE(status_json(inputs)["accepted_findings"].empty());
    inputs.accepted = {{"unlogged_table", "source: a.cache", "begins empty"}};
    const json status = status_json(inputs);
    EXPECT_EQ(status["accepted_findings"][0]["code"], "unlogged_table");
    EXPECT_EQ(status["accepted_findings"][0]["object"], "source: a.cache");
    EXPECT_NE(
        status_screen(status, Colours::off).find("unlogged_table of source: a.cache: begins empty"),
        std::string::npos);
}

json copying_status() {
    json status = status_json(busy());
    json& backfill = status["backfill"];
    backfill["state"] = "copying";
    backfill["rows_copied"] = 250;
    backfill["rows_total_estimate"] = 1100;
    const auto table = [](const char* name, const char* state, int rows) {
        return json{{"schema", "app"},
                    {"name", name},
                    {"state", state},
                    {"rows_copied", rows},
                    {"rows_total_estimate", 500}};
    };
    backfill["tables"] = {table("done", "consistent", 100),
                          table("t", "copying", 150),
                          table("stuck", "stopped", 0),
                          table("later", "waiting", 0)};
    return status;
}

TEST(Status, SaysWhatToDoWhenReadsDiffer) {
    StatusInputs inputs = busy();
    const auto warned = [&] {
        const auto all = warnings(inputs);
        return std::count_if(all.begin(), all.end(), [](const Warning& one) {
            return one.code == "reads_differ" && one.text.find("segue verify") != one.text.npos;
        });
    };
    inputs.shadow.statements = {StatementReport{}};
    EXPECT_EQ(warned(), 0);
    inputs.shadow.statements[0].different = 1;
    EXPECT_EQ(warned(), 1);
    StatusInputs over = inputs;
    over.board.verify.outcome = VerifyOutcome::different;
    over.board.record->phase = router::Phase::finished;
    for (const Warning& one : warnings(over))
        ADD_FAILURE() << one.text << ": nothing can be mended any more";
    // Once it is known; the key is a value of the application's.
    RowsFound& rows = inputs.shadow.statements[0].rows.emplace();
    rows.state = RowsState::different;
    rows.differences = 1;
    rows.first = {{"app.t", "a@b.org", "changed"}};
    EXPECT_EQ(warned(), 0);
    const std::string all = status_json(inputs).dump();
    EXPECT_NE(all.find("confirmed: 1 row differs: changed app.t; `segue statements`"), all.npos);
    EXPECT_EQ(all.find("b.org"), all.npos);
    // Nothing is mended by it where the rows are equal.
    rows.state = RowsState::equal;
    const std::string equal = warnings(inputs).back().text;
    EXPECT_NE(equal.find("the difference is in something else"), all.npos) << equal;
    EXPECT_EQ(equal.find("`segue repair`"), all.npos) << equal;
}

TEST(Status, ScreenShowsHowFarEachTableIs) {
    using namespace std::chrono_literals;
    json status = copying_status();
    TableRates rates;
    const TableRates::Time begin{};
    rates.add(begin, status);
    std::string screen = status_screen(status, Colours::off, &rates);
    EXPECT_NE(screen.find("app.t      [#########.....................] 30.0 %  150 of ~500 rows\n"),
              std::string::npos)
        << screen;
    EXPECT_NE(screen.find("app.stuck  STOPPED"), std::string::npos) << screen;
    EXPECT_NE(screen.find("1 table done, 1 waiting"), std::string::npos) << screen;
    status["backfill"]["tables"].push_back(status["backfill"]["tables"][1]);
    status["backfill"]["tables"][4].update(
        {{"name", "whole"}, {"state", "indexing"}, {"rows_copied", 500}});
    EXPECT_NE(status_screen(status, Colours::off, &rates)
                  .find("app.whole  [##############################]  100 %  500 of ~500 rows, "
                        "building its indexes"),
              std::string::npos);
    EXPECT_NE(screen.find(": copying"), std::string::npos) << screen;

    status["backfill"]["tables"][1]["rows_copied"] = 250;
    rates.add(begin + 10s, status);
    screen = status_screen(status, Colours::off, &rates);
    EXPECT_NE(screen.find("50.0 %  250 of ~500 rows, 10 rows/s, 25 s left"), std::string::npos)
        << screen;
}

TEST(Status, RatesAreOfTheLastSecondsAndOfNothingThatBeganAnew) {
    using namespace std::chrono_literals;
    json status = copying_status();
    const auto rows = [&](int number) -> const json& {
        status["backfill"]["tables"][1]["rows_copied"] = number;
        return status;
    };
    TableRates rates;
    const TableRates::Time begin{};
    rates.add(begin, rows(0));
    EXPECT_EQ(rates.of("app.t"), std::nullopt);
    rates.add(begin + 100s, rows(1000));
    rates.add(begin + 110s, rows(1200));
    EXPECT_EQ(rates.of("app.t"), 1200.0 / 110);
    rates.add(begin + 120s, rows(1400));
    EXPECT_EQ(rates.of("app.t"), 400.0 / 20);
    EXPECT_EQ(rates.of("app.none"), std::nullopt);
    rates.add(begin + 121s, rows(3));
    EXPECT_EQ(rates.of("app.t"), std::nullopt);
}

TEST(Status, NamesTheStatementsThatAreSlowerOnTheFollower) {
    StatusInputs inputs = busy();
    StatementReport one;
    one.fingerprint = 0xab;
    one.statement = "SELECT a FROM t WHERE b = $1";
    one.slower = true;
    const auto of = [](int milliseconds) {
        const std::chrono::milliseconds time{milliseconds};
        return router::Latency{30, time, time, 2 * time, 3 * time};
    };
    one.authority = of(1);
    one.follower = of(31);
    inputs.shadow.slower = {one};
    inputs.shadow.slower_count = 1;
    const json status = status_json(inputs);
    const json& shown = status["shadow"]["slower"][0];
    EXPECT_EQ(shown["fingerprint"], "00000000000000ab");
    EXPECT_EQ(parse_fingerprint(shown["fingerprint"]), 0xab);
    EXPECT_EQ(shown["ratio"], 31);
    EXPECT_EQ(shown["authority"]["p50_ms"], 1);
    EXPECT_EQ(shown["follower"]["p99_ms"], 93);
    for (const std::string& text :
         {status_screen(status, Colours::off), statements_text(status["shadow"]["slower"])}) {
        EXPECT_NE(text.find("31 / 62 / 93"), std::string::npos) << text;
        EXPECT_NE(text.find("00000000000000ab"), std::string::npos) << text;
        EXPECT_NE(text.find("SELECT a FROM t WHERE b = $1"), std::string::npos) << text;
    }
    EXPECT_NE(metrics_text(inputs).find("segue_shadow_slower_statements 1\n"), std::string::npos);
    for (const char* none : {"", "ab", "00000000000000AG", "00000000000000ab0", "-0000000000000ab"})
        EXPECT_FALSE(parse_fingerprint(none)) << none;
}

TEST(Status, NothingPinsASessionThatIsNotMovedAnyMore) {
    StatusInputs inputs = busy();
    EXPECT_EQ(status_json(inputs)["sessions"]["pinned"], 1);
    EXPECT_NE(metrics_text(inputs).find("segue_sessions_pinned 1\n"), std::string::npos);
    inputs.board.record->phase = router::Phase::finished;
    const json sessions = status_json(inputs)["sessions"];
    EXPECT_EQ(sessions["pinned"], 0);
    EXPECT_EQ(sessions["pins"], json::array());
    EXPECT_EQ(sessions["total"], 3);
    EXPECT_NE(metrics_text(inputs).find("segue_sessions_pinned 0\n"), std::string::npos);
}

}  // namespace
}  // namespace segue::proxy
