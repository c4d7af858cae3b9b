// Verification and repair as an operator meets them: rows that somebody corrupts by hand while the
// application works, and Segue dying in the middle.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <tuple>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using Found = std::multiset<std::tuple<std::string, std::string, std::string>>;  // table, key, kind

json read_json(const std::string& file) {
    std::ifstream input{file};
    return json::parse(input, nullptr, false);
}

// Tables that the workload leaves alone. Made on the source before the copy.
constexpr const char* quiet_schema = R"sql(
    CREATE TABLE app.quiet (id int PRIMARY KEY, v text, n numeric);
    INSERT INTO app.quiet SELECT g, 'v' || g, g FROM generate_series(1, 60000) g;
    CREATE TABLE app.quiet_loose (a int, b text);
    INSERT INTO app.quiet_loose SELECT g % 50, CASE g % 3 WHEN 0 THEN NULL ELSE 'b' || g % 20 END
        FROM generate_series(1, 3000) g;
    CREATE TABLE app.quiet_names (k text COLLATE "en-x-icu", part int, v text, PRIMARY KEY (k, part));
    INSERT INTO app.quiet_names SELECT 'na"me, ' || g, g % 3, '(' || g FROM generate_series(1, 2000) g;
    CREATE TABLE app.quiet_floats (k double precision PRIMARY KEY, v int);
    INSERT INTO app.quiet_floats VALUES (0, 1), ('NaN', 2), ('Infinity', 3), (1.5, 4), (1e-300, 5);
    CREATE TABLE app.not_moved (i int);
    ANALYZE)sql";

constexpr const char* corruption = R"sql(
    DELETE FROM app.quiet WHERE id = 7;
    INSERT INTO app.quiet VALUES (70000, 'too much', 1);
    UPDATE app.quiet SET v = NULL WHERE id = 50001;
    UPDATE app.quiet SET n = 8.0 WHERE id = 8;
    INSERT INTO app.quiet_loose VALUES (4711, 'too much');
    DELETE FROM app.quiet_loose WHERE ctid IN (SELECT ctid FROM app.quiet_loose WHERE a = 3 AND b IS NULL LIMIT 1);
    UPDATE app.quiet_loose SET b = '' WHERE ctid IN (SELECT ctid FROM app.quiet_loose WHERE b = 'b7' LIMIT 1);
    UPDATE app.quiet_names SET v = 'x' WHERE k = 'na"me, 12';
    DELETE FROM app.quiet_names WHERE k = 'na"me, 13';
    UPDATE app.quiet_floats SET v = 0 WHERE k = 'NaN';
    UPDATE app.quiet_floats SET k = '-0' WHERE k = 0)sql";

const Found corrupted = {
    {"app.quiet", "(7)", "missing"},
    {"app.quiet", "(70000)", "extra"},
    {"app.quiet", "(50001)", "changed"},
    {"app.quiet", "(8)", "changed"},
    {"app.quiet_loose", "#", "extra"},
    {"app.quiet_loose", "#", "missing"},
    {"app.quiet_loose", "#", "extra"},
    {"app.quiet_loose", "#", "missing"},
    {"app.quiet_names", "(\"na\"\"me, 12\",0)", "changed"},
    {"app.quiet_names", "(\"na\"\"me, 13\",1)", "missing"},
    {"app.quiet_floats", "(NaN)", "changed"},
    {"app.quiet_floats", "(0)", "missing"},
    {"app.quiet_floats", "(-0)", "extra"},
};

// A row without a key is named by its hash.
Found listed(const json& certificate) {
    Found found;
    for (const json& one : certificate["differences_listed"]) {
        const std::string key = one["key"];
        found.emplace(one["table"], key.starts_with("#") ? "#" : key, one["kind"]);
    }
    return found;
}

class VerifyLife : public ::testing::Test {
protected:
    void SetUp() override { SEGUE_NEEDS_POSTGRES(); }

    bool copy(const std::string& more = "") {
        move.source().run(quiet_schema + more, "shop");
        return move.copy();
    }
    // On the follower, past the fence and past the triggers.
    void corrupt(PostgresServer& follower, const std::string& sql) {
        Sql rogue{move.as_mover(follower)};
        rogue.query("SET session_replication_role = replica");
        rogue.query(sql);
    }
    static MigrationOptions options() {
        MigrationOptions options;
        options.lines = {{"tables", "exclude = [\"app.not_moved\"]"}};
        return options;
    }
    std::string file() { return (move.segue().folder() / "certificate.json").string(); }
    json certified(std::vector<std::string> arguments, int exit_code) {
        arguments.insert(arguments.end(), {"--certificate", file()});
        std::filesystem::remove(file());
        CommandResult result;
        // Refused, and without one, where the mover is just not connected.
        eventually(60s, [&] {
            result = move.segue().verb(arguments);
            return std::filesystem::exists(file());
        });
        EXPECT_EQ(result.exit_code, exit_code) << result.out << result.err;
        return read_json(file());
    }
    void expect_right(const Workload& workload) {
        for (PostgresServer* server : {&move.source(), &move.target()})
            Sql{move.as_mover(*server)}.query("DROP TABLE IF EXISTS app.not_moved");
        move.expect_right(workload);
    }
    // The query of each table, on both sides, gives what the certificate says of them.
    void expect_reproduced(const json& certificate) {
        for (const json& table : certificate["tables"]) {
            const std::string sql = certificate["settings"].get<std::string>() + ";" +
                                    table["query"].get<std::string>();
            for (PostgresServer* server : {&move.source(), &move.target()}) {
                const json& side = table[server == &move.source() ? "source" : "target"];
                Sql client{move.superuser(*server)};
                const Answer answer = client.attempt(sql);
                ASSERT_TRUE(answer.ok) << sql;
                EXPECT_EQ(answer.rows.at(0).at(0), std::to_string(side["rows"].get<int>()));
                EXPECT_EQ(answer.rows.at(0).at(1), side["hash"].get<std::string>());
            }
        }
    }

    Migration move{options()};
};

TEST_F(VerifyLife, FindsAndMendsExactlyTheRowsThatWereCorruptedUnderLoad) {
    ASSERT_TRUE(copy());
    Workload workload{{move.through()}};
    workload.start();
    ASSERT_TRUE(workload.wait_for_more(50));
    corrupt(move.target(), corruption);
    const json found = certified({"verify"}, 1);
    EXPECT_EQ(listed(found), corrupted);
    EXPECT_EQ(found["verdict"], "different");
    EXPECT_EQ(found["differences"], corrupted.size());
    const CommandResult repaired = move.segue().expect_done({"repair"});
    EXPECT_NE(repaired.out.find("app.quiet: 1 missing, 1 extra, 2 changed"), std::string::npos)
        << repaired.out;
    ASSERT_TRUE(workload.wait_for_more(50));
    const json mended = certified({"verify", "--last"}, 0);
    EXPECT_EQ(mended["verdict"], "equal");
    EXPECT_EQ(mended["verification"], found["verification"]);
    EXPECT_EQ(listed(mended), Found{});
    ASSERT_EQ(mended["repairs"].size(), 4u);
    EXPECT_EQ(mended["repairs"][0]["state"], "done");
    EXPECT_EQ(
        mended["excluded"],
        json::array({{{"schema", "app"}, {"name", "not_moved"}, {"reason", "[tables] exclude"}}}));
    for (PostgresServer* server : {&move.source(), &move.target()}) {
        EXPECT_EQ(server->value(
                      "SELECT sum(missing) || ' ' || sum(extra) || ' ' || sum(changed) || ' ' || "
                      "string_agg(DISTINCT state, ',') FROM segue.repair",
                      "shop"),
                  "5 4 4 done");
    }
    EXPECT_TRUE(move.segue().wait_status("/stray_writes", 0));
    ASSERT_TRUE(move.segue().change("cutover"));
    workload.stop();
    expect_right(workload);
}

// The old source, too, is a follower that can be corrupted, and is mended from the target.
TEST_F(VerifyLife, MendsTheSourceFromTheTargetAfterACutover) {
    ASSERT_TRUE(copy());
    Workload workload{{move.through()}};
    workload.start();
    ASSERT_TRUE(move.segue().change("cutover"));
    corrupt(move.source(), corruption);
    EXPECT_EQ(listed(certified({"verify"}, 1)), corrupted);
    move.segue().expect_done({"repair"});
    const json mended = certified({"verify", "--anew"}, 0);
    EXPECT_EQ(mended["authority"], "target");
    EXPECT_EQ(move.target().value("SELECT v FROM app.quiet WHERE id = 7", "shop"), "v7");
    EXPECT_EQ(move.source().value("SELECT v FROM app.quiet WHERE id = 7", "shop"), "v7");
    workload.stop();
    expect_right(workload);
}

TEST_F(VerifyLife, RaisesNoAlarmHoweverLongTheLoadLastsAndItsCertificateCanBeReproduced) {
    ASSERT_TRUE(copy());
    Workload workload{{move.through()}};
    workload.start();
    const auto until = std::chrono::steady_clock::now() + 20s;
    int rounds = 0;
    for (; std::chrono::steady_clock::now() < until || rounds < 3; ++rounds)
        move.segue().expect_done({"verify", "--anew"});
    workload.stop();
    expect_right(workload);
    const json quiet = certified({"verify"}, 0);
    expect_reproduced(quiet);
    EXPECT_EQ(move.segue().expect_done({"verify", "--check", file()}).exit_code, 0);
    // The digest is one that anybody can make.
    const char* recompute =
        "import json, hashlib, sys; d = json.load(open(sys.argv[1])); v = d.pop('digest')['value'];"
        " print(v == hashlib.sha256(json.dumps(d, sort_keys=True, separators=(',', ':'),"
        " ensure_ascii=False).encode()).hexdigest())";
    const CommandResult digest = run_command({.arguments = {"python3", "-c", recompute, file()}});
    EXPECT_EQ(digest.out, "True\n") << digest.err;
    json forged = quiet;
    forged["rows_compared"] = 1;
    std::ofstream{file()} << forged;
    EXPECT_EQ(move.segue().verb({"verify", "--check", file()}).exit_code, 1);
    const CommandResult none = move.segue().verb({"verify", "--check", "/nowhere"});
    EXPECT_EQ(none.exit_code, 1);
    EXPECT_NE(none.err.find("/nowhere: it cannot be read: No such file"), std::string::npos)
        << none.err;
}

TEST_F(VerifyLife, InTheBackgroundFindsWhatIsCorruptedAndTellsSinceWhenEveryRowIsEqual) {
    ASSERT_TRUE(copy());
    Workload workload{{move.through()}};
    workload.start();
    move.segue().expect_done({"verify", "--background", "500000"});
    const auto since = [&] {
        const auto status = move.segue().status();
        return status ? status->at("/verify/every_row_verified_since"_json_pointer) : json{};
    };
    EXPECT_TRUE(eventually(60s, [&] { return since().is_string(); }));
    const auto rounds = [&] {
        const auto status = move.segue().status();
        return status ? status->at("/verify/background/rounds"_json_pointer).get<int>() : 0;
    };
    EXPECT_TRUE(eventually(60s, [&] { return rounds() >= 2; }));
    EXPECT_TRUE(move.segue().wait_status("/verify/state", "equal", 20s));
    const auto metrics = http_get(move.segue().admin_port(), "/metrics");
    ASSERT_TRUE(metrics);
    EXPECT_NE(metrics->find("segue_verify_every_row_since_seconds"), std::string::npos);
    // It is in nobody's way.
    ASSERT_TRUE(move.segue().change("cutover"));
    ASSERT_TRUE(move.segue().change("rollback"));
    corrupt(move.target(), corruption);
    EXPECT_TRUE(move.segue().wait_status("/verify/state", "different", 60s));
    EXPECT_EQ(move.segue().verb({"cutover"}).exit_code, 1);
    EXPECT_TRUE(since().is_null());
    // A whole round knows all of them.
    EXPECT_TRUE(move.segue().wait_status("/verify/background/differences", corrupted.size(), 60s));
    const int round = rounds();
    EXPECT_TRUE(eventually(60s, [&] { return rounds() > round; }));
    move.segue().expect_done({"repair"});
    EXPECT_TRUE(move.segue().wait_status("/verify/state", "equal", 20s));
    EXPECT_TRUE(eventually(60s, [&] { return since().is_string(); }));
    move.segue().expect_done({"verify", "--background", "0"});
    workload.stop();
    expect_right(workload);
}

// Killed in the middle of a large table that is read slowly: what it had found stands at once, also
// for a cutover, and the next verification goes on where it was.
TEST_F(VerifyLife, GoesOnWhereAKilledOneWasAndForgetsNoDifference) {
    ASSERT_TRUE(
        copy("; CREATE TABLE app.large (i int PRIMARY KEY, t text); INSERT INTO app.large "
             "SELECT g, 't' || g FROM generate_series(1, 200000) g; ANALYZE app.large"));
    Workload workload{{move.through()}};
    workload.start();
    corrupt(move.target(), "DELETE FROM app.large WHERE i IN (5, 199999)");
    std::jthread asking{[&] { move.segue().verb({"verify", "--rate", "10000"}); }};
    const char* progress =
        "SELECT low[1]::int FROM segue.verified_table WHERE table_name = 'large' AND low IS NOT "
        "NULL";
    ASSERT_TRUE(eventually(60s, [&] {
        const std::string low = move.source().value(progress, "shop");
        return !low.empty() && std::stoi(low) > 30000;
    }));
    move.segue().kill();
    asking.join();
    const int reached = std::stoi(move.source().value(progress, "shop"));
    const std::string id = move.source().value("SELECT id FROM segue.verification", "shop");
    EXPECT_LT(reached, 199999);
    move.segue().run();
    EXPECT_TRUE(move.segue().wait_status("/verify/state", "different", 20s));
    EXPECT_EQ(move.segue().verb({"cutover"}).exit_code, 1);
    const json found = certified({"verify"}, 1);
    EXPECT_EQ(found["verification"], id);
    EXPECT_EQ(listed(found),
              (Found{{"app.large", "(5)", "missing"}, {"app.large", "(199999)", "missing"}}));
    for (const json& table : found["tables"]) {
        if (table["name"] != "large") continue;
        EXPECT_EQ(table["source"]["rows"], 200000);
        EXPECT_EQ(table["target"]["rows"], 199998);
    }
    // It has not begun anew: what was compared before is older than the end of the first one.
    EXPECT_EQ(move.source().value("SELECT count(*) FROM segue.verification", "shop"), "1");
    // The verdict is on record, too, once it has ended.
    move.segue().kill();
    move.segue().run();
    EXPECT_TRUE(move.segue().wait_status("/verify/state", "different", 20s));
    move.segue().expect_done({"repair"});
    ASSERT_TRUE(move.segue().change("cutover"));
    workload.stop();
    expect_right(workload);
}

}  // namespace
}  // namespace segue::test
