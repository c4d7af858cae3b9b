// DDL of applications while a migration is being started: whenever it commits, it is on the target,
// or the start is refused and says why.

#include "backfill/postgres/ddl_start.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "tests/backfill/mover_fixture.hpp"
#include "tests/support/sql.hpp"

namespace segue::backfill {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* a_table =
    "CREATE TABLE public.t (id int PRIMARY KEY, body text UNIQUE);"
    " INSERT INTO public.t SELECT i, i FROM generate_series(1, 50) i";

class DdlStart : public MoverTest {
protected:
    void SetUp() override {
        MoverTest::SetUp();
        if (IsSkipped()) return;
        carry_ddl = true;
        databases->run(Side::source, a_table);
    }

    // Statements of one transaction of an application that make one of each kind.
    static std::string one_of_each(const std::string& name) {
        return new_ones(name) + "; ALTER TABLE public.t ADD COLUMN " + name +
               "_column int DEFAULT 7";
    }
    static std::string new_ones(const std::string& name) {
        return "CREATE TABLE public." + name + "_table (id int PRIMARY KEY, v text UNIQUE);" +
               " INSERT INTO public." + name + "_table VALUES (1, 'one'), (2, 'two');" +
               " CREATE VIEW public." + name + "_view AS SELECT id FROM public.t;" +
               " CREATE FUNCTION public." + name + "_function(i int) RETURNS int LANGUAGE sql" +
               " AS 'SELECT i + 1'";
    }

    bool source_has(const std::string& condition) {
        return test::eventually(
            60s, [&] { return databases->value(Side::source, "SELECT " + condition) == "t"; });
    }
    bool captures() {
        return source_has("EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'segue_ddl_4')");
    }
    // A session of Segue's has asked a question with this in it.
    bool segue_asks(const std::string& piece) {
        return source_has(
            "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'segue' AND datname ="
            " current_database() AND strpos(query, '" +
            piece + "') > 0)");
    }
    // Begins to prepare, up to where the slot is being made and waits for `across_`.
    void begin_before_the_slot() {
        test::Sql barrier{databases->url(Side::source)};
        barrier.query("BEGIN; SELECT pg_current_xact_id()");
        preparing_ = std::jthread{[this] { prepared_ = try_to_prepare(); }};
        // From here on who begins is not waited for.
        EXPECT_TRUE(segue_asks("pg_xact_status"));
        across_ = std::make_unique<test::Sql>(databases->url(Side::source));
        const std::string transaction = across_->value("BEGIN; SELECT pg_current_xact_id()");
        barrier.query("COMMIT");
        EXPECT_TRUE(slot_waits_for(transaction));
    }
    bool slot_waits_for(const std::string& transaction) {
        return source_has(
            "EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted AND"
            " transactionid = '" +
            transaction + "')");
    }
    std::string slots() {
        return databases->value(
            Side::source,
            "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()");
    }
    std::string as_segue() const { return "SET segue.mover = 'id" + migration + "'; "; }
    // A command that cannot be carried, and what the start has said of it.
    void refuse_hidden() {
        databases->run(Side::source,
                       "DO $$ BEGIN ALTER TABLE public.t ADD COLUMN hidden int; END $$");
        across_->query("COMMIT");
        preparing_.join();
        ASSERT_FALSE(prepared_);
        ASSERT_THAT(prepared_.error().detail, HasSubstr("a DO block"));
    }
    std::string refused_id() {
        return databases->value(Side::source, "SELECT min(id) FROM segue.ddl WHERE refusal <> ''");
    }
    void handle_hidden() {
        databases->run(Side::target,
                       as_segue() + "ALTER TABLE public.t ADD COLUMN hidden int;" +
                           " INSERT INTO segue.ddl_handled VALUES ('source', " + refused_id() +
                           ")");
    }
    std::string on_target(const std::string& sql) { return databases->value(Side::target, sql); }

    std::unique_ptr<test::Sql> across_;
    Status prepared_ = Error{Errc::closed, "not yet"};
    std::jthread preparing_;

    // Whatever the source has by now.
    void expect_all_is_there() {
        start();
        wait_consistent();
        if (HasFatalFailure()) return;
        catch_up();
        const std::string source = databases->url(Side::source),
                          target = databases->url(Side::target);
        std::vector<std::string> differences;
        test::eventually(
            30s, [&] { return (differences = test::compare_catalogs(source, target)).empty(); });
        for (const std::string& difference : differences) ADD_FAILURE() << difference;
        expect_same();
        const auto blockers = steps->blockers(Side::source);
        ASSERT_TRUE(blockers) << blockers.error().detail;
        for (const Blocker& blocker : *blockers) {
            if (blocker.code != "unfenced_table") ADD_FAILURE() << blocker.text;
        }
    }
};

// Nobody has captured what it did before the capture began.
TEST_F(DdlStart, WaitsForATransactionThatChangesTheSchemaBeforeItCaptures) {
    test::Sql before{databases->url(Side::source)};
    before.query("BEGIN; " + new_ones("before"));
    std::jthread preparing{[&] { prepare(); }};
    EXPECT_TRUE(captures());
    before.query("ALTER TABLE public.t ADD COLUMN later int; COMMIT");
    preparing.join();
    if (HasFatalFailure()) return;
    expect_all_is_there();
}

// A command that waits for its first lock has no number of a transaction yet.
TEST_F(DdlStart, WaitsForACommandThatHasBegunBeforeItCaptures) {
    databases->run(Side::source, "CREATE UNLOGGED TABLE public.u (id int PRIMARY KEY)");
    test::Sql holder{databases->url(Side::source)}, waiter{databases->url(Side::source)};
    holder.query("BEGIN; LOCK TABLE public.u IN ROW EXCLUSIVE MODE");
    std::jthread waits{[&] {
        waiter.query(
            "CREATE TRIGGER fires BEFORE INSERT ON public.u FOR EACH ROW EXECUTE FUNCTION"
            " suppress_redundant_updates_trigger()");
    }};
    EXPECT_TRUE(
        source_has("EXISTS (SELECT FROM pg_locks WHERE relation = 'public.u'::regclass AND"
                   " NOT granted)"));
    std::jthread preparing{[&] { prepare(); }};
    EXPECT_TRUE(segue_asks("pg_stat_progress_analyze"));
    holder.query("COMMIT");
    preparing.join();
    waits.join();
    if (HasFatalFailure()) return;
    expect_all_is_there();
}

// The slot shows nothing of what commits while it is being made.
TEST_F(DdlStart, CarriesWhatCommitsBetweenTheDescriptionAndTheSlot) {
    databases->run(Side::source,
                   "CREATE TABLE public.gone (id int PRIMARY KEY);"
                   " CREATE TABLE public.u (id int PRIMARY KEY); INSERT INTO public.u VALUES (1)");
    begin_before_the_slot();
    databases->run(Side::source, one_of_each("beside"));
    for (const char* const command : {"DROP TABLE public.gone",
                                      "ALTER TABLE public.u RENAME TO renamed",
                                      "ALTER TABLE public.renamed RENAME COLUMN id TO number",
                                      "CREATE VIEW public.u AS SELECT number FROM public.renamed",
                                      "CREATE TYPE public.colour AS ENUM ('red')",
                                      "ALTER TYPE public.colour ADD VALUE 'blue'",
                                      "ALTER TABLE public.t ADD COLUMN c public.colour DEFAULT"
                                      " 'blue'",
                                      "CREATE INDEX t_body ON public.t (body)"})
        databases->run(Side::source, command);
    across_->query(one_of_each("across") + "; COMMIT");
    preparing_.join();
    ASSERT_TRUE(prepared_) << prepared_.error().detail;
    EXPECT_NE(on_target("SELECT to_regclass('public.across_table')"), "\\N");
    databases->run(Side::source, "INSERT INTO public.across_table VALUES (3, 'behind')");
    databases->run(Side::source, one_of_each("behind"));
    expect_all_is_there();
}

TEST_F(DdlStart, IsRefusedForWhatItCannotCarryUntilThatIsHandled) {
    begin_before_the_slot();
    databases->run(Side::source, "DO $$ BEGIN ALTER TABLE public.t ADD COLUMN hidden int; END $$");
    databases->run(Side::source, one_of_each("beside"));
    across_->query("COMMIT");
    preparing_.join();
    ASSERT_FALSE(prepared_);
    for (const char* const piece : {"ALTER TABLE of table public.t by role postgres on the source",
                                    "a DO block",
                                    "INSERT INTO segue.ddl_handled VALUES ('source', ",
                                    "run `segue start` again",
                                    "`segue finish` ends that"})
        EXPECT_THAT(prepared_.error().detail, HasSubstr(piece));
    EXPECT_EQ(slots(), "0") << "the source would retain its log for nobody";
    databases->run(Side::source, "ALTER TABLE public.t ADD COLUMN further int");
    EXPECT_FALSE(try_to_prepare()) << "it is not handled yet";
    const std::string id =
        databases->value(Side::source, "SELECT min(id) FROM segue.ddl WHERE refusal <> ''");
    databases->run(Side::target,
                   "SET segue.mover = '" + record.migration_id +
                       "'; ALTER TABLE public.t ADD COLUMN hidden int;"
                       " INSERT INTO segue.ddl_handled VALUES ('source', " +
                       id + ")");
    prepare();
    if (HasFatalFailure()) return;
    expect_all_is_there();
}

// They are copied when it has run on both sides.
TEST_F(DdlStart, CarriesCommandsThatMakeValuesOfTheirOwn) {
    databases->run(Side::source,
                   "CREATE TABLE public.keyless (i int); INSERT INTO public.keyless SELECT i FROM"
                   " generate_series(1, 9) i");
    begin_before_the_slot();
    databases->run(Side::source, "ALTER TABLE public.keyless ADD COLUMN r float DEFAULT random()");
    EXPECT_THAT(databases->value(Side::source, "SELECT max(refusal) FROM segue.ddl"),
                HasSubstr("the table has no key"));
    across_->query("COMMIT");
    preparing_.join();
    ASSERT_TRUE(prepared_) << prepared_.error().detail;
    expect_all_is_there();
}

// What was restored before [ddl] carry was switched on is of nobody knows when.
TEST_F(DdlStart, GoesOnWithNothingThatWasDescribedWithoutTheCapture) {
    carry_ddl = false;
    prepare();
    if (HasFatalFailure()) return;
    databases->run(Side::target, "DELETE FROM segue.progress");
    carry_ddl = true;
    const Status prepared = try_to_prepare();
    ASSERT_FALSE(prepared);
    EXPECT_THAT(prepared.error().detail, HasSubstr("Set [ddl] carry = false to go on"));
    carry_ddl = false;
    prepare();
    if (HasFatalFailure()) return;
    EXPECT_EQ(databases->value(Side::source,
                               "SELECT count(*) FROM pg_event_trigger WHERE evtname LIKE 'segue%'"),
              "0");
    expect_all_is_there();
}

// Nobody would carry what the capture has recorded since, and nobody would miss it.
TEST_F(DdlStart, IsNotGoneOnWithoutTheCaptureWhileCommandsOfItAreNotCarried) {
    begin_before_the_slot();
    databases->run(Side::source, "ALTER TABLE public.t ADD COLUMN beside int");
    refuse_hidden();
    carry_ddl = false;
    const Status prepared = try_to_prepare();
    ASSERT_FALSE(prepared);
    const std::string id = refused_id();
    for (const std::string& piece : {"ALTER TABLE, number " + id,
                                     std::string{"[ddl] carry = true"},
                                     std::string{"INSERT INTO segue.ddl_handled VALUES ('source',"},
                                     std::string{"segue finish"}})
        EXPECT_THAT(prepared.error().detail, HasSubstr(piece));
    EXPECT_THAT(prepared.error().detail,
                Not(HasSubstr(", number " + std::to_string(std::stoi(id) - 1))))
        << "it is carried";
    EXPECT_TRUE(captures()) << "what comes now is needed as well";
    handle_hidden();
    prepare();
    if (HasFatalFailure()) return;
    EXPECT_EQ(databases->value(Side::source,
                               "SELECT count(*) FROM pg_event_trigger WHERE evtname LIKE 'segue%'"),
              "0");
    expect_all_is_there();
}

// It is in the description, so its refusal counts no more; and the list of tables had not seen it.
TEST_F(DdlStart, PublishesATableThatTheCaptureCouldNotPublishBeforeTheDescription) {
    test::Sql barrier{databases->url(Side::source)}, full{databases->url(Side::source)},
        maker{databases->url(Side::source)};
    barrier.query("BEGIN; SELECT pg_current_xact_id()");
    preparing_ = std::jthread{[this] { prepared_ = try_to_prepare(); }};
    EXPECT_TRUE(segue_asks("pg_xact_status"));
    full.query("BEGIN; SELECT FROM segue.ddl_publication FOR UPDATE");
    maker.query("BEGIN; CREATE TABLE public.late (id int PRIMARY KEY)");
    full.query("COMMIT");
    barrier.query("COMMIT");
    EXPECT_TRUE(databases->asked_again(Side::source, "segue.ddl"));
    maker.query("COMMIT");
    preparing_.join();
    ASSERT_TRUE(prepared_) << prepared_.error().detail;
    EXPECT_EQ(databases->value(Side::source,
                               "SELECT count(*) FROM pg_publication_tables WHERE tablename ="
                               " 'late'"),
              "1");
    expect_all_is_there();
}

// The text of a message stands with its first command.
TEST_F(DdlStart, CarriesATransactionAsAWholeWhateverCommitsWithinIt) {
    databases->run(Side::source,
                   "CREATE TABLE public.u (id int PRIMARY KEY);"
                   " CREATE TABLE public.w (id int PRIMARY KEY)");
    begin_before_the_slot();
    test::Sql gate{databases->url(Side::source)};
    gate.query("SELECT pg_advisory_lock(7)");
    std::jthread long_one{[this] {
        databases->run(Side::source,
                       "ALTER TABLE public.t ADD COLUMN a int; SELECT pg_advisory_lock(7);"
                       " ALTER TABLE public.u ADD COLUMN b int");
    }};
    EXPECT_TRUE(source_has(
        "EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND"
        " l.locktype = 'advisory' AND a.datname = current_database())"));
    databases->run(Side::source, "ALTER TABLE public.w ADD COLUMN c int");
    gate.query("SELECT pg_advisory_unlock(7)");
    long_one.join();
    across_->query("COMMIT");
    preparing_.join();
    ASSERT_TRUE(prepared_) << prepared_.error().detail;
    expect_all_is_there();
}

// Otherwise a crash of the source would take it back there, and the target alone would have it.
TEST_F(DdlStart, CarriesNothingThatTheSourceHasNotWrittenToItsDisk) {
    databases->run(Side::source, "CREATE TABLE public.u (id int PRIMARY KEY)");
    begin_before_the_slot();
    refuse_hidden();
    databases->run(Side::source, "ALTER TABLE public.u ADD COLUMN further int");
    handle_hidden();
    const auto ticket = [&] {
        return std::stoi(databases->value(Side::source, "SELECT number FROM segue.ticket"));
    };
    const int before = ticket();
    test::Sql holder{databases->url(Side::target)};
    holder.query("BEGIN; LOCK TABLE public.u IN ACCESS SHARE MODE");
    preparing_ = std::jthread{[this] { prepared_ = try_to_prepare(); }};
    EXPECT_TRUE(databases->asked_again(Side::target, "public.u"));
    EXPECT_GT(ticket(), before) << "what commits after it flushes the log";
    holder.query("COMMIT");
    preparing_.join();
    ASSERT_TRUE(prepared_) << prepared_.error().detail;
    expect_all_is_there();
}

// A crash of the source takes numbers back, too.
TEST_F(DdlStart, TakesNoCommandForAnotherOneWithItsNumber) {
    begin_before_the_slot();
    databases->run(Side::source, "CREATE TABLE public.lost (id int PRIMARY KEY)");
    refuse_hidden();
    EXPECT_NE(on_target("SELECT to_regclass('public.lost')"), "\\N") << "it is carried";
    const std::string id =
        databases->value(Side::source, "SELECT id FROM segue.ddl WHERE tag = 'CREATE TABLE'");
    databases->run(Side::source,
                   as_segue() + "DROP TABLE public.lost; DELETE FROM segue.ddl WHERE id = " + id +
                       "; SELECT setval(pg_get_serial_sequence('segue.ddl', 'id'), " + id +
                       ", false)");
    databases->run(Side::target, as_segue() + "DROP TABLE public.lost");
    databases->run(Side::source, "CREATE TABLE public.other (id int PRIMARY KEY)");
    EXPECT_EQ(databases->value(Side::source, "SELECT id FROM segue.ddl WHERE tag = 'CREATE TABLE'"),
              id);
    handle_hidden();
    prepare();
    if (HasFatalFailure()) return;
    EXPECT_NE(on_target("SELECT to_regclass('public.other')"), "\\N");
    expect_all_is_there();
}

// Who changes the schema and stays open is waited for a moment at a time: others would queue behind
// the wait.
TEST_F(DdlStart, IsInTheWayOfNobodyWhereItCarries) {
    begin_before_the_slot();
    refuse_hidden();
    handle_hidden();
    test::Sql barrier{databases->url(Side::source)}, open{databases->url(Side::source)};
    barrier.query("BEGIN; SELECT pg_current_xact_id()");
    preparing_ = std::jthread{[this] { prepared_ = try_to_prepare(); }};
    EXPECT_TRUE(segue_asks("pg_xact_status"));
    open.query("BEGIN; ALTER TABLE public.t ADD COLUMN open int");
    barrier.query("COMMIT");
    EXPECT_TRUE(databases->asked_again(Side::source, "segue.ddl"));
    open.query("COMMIT");
    preparing_.join();
    ASSERT_TRUE(prepared_) << prepared_.error().detail;
    expect_all_is_there();
}

// Neither of them has a number of a transaction yet, nor a lock as DDL takes it on a table.
TEST_F(DdlStart, WaitsForACommandThatWaitsForMoreThanOneLock) {
    databases->run(Side::source,
                   "CREATE SCHEMA one; CREATE SCHEMA two; CREATE UNLOGGED TABLE public.a (i int);"
                   " CREATE UNLOGGED TABLE public.b (i int)");
    test::Sql first{databases->url(Side::source)}, second{databases->url(Side::source)};
    first.query("BEGIN; CREATE TABLE one.x (i int); LOCK TABLE public.a");
    std::jthread drops{[this] { databases->run(Side::source, "DROP SCHEMA one, two CASCADE"); }};
    std::jthread makes{[this] {
        databases->run(Side::source, "CREATE VIEW public.v AS SELECT a.i FROM public.a, public.b");
    }};
    EXPECT_TRUE(
        source_has("(SELECT count(*) FROM pg_locks WHERE NOT granted AND database ="
                   " (SELECT oid FROM pg_database WHERE datname = current_database())) = "
                   "2"));
    preparing_ = std::jthread{[this] { prepared_ = try_to_prepare(); }};
    EXPECT_TRUE(captures());
    // Whoever does not see the two waits for the first one alone, and then for nobody.
    const auto soon = [&](const std::string& condition) {
        test::eventually(
            500ms, [&] { return databases->value(Side::source, "SELECT " + condition) == "t"; });
    };
    soon(
        "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'segue' AND"
        " datname = current_database() AND strpos(query, 'pg_xact_status') > 0)");
    // Not recorded: the description would wait for it.
    second.query(as_segue() + "BEGIN; CREATE TABLE two.x (i int); LOCK TABLE public.b");
    first.query("ROLLBACK");
    test::eventually(1s, [&] {
        return on_target("SELECT count(*) FROM segue.saved WHERE kind = 'schema_described'") == "1";
    });
    second.query("ROLLBACK");
    preparing_.join();
    drops.join();
    makes.join();
    ASSERT_TRUE(prepared_) << prepared_.error().detail;
    expect_all_is_there();
}

// A table that the capture cannot follow is not published behind its back: the application's next
// UPDATE would fail. From PostgreSQL 18 on; an older server does not look at what stands there.
TEST_F(DdlStart, PublishesNoTableWhoseRowsTheServerWouldNotLetGo) {
    databases->run(Side::source, "CREATE TABLE public.keyless (i int, v int)");
    databases->run(Side::source,
                   "UPDATE pg_attribute SET attgenerated = 'v' WHERE attrelid ="
                   " 'public.keyless'::regclass AND attname = 'v'");
    const Status prepared = try_to_prepare();
    ASSERT_FALSE(prepared);
    EXPECT_THAT(prepared.error().detail, HasSubstr("public.keyless"));
    EXPECT_THAT(prepared.error().detail, HasSubstr("primary key"));
    EXPECT_EQ(databases->value(Side::source,
                               "SELECT relreplident::text || (SELECT count(*) FROM"
                               " pg_publication_rel WHERE prrelid = c.oid) FROM pg_class c"
                               " WHERE oid = 'public.keyless'::regclass"),
              "d0");
    databases->run(Side::source,
                   "UPDATE pg_attribute SET attgenerated = '' WHERE attrelid ="
                   " 'public.keyless'::regclass AND attname = 'v'");
    databases->run(Side::source, "ALTER TABLE public.keyless ADD PRIMARY KEY (i)");
    prepare();
    if (HasFatalFailure()) return;
    expect_all_is_there();
}

// At any moment, from before the first step to the end of the copy.
TEST_F(DdlStart, LosesNothingOfAStorm) {
    constexpr int rounds_max = 60;
    std::atomic<bool> over{false};
    std::atomic<int> rounds{0};
    std::jthread storm{[&] {
        test::Sql client{databases->url(Side::source)};
        for (int i = 0; i < rounds_max && !over; ++i) {
            const std::string n = std::to_string(i), name = "public.s" + n;
            client.query("CREATE TABLE " + name + " (id int PRIMARY KEY, v text UNIQUE)");
            client.query("BEGIN; INSERT INTO " + name + " VALUES (1, 'one'); ALTER TABLE " + name +
                         " ADD COLUMN w int DEFAULT " + n + "; CREATE VIEW public.v" + n +
                         " AS SELECT * FROM " + name + "; COMMIT");
            client.query(
                "CREATE OR REPLACE FUNCTION public.f() RETURNS int LANGUAGE sql AS"
                " 'SELECT " +
                n + "'");
            client.query("ALTER TABLE public.t ALTER COLUMN body SET DEFAULT '" + n + "'");
            if (i % 3 == 2) {
                client.query("ALTER TABLE " + name + " DROP COLUMN v CASCADE");
                client.query("DROP TABLE public.s" + std::to_string(i - 1) + " CASCADE");
            }
            rounds = i;
        }
    }};
    ASSERT_TRUE(test::eventually(30s, [&] { return rounds > 3; }));
    prepare();
    if (HasFatalFailure()) return;
    start();
    wait_consistent();
    over = true;
    storm.join();
    if (HasFatalFailure()) return;
    mover.reset();
    expect_all_is_there();
}

}  // namespace
}  // namespace segue::backfill
