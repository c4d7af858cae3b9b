// Of reads that differ the rows are named, by table and key; or it is said that the difference is
// in something else.

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

// Large: more rows than are ever held at once.
constexpr const char* schema = R"sql(
CREATE TABLE app.big (id bigint PRIMARY KEY, pad text);
INSERT INTO app.big SELECT g, 'pad ' || g FROM generate_series(1, 160000) AS g;
CREATE TABLE app.part (id bigint, k int, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE app.part_low PARTITION OF app.part FOR VALUES FROM (0) TO (10);
CREATE TABLE app.part_high PARTITION OF app.part DEFAULT;
INSERT INTO app.part SELECT g, g % 20 FROM generate_series(1, 200) AS g;
CREATE VIEW app.parts AS SELECT p.id, p.k, b.pad FROM app.part p JOIN app.big b USING (id);
CREATE FUNCTION app.label(bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'label ' || $1 $$;
ANALYZE;
)sql";

class NamedRows : public testing::Test {
protected:
    void SetUp() override { SEGUE_NEEDS_POSTGRES(); }
    void begin(MigrationOptions options = {}) {
        move = std::make_unique<Migration>(std::move(options));
        Sql{move->direct(move->source())}.query(schema);
        ASSERT_TRUE(move->copy());
    }
    // Behind Segue's back, on the follower.
    void corrupt(const std::string& sql) {
        Sql rogue{move->as_mover(move->target())};
        rogue.query("SET session_replication_role = replica");
        EXPECT_TRUE(rogue.query(sql).ok) << sql;
    }
    void shadow_all() {
        move->segue().expect_done({"shadow", "100"});
        reader = std::make_unique<Sql>(move->through());
    }
    // What is told of the statement that begins like that one, whatever its values; null: nothing.
    json statement(const std::string& read) const {
        const std::string text = read.substr(0, read.find(" WHERE"));
        const auto listed =
            json::parse(move->segue().expect_done({"statements", "--limit", "1000", "--json"}).out);
        for (const json& one : listed) {
            if (one["statement"].get<std::string>().find(text) != std::string::npos) return one;
        }
        return nullptr;
    }
    long long dealt_with() const {
        const auto status = move->segue().status();
        if (!status) return 0;
        long long all = 0;
        for (const char* one : {"compared", "timed", "shed"})
            all += (*status)["shadow"][one].get<long long>();
        return all;
    }
    json rows_of(const std::string& read) const {
        const json one = statement(read);
        return one.is_object() ? one["rows"] : json{};
    }
    // Reads it until that is known of its rows, and all of its tables are compared.
    json read_until(const std::string& read, const std::string& state, bool all_tables = true) {
        const bool known = eventually(120s, [&] {
            // One after another: those that wait to be confirmed would stand before all others.
            const long long before = dealt_with();
            reader->query(read);
            eventually(1s, [&] { return dealt_with() > before; });
            const json rows = rows_of(read);
            return rows.is_object() && rows["state"] == state &&
                   (!all_tables || rows["percent"].is_null());
        });
        EXPECT_TRUE(known) << read << " is not " << state << ": " << statement(read).dump(2);
        return rows_of(read);
    }
    static void expect_row(const json& rows, const char* table, const char* key, const char* kind) {
        EXPECT_EQ(rows["differences"], 1) << rows.dump(2);
        ASSERT_EQ(rows["first"].size(), 1u) << rows.dump(2);
        const json row = rows["first"][0];
        EXPECT_EQ(row, (json{{"table", table}, {"key", key}, {"kind", kind}}));
    }

    std::unique_ptr<Migration> move;
    std::unique_ptr<Sql> reader;
};

TEST_F(NamedRows, OfATableOfAnySizeOfViewsAndJoinsAndNotOfAFunction) {
    begin();
    corrupt("UPDATE app.big SET pad = 'damaged' WHERE id = 155555");
    corrupt("DELETE FROM app.part WHERE id = 7");
    corrupt(
        "CREATE OR REPLACE FUNCTION app.label(bigint) RETURNS text LANGUAGE sql IMMUTABLE AS "
        "$$ SELECT 'other ' || $1 $$");
    shadow_all();
    expect_row(read_until("SELECT * FROM app.big", "different"), "app.big", "(155555)", "changed");
    EXPECT_GT(statement("SELECT * FROM app.big")["different"], 0) << "confirmed, all of its rows";
    const json parts = read_until("SELECT id, k, pad FROM app.parts", "different");
    EXPECT_EQ(parts["tables"], (json{"app.big", "app.part_high", "app.part_low"}));
    EXPECT_EQ(parts["differences"], 2) << "of every table that it reads";
    EXPECT_NE(parts["text"].get<std::string>().find("missing app.part_low key (7,7)"),
              std::string::npos)
        << parts;
    const json joined =
        read_until("SELECT p.id, b.pad FROM app.part p, app.big b WHERE b.id = p.id + 155548",
                   "different",
                   false);  // One rests, which was compared for the read before.
    EXPECT_EQ(joined["tables"], parts["tables"]);

    const json label = read_until("SELECT app.label(id) FROM app.keyed WHERE id = 3", "equal");
    EXPECT_EQ(label["functions"], json{"app.label"});
    EXPECT_EQ(label["tables"], json{"app.keyed"});

    // Where everybody may look, no key is told.
    const auto status = move->segue().status();
    ASSERT_TRUE(status);
    EXPECT_EQ(status->dump().find("155555"), std::string::npos);
    const auto& tables = (*status)["shadow"]["tables"];
    const auto big = std::find_if(
        tables.begin(), tables.end(), [](const json& one) { return one["name"] == "big"; });
    ASSERT_NE(big, tables.end());
    EXPECT_EQ((*big)["state"], "different");
    EXPECT_EQ((*big)["differences"], 1);
    bool warned = false;
    for (const json& one : (*status)["warnings"])
        warned |=
            one["code"] == "reads_differ" && one["text"].dump().find("app.") != std::string::npos;
    EXPECT_TRUE(warned) << (*status)["warnings"];
    EXPECT_TRUE(eventually(30s, [&] {
        const std::string log = move->segue().log();
        return log.find("1 row differs: changed app.big") != log.npos;
    }));
    EXPECT_EQ(move->segue().log().find("155555"), std::string::npos);

    // On record like what verify finds, and mended like it.
    const auto last = move->segue().verb({"verify", "--last"});
    EXPECT_NE(last.err.find("changed  app.big  (155555)"), std::string::npos) << last.err;
    move->segue().expect_done({"repair"});
    EXPECT_EQ(rows_of("SELECT * FROM app.big")["state"], "mended");
    move->segue().expect_done({"statements", "--forget"});
    move->segue().expect_done({"verify"});
}

// A table that is written to all the time is compared exactly; nothing is suspected without cause.
TEST_F(NamedRows, AreNoneOnEqualDatabasesHoweverMuchIsWritten) {
    begin();
    corrupt(
        "CREATE OR REPLACE FUNCTION app.label(bigint) RETURNS text LANGUAGE sql IMMUTABLE AS "
        "$$ SELECT 'other ' || $1 $$");
    shadow_all();
    Workload workload{{move->through()}};
    workload.start();
    const std::string other = "SELECT app.label(id), balance FROM app.account WHERE id = 3";
    read_until(other, "equal");
    for (int i = 0; i < 20; ++i) {
        for (const char* read : {"SELECT * FROM app.keyed",
                                 "SELECT id, balance FROM app.account",
                                 "SELECT * FROM app.big",
                                 "SELECT * FROM app.rich"}) {
            EXPECT_TRUE(reader->query(read).ok);
        }
    }
    workload.stop();
    expect_no_client_noticed(workload.report());
    const auto status = move->segue().status();
    ASSERT_TRUE(status);
    for (const json& one : (*status)["shadow"]["tables"]) {
        EXPECT_EQ(one["name"], "account") << one;
        EXPECT_EQ(one["differences"], 0) << one;
    }
    for (const json& one : (*status)["shadow_statements"]) {
        const bool of_function =
            one["statement"].get<std::string>().find("label") != std::string::npos;
        EXPECT_TRUE(of_function || one["different"] == 0) << one;
    }
    EXPECT_EQ((*status)["verify"]["differences"], 0);
    move->segue().expect_done({"verify"});
}

// An operator's own verification goes first, and what it finds is enough.
TEST_F(NamedRows, AreTakenFromAVerificationThatIsUnderWay) {
    begin();
    shadow_all();
    CommandResult verified;
    std::thread verifying{[&] { verified = move->segue().verb({"verify", "--rate", "20000"}); }};
    EXPECT_TRUE(move->segue().wait_status("/verify/state", "running"));
    corrupt("UPDATE app.keyed SET body = 'damaged' WHERE id = 3");
    const json rows = read_until("SELECT body FROM app.keyed WHERE id = 3", "different");
    expect_row(rows, "app.keyed", "(3)", "changed");
    verifying.join();
    EXPECT_NE(verified.err.find("could not be completed"), 0u) << verified.err;
}

TEST_F(NamedRows, AreLeftToVerifyWhereTheOperatorSaysSo) {
    MigrationOptions options;
    options.lines = {{"shadow", "name_rows = false"}};
    begin(std::move(options));
    corrupt("UPDATE app.keyed SET body = 'damaged' WHERE id = 3");
    shadow_all();
    ASSERT_TRUE(eventually(60s, [&] {
        reader->query("SELECT body FROM app.keyed WHERE id = 3");
        const json one = statement("SELECT body FROM app.keyed");
        return one.is_object() && one["different"] > 0;
    }));
    EXPECT_TRUE(rows_of("SELECT body FROM app.keyed").is_null());
    EXPECT_EQ((*move->segue().status())["shadow"]["tables"].size(), 0u);
    EXPECT_EQ((*move->segue().status())["verify"]["state"], "never");
}

}  // namespace
}  // namespace segue::test
