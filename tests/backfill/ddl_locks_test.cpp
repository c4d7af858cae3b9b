// What the capture of DDL does where others have locks: no command of an application waits for
// them but a while, none fails, and each is captured.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "tests/backfill/ddl_support.hpp"

namespace segue::backfill::postgres {
namespace {

using test::Answer;
using test::Sql;

class DdlLocks : public test::DdlTest {
protected:
    std::unique_ptr<Sql> another() {
        return std::make_unique<Sql>(databases_->url(Side::source, "ddl_app"));
    }
    std::unique_ptr<Sql> superuser() {
        auto made = std::make_unique<Sql>(databases_->url(Side::source));
        made->query("SET segue.mover = 'id-1'");
        return made;
    }
    // The publications that a session would take, in that order.
    static std::vector<std::string> publications_of(Sql& session, Sql& superuser) {
        std::vector<std::string> names;
        for (const auto& row : superuser
                                   .query("SELECT name FROM segue.ddl_publication WHERE number >= "
                                          "0 ORDER BY (number + " +
                                          session.value("SELECT pg_backend_pid()") + ") % 32")
                                   .rows)
            names.push_back(row[0]);
        return names;
    }
    std::string refusals() {
        return on_source(
            "SELECT coalesce(string_agg(tag || ': ' || refusal, E'\n'), '') FROM segue.ddl WHERE "
            "refusal <> ''");
    }
};

// Whoever has it: nothing but the capture knows of the rows that stand for them.
TEST_F(DdlLocks, TakesAnotherPublicationWhereSomebodyHasLockedOne) {
    const auto somebody = superuser();
    somebody->query("BEGIN");
    const auto names = publications_of(*app_, *somebody);
    somebody->query("ALTER PUBLICATION " + names[0] + " SET (publish_via_partition_root = false)");
    app("CREATE TABLE app.t (i int PRIMARY KEY)");
    EXPECT_EQ(refusals(), "");
    EXPECT_EQ(on_source("SELECT count(*) FROM pg_publication_tables WHERE tablename = 't'"), "1");
}

// A table that is let go of keeps its publication locked until the end of the transaction.
TEST_F(DdlLocks, TakesAnotherPublicationWhereATableIsLetGoOf) {
    app("CREATE TABLE app.t (i int PRIMARY KEY); CREATE TABLE app.u (i int); CREATE INDEX u_i ON "
        "app.u (i)");
    const auto somebody = superuser();
    somebody->query("ALTER TABLE app.t DROP CONSTRAINT t_pkey");
    const std::string its = somebody->value(
        "SELECT p.pubname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid "
        "WHERE"
        " r.prrelid = 'app.t'::regclass");
    const auto reader = another();
    reader->query("BEGIN; LOCK TABLE app.t IN ROW EXCLUSIVE MODE");
    app("BEGIN; DROP INDEX app.u_i");
    auto maker = another();
    while (publications_of(*maker, *somebody).back() == its) maker = another();
    somebody->query("BEGIN; SELECT FROM segue.ddl_publication WHERE name NOT IN ('" + its + "', '" +
                    publications_of(*maker, *somebody).back() + "') FOR UPDATE");
    maker->query("CREATE TABLE app.made (i int PRIMARY KEY)");
    reader->query("COMMIT");
    app("COMMIT");
    EXPECT_EQ(
        on_source("SELECT count(*) FROM segue.ddl WHERE refusal LIKE 'it could not be captured%'"),
        "0")
        << refusals();
    EXPECT_EQ(on_source("SELECT count(*) FROM pg_publication_tables WHERE tablename = 'made'"),
              "1");
}

// Not even for its size, however its own queries are planned.
TEST_F(DdlLocks, LooksAtNoTableThatItsCommandIsNotAbout) {
    app("CREATE TABLE app.other (i int PRIMARY KEY, v text)");
    const auto other = another();
    other->query("BEGIN; LOCK TABLE app.other IN ACCESS EXCLUSIVE MODE");
    app("SET enable_indexscan = off; SET enable_bitmapscan = off");
    for (const char* const command :
         {"CREATE TABLE app.t (i int PRIMARY KEY, v text)",
          "INSERT INTO app.t VALUES (1, 'v')",
          "ALTER TABLE app.t ADD COLUMN mark uuid DEFAULT gen_random_uuid()",
          "CREATE TABLE app.made AS SELECT i FROM generate_series(1, 3) i",
          "CREATE INDEX t_v ON app.t (v)",
          "CREATE VIEW app.seen AS SELECT i FROM app.t",
          "CREATE MATERIALIZED VIEW app.kept AS SELECT i FROM app.t",
          "REFRESH MATERIALIZED VIEW app.kept",
          "GRANT SELECT ON app.t TO PUBLIC",
          "DROP INDEX app.t_v",
          "ALTER TABLE app.t DROP CONSTRAINT t_pkey",
          "DROP TABLE app.t CASCADE"}) {
        app(command);
        EXPECT_EQ(refusals(), "") << command;
    }
}

// Who comments on an index has not locked its table, and what that looks like is nothing to
// compare.
TEST_F(DdlLocks, LooksAtNoTableThatItsCommandHasNotLocked) {
    EXPECT_EQ(both("CREATE TABLE app.t (i int PRIMARY KEY, v int CHECK (v > 0) DEFAULT 1)"), "");
    const auto other = another();
    other->query("BEGIN; ALTER TABLE app.t ADD COLUMN w int DEFAULT 2");
    app("SET lock_timeout = '20s'; COMMENT ON INDEX app.t_pkey IS 'x'; ALTER INDEX app.t_pkey "
        "RENAME TO t_key");
    other->query("COMMIT");
    EXPECT_EQ(refusals(), "");
    EXPECT_EQ(on_source("SELECT string_agg(DISTINCT table_names::text, '') FROM segue.ddl WHERE "
                        "tag = 'COMMENT' OR"
                        " tag = 'ALTER INDEX'"),
              "{}");
    EXPECT_EQ(carry(), "");
    EXPECT_EQ(on_target("SELECT obj_description('app.t_key'::regclass)"), "x");
    app("CREATE INDEX CONCURRENTLY t_w ON app.t (w)");
    EXPECT_EQ(on_source("SELECT table_names::text FROM segue.ddl ORDER BY id DESC LIMIT 1"), "{t}");
    EXPECT_EQ(carry(), "");
}

// Whatever the commands of the event trigger itself meet.
TEST_F(DdlLocks, TriesAgainWhatMetALock) {
    databases_->run(Side::source, R"sql(
        CREATE SEQUENCE segue.met;
        CREATE FUNCTION segue.meet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF nextval('segue.met') < 3 THEN RAISE lock_not_available; END IF; RETURN NEW; END $$;
        CREATE TRIGGER meet BEFORE INSERT ON segue.ddl FOR EACH STATEMENT EXECUTE FUNCTION segue.meet();
        ALTER TABLE segue.ddl ENABLE ALWAYS TRIGGER meet)sql");
    app("CREATE TABLE app.t (i int)");
    databases_->run(Side::source, "DROP FUNCTION segue.meet() CASCADE; DROP SEQUENCE segue.met");
    EXPECT_EQ(refusals(), "");
}

// Each with its own objects, and all with a common one: PostgreSQL alone would fail none of them.
TEST_F(DdlLocks, FailsNobodyWhereManyChangeTheSchema) {
    constexpr int sessions = 8, rounds = 5;
    app("CREATE TABLE app.common (i int PRIMARY KEY, v text); CREATE INDEX common_v ON app.common "
        "(v)");
    // Whoever waits in a circle is told at once.
    databases_->run(Side::source, "ALTER ROLE ddl_app SET deadlock_timeout = '20ms'");
    std::mutex mutex;
    std::vector<std::string> errors;
    std::vector<std::thread> threads;
    for (int session = 0; session < sessions; ++session) {
        threads.emplace_back([&, session] {
            Sql sql{databases_->url(Side::source, "ddl_app")};
            const std::string own = "app.own" + std::to_string(session),
                              column = "c" + std::to_string(session);
            for (int round = 0; round < rounds; ++round) {
                for (const std::string& command : std::vector<std::string>{
                         "BEGIN",
                         "CREATE TABLE " + own + " (i int, v text)",
                         "INSERT INTO " + own + " VALUES (1, 'v')",
                         "CREATE TABLE " + own + "_too (i int PRIMARY KEY)",
                         "COMMIT",
                         "CREATE INDEX i_" + column + std::to_string(round) +
                             " ON app.common (i, v)",
                         "ALTER TABLE app.common ADD COLUMN " + column + " int DEFAULT 1",
                         "BEGIN; SAVEPOINT s",
                         "ALTER TABLE " + own + " ADD PRIMARY KEY (i)",
                         "ROLLBACK TO s",
                         "DROP TABLE " + own + "_too",
                         "ALTER TABLE " + own + " ADD COLUMN w int",
                         "COMMIT",
                         "ALTER TABLE app.common DROP COLUMN " + column,
                         "DROP TABLE " + own}) {
                    const Answer answer = sql.attempt(command);
                    if (answer.ok) continue;
                    const std::lock_guard lock{mutex};
                    errors.push_back(command + ": " + answer.sqlstate + " " + answer.message);
                }
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    databases_->run(Side::source, "ALTER ROLE ddl_app RESET deadlock_timeout");
    EXPECT_THAT(errors, ::testing::IsEmpty());
    EXPECT_EQ(refusals(), "");
}

}  // namespace
}  // namespace segue::backfill::postgres
