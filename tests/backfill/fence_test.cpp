#include "backfill/postgres/fence.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "backfill/postgres/segue_schema.hpp"
#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

using namespace std::chrono_literals;
using test::Databases;
using test::Sql;

constexpr const char* mover_id = "id-1";
constexpr const char* refused = "25006";

Deadline in(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

class PostgresFence : public testing::Test {
protected:
    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases_ = std::make_unique<Databases>();
        run(R"sql(
            CREATE TABLE t (i int PRIMARY KEY, v int);
            INSERT INTO t VALUES (1, 1), (2, 2);
            CREATE TABLE p (i int) PARTITION BY RANGE (i);
            CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
            CREATE TABLE parent (i int); CREATE TABLE child () INHERITS (parent);
            CREATE VIEW v AS SELECT i FROM t)sql");
        run(segue_schema_ddl);
        run(R"sql(
            INSERT INTO segue.control VALUES (true, 'shop', 'id-1', 'source', 1, 'source', 'switching', 0, '0/0',
                                              'consistent', false, 'async', 0, 0, '', 1))sql");
        fence_ = std::make_unique<Fence>(
            FenceSettings{Side::source, databases_->url(Side::source), mover_id, {}});
        arm();
    }
    void arm() {
        const Status installed = fence_->install();
        ASSERT_TRUE(installed) << installed.error().detail;
        const Status armed = fence_->arm(in(10s));
        ASSERT_TRUE(armed) << armed.error().detail;
    }
    void close() {
        const Status closed = fence_->close(in(10s));
        ASSERT_TRUE(closed) << closed.error().detail;
    }
    // As an undo does: the record first.
    Status open() {
        run("UPDATE segue.control SET phase = 'steady'");
        return fence_->open(in(5s));
    }
    void run(const std::string& sql) { databases_->run(Side::source, sql); }
    Sql client(const std::string& user = "postgres") {
        return Sql{databases_->url(Side::source, user)};
    }
    std::string outcome(const std::string& sql, const std::string& user = "postgres") {
        return client(user).attempt(sql).sqlstate;
    }

    std::unique_ptr<Databases> databases_;
    std::unique_ptr<Fence> fence_;
};

// It makes them with Segue's rights, and an audit of DDL writes to tables whose owners have
// triggers.
TEST_F(PostgresFence, FiresNoEventTriggerOfOthersForTheTriggersThatItMakes) {
    run("CREATE TABLE seen (tag text, as_whom text); GRANT ALL ON seen TO PUBLIC;"
        " GRANT CREATE ON SCHEMA public TO PUBLIC;"
        " CREATE FUNCTION audit() RETURNS event_trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO public.seen VALUES (TG_TAG, current_user); END';"
        " CREATE EVENT TRIGGER audit ON ddl_command_end EXECUTE FUNCTION audit();"
        " DROP ROLE IF EXISTS fence_app; CREATE ROLE fence_app LOGIN");
    ASSERT_TRUE(open());
    client("fence_app")
        .query("CREATE TABLE fresh (i int); DROP TABLE fresh; SHOW session_replication_role");
    EXPECT_EQ(
        databases_->value(Side::source, "SELECT string_agg(tag || ' ' || as_whom, ',') FROM seen"),
        "CREATE TABLE fence_app,DROP TABLE fence_app");
    EXPECT_EQ(outcome("CREATE TABLE fresher (i int); SET client_min_messages = error"), "");
    EXPECT_EQ(*fence_->unarmed(), std::vector<std::string>{});
    run("DROP EVENT TRIGGER audit; DROP OWNED BY fence_app");
}

// The server tells of a column's comment as of a thing of the table's own.
TEST_F(PostgresFence, FailsNoTableThatIsMadeLikeAnotherWithItsComments) {
    ASSERT_TRUE(open());
    run("COMMENT ON COLUMN public.t.v IS 'of v'");
    EXPECT_EQ(outcome("CREATE TABLE public.alike (LIKE public.t INCLUDING ALL)"), "");
    EXPECT_EQ(*fence_->unarmed(), std::vector<std::string>{});
}

TEST_F(PostgresFence, RefusesEveryWayToWriteAndLetsEverybodyRead) {
    const auto unarmed = fence_->unarmed();
    ASSERT_TRUE(unarmed) << unarmed.error().detail;
    EXPECT_EQ(*unarmed, std::vector<std::string>{});
    const std::vector<std::string> writes = {
        "INSERT INTO t VALUES (100, 1)",
        "UPDATE t SET v = 0",
        "DELETE FROM t WHERE false",
        "BEGIN READ WRITE; UPDATE t SET v = 1",
        "SET session_replication_role = replica; UPDATE t SET v = 1",
        "SET session_replication_role = replica; CREATE TABLE sneaked (i int)",
        "INSERT INTO p VALUES (1)",
        "INSERT INTO p1 VALUES (1)",
        "UPDATE parent SET i = 1",
        "INSERT INTO child VALUES (1)",
        "UPDATE v SET i = 3 WHERE i = 1",
        "MERGE INTO t USING p ON t.i = p.i WHEN MATCHED THEN DELETE",
        "WITH w AS (DELETE FROM t RETURNING i) SELECT * FROM w",
        "ALTER TABLE t ALTER v TYPE bigint",
        "ALTER TABLE t DISABLE TRIGGER segue_fence",
        "CREATE TABLE fresh (i int)",
        "TRUNCATE parent CASCADE"};
    for (const std::string& sql : writes) {
        EXPECT_EQ(outcome("BEGIN; " + sql + "; ROLLBACK"), "") << sql;
    }
    close();
    for (const std::string& sql : writes) EXPECT_EQ(outcome(sql), refused) << sql;
    EXPECT_EQ(client().copy_in("COPY t FROM STDIN", "7\t7\n").sqlstate, refused);
    EXPECT_EQ(outcome("SELECT * FROM t, p, v FOR SHARE OF t"), "");
    EXPECT_EQ(client().attempt("UPDATE t SET v = 0").message.find("source is fenced") ==
                  std::string::npos,
              false);
    const Status opened = open();
    ASSERT_TRUE(opened) << opened.error().detail;
    EXPECT_EQ(outcome("UPDATE t SET v = 5"), "");
}

// An application's transaction and ours can wait for each other's tables.
TEST_F(PostgresFence, IsArmedAgainWhereItWasTheVictimOfADeadlock) {
    run(R"sql(
        DROP TRIGGER segue_fence ON t;
        CREATE SEQUENCE times;
        CREATE FUNCTION first_time() RETURNS event_trigger LANGUAGE plpgsql AS $$
        BEGIN IF nextval('public.times') = 1 THEN RAISE EXCEPTION USING ERRCODE = '40P01'; END IF; END $$;
        CREATE EVENT TRIGGER first_time ON ddl_command_start WHEN TAG IN ('CREATE TRIGGER')
            EXECUTE FUNCTION first_time();
        ALTER EVENT TRIGGER first_time ENABLE ALWAYS)sql");
    const Status armed = fence_->arm(in(60s));
    ASSERT_TRUE(armed) << armed.error().detail;
    EXPECT_EQ(databases_->value(Side::source, "SELECT last_value > 1 FROM times"), "t");
    const auto unarmed = fence_->unarmed();
    ASSERT_TRUE(unarmed) << unarmed.error().detail;
    EXPECT_EQ(*unarmed, std::vector<std::string>{});
}

constexpr const char* begin_carrying =
    "BEGIN; SELECT set_config('segue.carry', pg_current_xact_id()::text, true); ";

TEST_F(PostgresFence, LetsTemporaryTablesOfASessionThatIsMovedHereBeMadeAndNothingElse) {
    close();
    const std::string carry = begin_carrying;
    EXPECT_EQ(outcome("CREATE TEMPORARY TABLE mine (i int)"), refused);
    EXPECT_EQ(outcome(carry + "CREATE TEMPORARY SEQUENCE s; CREATE TEMPORARY TABLE mine (i int "
                              "GENERATED ALWAYS AS IDENTITY, j int); "
                              "ALTER TABLE mine ADD PRIMARY KEY (i); CREATE INDEX ON mine (j); "
                              "ALTER SEQUENCE s OWNED BY mine.j; COMMIT"),
              "");
    EXPECT_EQ(outcome(carry + "CREATE TABLE theirs (i int)"), refused);
    EXPECT_EQ(outcome(carry + "CREATE INDEX ON t (v)"), refused);
    EXPECT_EQ(outcome(carry + "ALTER TABLE t ALTER v TYPE bigint"), refused);
    EXPECT_EQ(outcome(carry + "ALTER TABLE t DISABLE TRIGGER segue_fence, ALTER v TYPE text USING "
                              "set_config('segue.carry', 'off', false); COMMIT"),
              refused);
    EXPECT_EQ(outcome(carry + "DROP TABLE t"), refused);
    EXPECT_EQ(outcome(carry + "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
              refused);
    ASSERT_TRUE(open());
    EXPECT_EQ(outcome(carry + "CREATE TABLE theirs (i int); COMMIT"), "");
}

// They commit before anybody can look at what they made.
TEST_F(PostgresFence, RefusesWhatCommitsInsideItselfBeforeItBegins) {
    close();
    for (const char* setting :
         {"SET segue.carry = 'on'",
          "SET segue.carry = ''",
          "SELECT set_config('segue.carry', pg_current_xact_id()::text, false)"}) {
        SCOPED_TRACE(setting);
        Sql client{databases_->url(Side::source, "postgres")};
        client.query(setting);
        EXPECT_EQ(client.attempt("CREATE INDEX CONCURRENTLY built ON t (v)").sqlstate, refused);
        EXPECT_EQ(client.value("SELECT count(*) FROM pg_class WHERE relname = 'built'"), "0");
        EXPECT_EQ(client.attempt("ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY").sqlstate,
                  refused);
        EXPECT_EQ(client.value("SELECT count(*) FROM pg_inherits WHERE inhrelid = 'p1'::regclass "
                               "AND NOT inhdetachpending"),
                  "1");
    }
}

TEST_F(PostgresFence, LetsNoCarriedTableBeMadeWithoutTheCheckOfWhatWasMade) {
    run("ALTER EVENT TRIGGER segue_fence_carried DISABLE");
    close();
    EXPECT_EQ(outcome(begin_carrying + std::string{"CREATE TEMPORARY TABLE mine (i int)"}),
              refused);
    arm();
    EXPECT_EQ(outcome(begin_carrying + std::string{"CREATE TEMPORARY TABLE mine (i int)"}), "");
}

TEST_F(PostgresFence, FollowsTheControlRecordSoThatALateFlipChangesNothing) {
    close();
    EXPECT_EQ(fence_->open(in(5s)).error().code, Errc::refused);
    EXPECT_EQ(outcome("UPDATE t SET v = 5"), refused);
    ASSERT_TRUE(open());
    EXPECT_EQ(fence_->close(in(5s)).error().code, Errc::refused);
    EXPECT_EQ(outcome("UPDATE t SET v = 5"), "");
    run("UPDATE segue.control SET authority = 'target', epoch = 2");
    EXPECT_TRUE(fence_->flip(true, in(5s)));
    EXPECT_EQ(fence_->open(in(5s)).error().code, Errc::refused);
    EXPECT_EQ(outcome("UPDATE t SET v = 5"), refused);
}

TEST_F(PostgresFence, AsksAgainWhereTheRecordIsLocked) {
    Sql writer = client();
    writer.query("BEGIN");
    writer.query("LOCK TABLE segue.control IN ACCESS EXCLUSIVE MODE");
    auto closing = std::async(std::launch::async, [&] { return fence_->flip(true, in(30s)); });
    EXPECT_TRUE(databases_->asked_again(Side::source, "segue.control"));
    writer.query("COMMIT");
    const Status closed = closing.get();
    ASSERT_TRUE(closed) << closed.error().detail;
    EXPECT_EQ(outcome("UPDATE t SET v = 5"), refused);
}

TEST_F(PostgresFence, LetsOnlyTheMoverWriteAlsoAmongSessionsOfItsRole) {
    close();
    Connection mover = databases_->open(Side::source, mover_id);
    EXPECT_TRUE(mover.execute("UPDATE public.t SET v = 7"));
    EXPECT_TRUE(mover.execute("SET session_replication_role = replica; UPDATE public.t SET v = 7"));
    EXPECT_TRUE(mover.execute("ALTER TABLE public.t ADD COLUMN w int"));
    Connection earlier = databases_->open(Side::source, "id-0");
    EXPECT_EQ(earlier.execute("UPDATE public.t SET v = 7").error().sqlstate, refused);

    // Another role with the mover's setting.
    Databases::server(Side::source)
        .run(
            "DO $$ BEGIN CREATE ROLE cheat LOGIN SUPERUSER; EXCEPTION WHEN duplicate_object THEN "
            "END $$");
    Connection cheat = databases_->open(Side::source, mover_id, "cheat");
    EXPECT_EQ(cheat.execute("UPDATE public.t SET v = 7").error().sqlstate, refused);
}

TEST_F(PostgresFence, CostsAnOrdinaryRoleNoRight) {
    databases_->run(Side::source,
                    "DO $$ BEGIN CREATE ROLE app LOGIN; EXCEPTION WHEN duplicate_object THEN"
                    " END $$; ");
    Connection admin = databases_->open(Side::source, mover_id);
    ASSERT_TRUE(
        admin.execute("GRANT USAGE, CREATE ON SCHEMA public TO app; GRANT ALL ON public.t TO app"));
    EXPECT_EQ(outcome("UPDATE t SET v = 3", "app"), "");
    EXPECT_EQ(outcome("CREATE TABLE of_app (i int)", "app"), "");
    EXPECT_EQ(outcome("INSERT INTO of_app VALUES (1)", "app"), "");
    EXPECT_EQ(outcome("SELECT setval('segue.fence', 1)", "app"), "42501");
    close();
    EXPECT_EQ(outcome("UPDATE t SET v = 3", "app"), refused);
    EXPECT_EQ(outcome("INSERT INTO of_app VALUES (1)", "app"),
              refused);  // Armed as it was created.
    ASSERT_TRUE(admin.execute("DROP OWNED BY app"));
}

TEST_F(PostgresFence, StopsASnapshotThatIsOlderThanTheFlip) {
    Sql old_reader = client();
    old_reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
    EXPECT_EQ(old_reader.value("SELECT count(*) FROM t"), "2");
    close();  // Does not wait for it: it has written nothing.
    EXPECT_EQ(old_reader.value("SELECT last_value FROM segue.fence"), "2");
    EXPECT_EQ(old_reader.attempt("UPDATE t SET v = 9").sqlstate, refused);
}

struct Writer {
    const char* name;
    const char* statement;
};

class PostgresFenceWriter : public PostgresFence, public testing::WithParamInterface<Writer> {};

TEST_P(PostgresFenceWriter, ThatIsOpenIsWaitedForAndFailsTheFenceAtTheDeadline) {
    Sql writer = client();
    writer.query("BEGIN");
    writer.query(GetParam().statement);
    const std::string pid = writer.value("SELECT pg_backend_pid()");
    const Status late = fence_->close(in(300ms));
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Errc::timed_out);
    EXPECT_NE(late.error().detail.find(pid), std::string::npos) << late.error().detail;
    EXPECT_FALSE(fence_->held());
    const auto closed = fence_->closed();
    EXPECT_TRUE(closed && *closed);

    std::thread waiting{[this] { close(); }};
    writer.query("COMMIT");
    waiting.join();
    EXPECT_TRUE(fence_->held());
}

INSTANTIATE_TEST_SUITE_P(Kinds,
                         PostgresFenceWriter,
                         testing::Values(Writer{"update", "UPDATE t SET v = 4"},
                                         Writer{"no_row", "DELETE FROM t WHERE false"},
                                         Writer{"rewrite",
                                                "ALTER TABLE t ALTER v TYPE bigint USING v + 1"},
                                         Writer{"past_the_triggers", "SELECT lo_create(0)"}),
                         [](const auto& writer) { return writer.param.name; });

TEST_F(PostgresFence, WaitsForPreparedTransactionsHereButNotForOtherDatabases) {
    Sql elsewhere{Databases::server(Side::source).url("postgres")};
    elsewhere.query("BEGIN");
    elsewhere.query("CREATE TABLE elsewhere (i int)");
    Sql writer = client();
    writer.query("BEGIN");
    writer.query("UPDATE t SET v = 4");
    writer.query("PREPARE TRANSACTION 'later'");
    const Status late = fence_->close(in(300ms));
    ASSERT_FALSE(late);
    EXPECT_NE(late.error().detail.find("prepared"), std::string::npos) << late.error().detail;
    writer.query("ROLLBACK PREPARED 'later'");
    close();
    elsewhere.query("ROLLBACK");
}

TEST_F(PostgresFence, TellsWhenTheSessionWithTheLockHasDied) {
    close();
    EXPECT_TRUE(fence_->held());
    run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'segue "
        "fence'"
        " AND datname = current_database()");
    EXPECT_TRUE(test::eventually(5s, [&] { return !fence_->held(); }));
    EXPECT_EQ(outcome("UPDATE t SET v = 4"), refused);  // The flag does not need the session.
    Databases::server(Side::source).restart(test::Stop::immediate);
    EXPECT_EQ(outcome("UPDATE t SET v = 4"), refused);
}

TEST_F(PostgresFence, OpensAlsoWhenAnEarlierSessionOfOursStillHoldsTheLock) {
    Fence earlier{FenceSettings{Side::source, databases_->url(Side::source), mover_id, {}}};
    ASSERT_TRUE(earlier.close(in(5s)));
    const Status opened = open();
    ASSERT_TRUE(opened) << opened.error().detail;
    EXPECT_TRUE(test::eventually(5s, [&] { return outcome("UPDATE t SET v = 4").empty(); }));
}

TEST_F(PostgresFence, ArmsOneTableAtATimeAndHoldsUpNobody) {
    Connection admin = databases_->open(Side::source, mover_id);
    ASSERT_TRUE(admin.execute(
        "DROP TRIGGER segue_fence ON public.t; DROP TRIGGER segue_fence ON public.p1"));
    Sql writer = client();
    writer.query("BEGIN");
    writer.query("UPDATE t SET v = 4 WHERE i = 1");
    const Status late = fence_->arm(in(200ms));
    ASSERT_FALSE(late);
    EXPECT_NE(late.error().detail.find("\"t\""), std::string::npos) << late.error().detail;
    EXPECT_EQ(*fence_->unarmed(), std::vector<std::string>{"public.t"});
    EXPECT_EQ(outcome("UPDATE t SET v = 4 WHERE i = 2"), "");
    writer.query("COMMIT");
    arm();
    EXPECT_TRUE(fence_->unarmed()->empty());
}

TEST_F(PostgresFence, NothingIsWrittenAfterItHasClosedUnderLoad) {
    std::atomic<bool> stop{false};
    std::atomic<int> acknowledged{0}, refusals{0};
    std::vector<std::thread> writers;
    for (int w = 0; w < 4; ++w) {
        writers.emplace_back([&, w] {
            Sql session = client();
            for (int i = 0; !stop; ++i) {
                const auto answer = session.attempt("INSERT INTO t VALUES (" +
                                                    std::to_string(1000 + 4 * i + w) + ", 0)");
                ++(answer.ok ? acknowledged : refusals);
            }
        });
    }
    EXPECT_TRUE(test::eventually(10s, [&] { return acknowledged > 200; }));
    close();
    const std::string count = client().value("SELECT count(*) FROM t");
    const int refused_before = refusals;
    EXPECT_TRUE(test::eventually(10s, [&] { return refusals > refused_before + 100; }));
    stop = true;
    for (std::thread& writer : writers) writer.join();
    EXPECT_EQ(client().value("SELECT count(*) FROM t"), count);
    EXPECT_EQ(count, std::to_string(acknowledged + 2));
}

TEST_F(PostgresFence, IsRemovedFromTablesThatWereBeingMadeJustThen) {
    ASSERT_TRUE(open());
    Sql making = client();
    making.query("BEGIN; CREATE TABLE made (i int)");
    auto removing = std::async(std::launch::async, [&] { return fence_->remove(in(60s)); });
    EXPECT_TRUE(databases_->asked_again(Side::source, "segue.ddl_token"));
    making.query("COMMIT");
    const Status removed = removing.get();
    ASSERT_TRUE(removed) << removed.error().detail;
    EXPECT_EQ(outcome("INSERT INTO made VALUES (1)"), "");
}

TEST_F(PostgresFence, IsRemovedWithoutATrace) {
    close();
    fence_->release_lock();
    const Status removed = fence_->remove(in(10s));
    ASSERT_TRUE(removed) << removed.error().detail;
    ASSERT_TRUE(fence_->remove(in(10s)));
    EXPECT_EQ(outcome("UPDATE t SET v = 4; CREATE TABLE fresh (i int)"), "");
    EXPECT_EQ(
        databases_->value(Side::source,
                          "SELECT (SELECT count(*) FROM pg_trigger) + (SELECT count(*) FROM"
                          " pg_event_trigger) + (SELECT count(*) FROM pg_proc WHERE pronamespace ="
                          " 'segue'::regnamespace)"),
        "0");
}

}  // namespace
}  // namespace segue::backfill::postgres
