#include "backfill/change_steps.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <future>
#include <set>
#include <thread>

#include "backfill/postgres/catalog.hpp"
#include "backfill/postgres/schema.hpp"
#include "backfill/postgres/schema_dump.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "tests/backfill/databases.hpp"
#include "tests/backfill/rich_schema.hpp"
#include "tests/support/compare.hpp"
#include "tests/support/sql.hpp"

namespace segue::backfill {
namespace {

using namespace std::chrono_literals;
using test::Databases;

ControlRecord first_record() {
    ControlRecord record;
    record.migration = "segue";
    record.migration_id = "id-1";
    record.epoch = 1;
    record.backfill = router::Backfill::copying;
    return record;
}

class PostgresChangeSteps : public testing::Test {
protected:
    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases_ = std::make_unique<Databases>();
        databases_->run(Side::source, test::rich_schema);
        settings_.migration = databases_->database();
        for (const Side side : {Side::source, Side::target}) {
            settings_.url[index(side)] = databases_->url(side);
        }
        steps_ = make_postgres_change_steps(settings_);
    }
    void prepare() {
        const Status prepared = steps_->prepare(first_record());
        ASSERT_TRUE(prepared) << prepared.error().detail;
    }
    postgres::SchemaSettings schema_settings() const {
        return {.source_url = settings_.url[0],
                .target_url = settings_.url[1],
                .exclude = settings_.exclude,
                .pg_bin = "",
                .migration_id = "id-1"};
    }
    std::string dump(Side side) const {
        const auto result = test::run_command(
            {.arguments = {(test::PostgresServer::binaries() / "pg_dump").string(),
                           "--schema-only",
                           "--exclude-schema=segue",
                           "--restrict-key=x",
                           databases_->url(side)}});
        EXPECT_EQ(result.exit_code, 0) << result.err;
        return result.out;
    }
    std::string value(Side side, const std::string& sql) const {
        return databases_->value(side, sql);
    }

    std::unique_ptr<Databases> databases_;
    ServerSettings settings_;
    std::unique_ptr<ChangeSteps> steps_;
};

TEST_F(PostgresChangeSteps, AreRefusedToASecondStartMeanwhile) {
    databases_->run(Side::source, "CREATE TABLE public.held (i int PRIMARY KEY)");
    auto holder = databases_->open(Side::source);
    ASSERT_TRUE(holder.execute("BEGIN"));
    ASSERT_TRUE(holder.execute("LOCK TABLE public.held IN ACCESS EXCLUSIVE MODE"));
    auto first = std::async(std::launch::async, [this] { return steps_->prepare(first_record()); });
    EXPECT_TRUE(databases_->asked_again(Side::source, "public.held"));
    const Status second = make_postgres_change_steps(settings_)->prepare(first_record());
    EXPECT_TRUE(holder.execute("COMMIT"));
    const Status prepared = first.get();
    EXPECT_TRUE(prepared) << prepared.error().detail;
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().detail.find("another Segue is at work"), std::string::npos)
        << second.error().detail;
    // The lock is gone with what it was taken for.
    const Status again = make_postgres_change_steps(settings_)->prepare(first_record());
    EXPECT_TRUE(again) << again.error().detail;
}

// The source would keep its log for it for ever.
TEST_F(PostgresChangeSteps, LeaveNoSlotBehindWithoutItsProgress) {
    prepare();
    const std::string slots =
        "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()";
    databases_->run(Side::source,
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE"
                    " database = current_database()");
    auto mover = databases_->open(Side::target, "id-1");
    ASSERT_TRUE(mover.execute("DELETE FROM segue.progress"));
    ASSERT_TRUE(mover.execute("ALTER TABLE segue.progress ADD CONSTRAINT full_disk CHECK (false)"));
    const Status refused = steps_->prepare(first_record());
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().detail.find("full_disk"), std::string::npos)
        << refused.error().detail;
    EXPECT_EQ(value(Side::source, slots), "0");
    ASSERT_TRUE(mover.execute("ALTER TABLE segue.progress DROP CONSTRAINT full_disk"));
    prepare();
    EXPECT_EQ(value(Side::source, slots), "1");
}

// Nobody would put back what start takes from them.
TEST_F(PostgresChangeSteps, LeaveExcludedTablesOfTheTargetAsTheyAre) {
    for (const Side side : {Side::source, Side::target}) {
        databases_->run(
            side,
            "CREATE SCHEMA own; CREATE TABLE own.kept (i int PRIMARY KEY, v int UNIQUE,"
            " up int REFERENCES own.kept, EXCLUDE USING btree (up WITH =));"
            "CREATE UNIQUE INDEX ON own.kept ((v + 1)); INSERT INTO own.kept VALUES (1)");
    }
    settings_.exclude = {"own.kept"};
    steps_ = make_postgres_change_steps(settings_);
    const std::string constraints =
        "SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = 'own.kept'::regclass)"
        " + (SELECT count(*) FROM pg_index WHERE indrelid = 'own.kept'::regclass)";
    const std::string before = value(Side::target, constraints);
    prepare();
    EXPECT_EQ(value(Side::target, constraints), before);
}

// pg_dump gives up after a second, so that nobody queues behind it for longer.
TEST_F(PostgresChangeSteps, WaitForATableThatSomebodyHasLocked) {
    prepare();
    auto holder = databases_->open(Side::source);
    ASSERT_TRUE(holder.execute("BEGIN; LOCK TABLE public.customer IN ACCESS EXCLUSIVE MODE"));
    auto dumped = std::async(std::launch::async, [&] {
        auto source = databases_->open(Side::source), target = databases_->open(Side::target);
        return postgres::take_dump(schema_settings(), source, target).has_value();
    });
    const auto waiting = [&] {
        return value(Side::source,
                     "SELECT pid FROM pg_stat_activity WHERE application_name = 'segue pg_dump'"
                     " AND wait_event_type = 'Lock'");
    };
    std::string first;
    EXPECT_TRUE(test::eventually(30s, [&] { return !(first = waiting()).empty(); }));
    EXPECT_TRUE(test::eventually(30s, [&] {
        const std::string now = waiting();
        return !now.empty() && now != first;
    })) << "it did not try again";
    ASSERT_TRUE(holder.execute("COMMIT"));
    EXPECT_TRUE(dumped.get());
}

TEST_F(PostgresChangeSteps, CarryTheWholeSchemaAndPutEverythingBack) {
    const std::string before = dump(Side::source);
    prepare();
    prepare();  // As after a crash.
    for (int pass = 0; pass < 2; ++pass) {
        for (const auto portion : {postgres::restore_key_indexes, postgres::restore_post_data}) {
            const Status restored = portion(schema_settings());
            ASSERT_TRUE(restored) << restored.error().detail;
        }
    }
    EXPECT_EQ(test::compare_catalogs(settings_.url[0], settings_.url[1]),
              std::vector<std::string>{});
    EXPECT_EQ(value(Side::target, "SELECT n FROM counted_again"), "0");
    EXPECT_EQ(
        value(Side::target, "SELECT count(*) FROM pg_publication WHERE pubname NOT LIKE '%_new_%'"),
        "1");
    ASSERT_TRUE(steps_->arm_fence(Side::source, Clock::now() + 10s));
    const auto blockers = steps_->blockers(Side::source);
    ASSERT_TRUE(blockers) << blockers.error().detail;
    for (const Blocker& blocker : *blockers) ADD_FAILURE() << blocker.code << " " << blocker.text;

    ControlRecord tombstone = first_record();
    tombstone.epoch = 2;
    tombstone.authority = Side::target;
    for (const bool unfence : {false, false, true}) {  // Twice, and opened later.
        const Status finished = steps_->finish(tombstone, unfence);
        ASSERT_TRUE(finished) << finished.error().detail;
        const std::string triggers =
            value(Side::source, "SELECT count(*) > 0 FROM pg_trigger WHERE tgname = 'segue_fence'");
        EXPECT_EQ(triggers, unfence ? "f" : "t");
    }
    EXPECT_EQ(dump(Side::source), before);
    std::string without_publication = before;
    const std::string after = dump(Side::target);
    EXPECT_EQ(after.substr(0, after.find("CREATE TYPE")),
              before.substr(0, before.find("CREATE TYPE")));
    for (const Side side : {Side::source, Side::target}) {
        const auto record = steps_->control(side).read();
        ASSERT_TRUE(record && record->has_value());
        EXPECT_EQ((*record)->phase, router::Phase::finished);
        EXPECT_EQ((*record)->authority, Side::target);
        EXPECT_EQ(value(side,
                        "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE"
                        " relkind IN ('r', 'S') AND relnamespace = 'segue'::regnamespace"),
                  "control difference event event_id_seq repair verification verified_table")
            << "the tombstone, what happened, and who proved and mended what";
        EXPECT_EQ(value(side,
                        "SELECT count(*) FROM pg_replication_slots WHERE database ="
                        " current_database()"),
                  "0");
    }
}

// What stands there already is used; unique constraints come back after the copy.
TEST_F(PostgresChangeSteps, UseTablesThatTheOperatorCreatedEqualAndEmpty) {
    databases_->run(Side::target, test::rich_schema);
    databases_->run(Side::target, "DROP PUBLICATION theirs");
    prepare();
    EXPECT_EQ(value(Side::target,
                    "SELECT count(*) FROM pg_constraint WHERE contype IN ('u', 'f')"
                    " AND conrelid >= 16384"),
              "0");
    for (const auto portion : {postgres::restore_key_indexes, postgres::restore_post_data}) {
        const Status restored = portion(schema_settings());
        ASSERT_TRUE(restored) << restored.error().detail;
    }
    EXPECT_EQ(test::compare_catalogs(settings_.url[0], settings_.url[1]),
              std::vector<std::string>{});
}

// It may be one that cannot be filled, and whoever looks at it is told the same on both sides.
TEST_F(PostgresChangeSteps, LeaveAViewUnfilledThatIsSoOnTheSource) {
    databases_->run(
        Side::source,
        "CREATE MATERIALIZED VIEW filled AS SELECT 1 AS i;"
        " CREATE MATERIALIZED VIEW bare AS SELECT 1 / (i - 1) FROM filled WITH NO DATA");
    prepare();
    for (const auto portion : {postgres::restore_key_indexes, postgres::restore_post_data}) {
        const Status restored = portion(schema_settings());
        ASSERT_TRUE(restored) << restored.error().detail;
    }
    EXPECT_EQ(value(Side::target,
                    "SELECT string_agg(matviewname, ' ') FROM pg_matviews WHERE ispopulated AND"
                    " matviewname IN ('filled', 'bare')"),
              "filled");
}

// What reads it has its rows on the source all the same.
TEST_F(PostgresChangeSteps, FillAViewFromOneThatWasEmptiedOnTheSourceSince) {
    databases_->run(Side::source,
                    "CREATE MATERIALIZED VIEW below AS SELECT 1 AS i;"
                    " CREATE VIEW middle AS SELECT i FROM below;"
                    " CREATE MATERIALIZED VIEW above AS SELECT i FROM middle;"
                    " REFRESH MATERIALIZED VIEW below WITH NO DATA");
    prepare();
    for (const auto portion : {postgres::restore_key_indexes, postgres::restore_post_data}) {
        const Status restored = portion(schema_settings());
        ASSERT_TRUE(restored) << restored.error().detail;
    }
    EXPECT_EQ(value(Side::target, "SELECT i FROM above"), "1");
    EXPECT_EQ(value(Side::target,
                    "SELECT ispopulated FROM pg_matviews WHERE matviewname = 'below'"),
              "f");
}

TEST_F(PostgresChangeSteps, RefuseTablesThatAreDifferentOrNotEmptyByName) {
    databases_->run(Side::target,
                    "CREATE TABLE keyless (a int, b varchar); INSERT INTO keyless VALUES (1);"
                    " CREATE TABLE nothing (a int PRIMARY KEY, extra int)");
    const Status prepared = steps_->prepare(first_record());
    ASSERT_FALSE(prepared);
    for (const char* part : {"public.keyless: column b",
                             "public.keyless is not empty",
                             "public.nothing: column extra"}) {
        EXPECT_NE(prepared.error().detail.find(part), std::string::npos) << prepared.error().detail;
    }
    EXPECT_EQ(value(Side::target, "SELECT count(*) FROM pg_namespace WHERE nspname = 'Sales Dept'"),
              "0");
}

// The restoring session is ended after every few objects; each time preparing goes on behind the
// last one.
TEST_F(PostgresChangeSteps, PrepareResumesWhereItWasCutOff) {
    std::atomic<bool> stop{false};
    std::thread killer{[&] {
        int seen = 0;
        while (!stop) {
            const auto count = databases_->run(Side::target,
                                               "SELECT CASE WHEN to_regclass('segue.saved') IS "
                                               "NULL THEN 0 ELSE (xpath('/row/n/text()',"
                                               " query_to_xml('SELECT count(*) AS n FROM "
                                               "segue.saved', false, true, '')))[1]::text::int"
                                               " END");
            const int now = std::atoi(count.value().c_str());
            if (now < seen + 5) continue;
            seen = now;
            databases_->run(Side::target,
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
                            " application_name = 'segue schema' AND datname = current_database()");
        }
    }};
    int failures = 0;
    while (failures < 50 && !steps_->prepare(first_record())) ++failures;
    stop = true;
    killer.join();
    EXPECT_GT(failures, 0);
    prepare();
    for (const auto portion : {postgres::restore_key_indexes, postgres::restore_post_data}) {
        const Status restored = portion(schema_settings());
        ASSERT_TRUE(restored) << restored.error().detail;
    }
    EXPECT_EQ(test::compare_catalogs(settings_.url[0], settings_.url[1]),
              std::vector<std::string>{});
}

// Before the first change the fence has no trigger anywhere, which is no reason for anybody to see.
TEST_F(PostgresChangeSteps, NameWhatIsNotMovedHoweverManyTablesHaveNoFenceYet) {
    databases_->run(Side::source,
                    "DO $$ BEGIN FOR i IN 1 .. 25 LOOP"
                    " EXECUTE 'CREATE TABLE many_' || i || ' (i int PRIMARY KEY)';"
                    " END LOOP; END $$");
    prepare();
    databases_->run(Side::source, "CREATE TABLE made_later (i int)");
    const auto blockers = steps_->blockers(Side::source);
    ASSERT_TRUE(blockers) << blockers.error().detail;
    const auto count = [&](const std::string& code) {
        return std::count_if(blockers->begin(), blockers->end(), [&](const Blocker& one) {
            return one.code == code;
        });
    };
    EXPECT_EQ(count("unfenced_table"), 20);
    EXPECT_EQ(count("unpublished_table"), 1);
}

TEST_F(PostgresChangeSteps, NameWhatBlocksAChangeOfAuthority) {
    prepare();
    for (const auto portion : {postgres::restore_key_indexes, postgres::restore_post_data}) {
        ASSERT_TRUE(portion(schema_settings()));
    }
    const auto codes = [&] {
        std::set<std::string> found;
        const auto blockers = steps_->blockers(Side::source);
        EXPECT_TRUE(blockers) << blockers.error().detail;
        for (const Blocker& blocker : *blockers) found.insert(blocker.code);
        return found;
    };
    EXPECT_EQ(codes(), std::set<std::string>{"unfenced_table"});
    ASSERT_TRUE(steps_->arm_fence(Side::source, Clock::now() + 10s));
    EXPECT_EQ(codes(), std::set<std::string>{});
    databases_->run(Side::source, "CREATE TABLE made_later (i int)");
    EXPECT_TRUE(codes().contains("unpublished_table"));
    databases_->run(Side::source, "DROP TABLE made_later");
    EXPECT_EQ(codes(), std::set<std::string>{});
    // What fires for the application's writes must do so on the other side too.
    databases_->run(
        Side::source,
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'");
    databases_->run(
        Side::source,
        "CREATE TRIGGER note BEFORE INSERT ON keyless FOR EACH ROW EXECUTE FUNCTION noted()");
    const auto differing = steps_->blockers(Side::source);
    ASSERT_TRUE(differing && differing->size() == 1);
    EXPECT_EQ(differing->front().text,
              "public.keyless: trigger note is missing on the target: CREATE TRIGGER note BEFORE "
              "INSERT ON public.keyless FOR EACH ROW EXECUTE FUNCTION public.noted(); make both "
              "sides the same (on the target as Segue's own role, after SET segue.mover = "
              "'id-1')");
    databases_->run(Side::source, "DROP TRIGGER note ON keyless");
    EXPECT_EQ(codes(), std::set<std::string>{});
    databases_->run(Side::source, "ALTER TABLE keyless ADD COLUMN c int");
    EXPECT_EQ(codes(), std::set<std::string>{"schema_differs"});
    databases_->run(Side::source,
                    "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p WITH"
                    " (connect = false)");
    databases_->run(Side::source, "ALTER SUBSCRIPTION s SET (slot_name = 'x')");
    databases_->run(Side::source, "ALTER SUBSCRIPTION s ENABLE");
    test::Sql session{databases_->url(Side::source)};
    session.query("BEGIN");
    session.query("INSERT INTO keyless VALUES (1)");
    session.query("PREPARE TRANSACTION 'one'");
    EXPECT_EQ(codes(),
              (std::set<std::string>{"prepared_transaction", "schema_differs", "subscription"}));
    session.query("ROLLBACK PREPARED 'one'");
    session.query("ALTER SUBSCRIPTION s DISABLE");
    session.query("ALTER SUBSCRIPTION s SET (slot_name = NONE)");
    session.query("DROP SUBSCRIPTION s");
}

// Rows that one shall not see would be seen there.
TEST_F(PostgresChangeSteps, NamePoliciesAndStatisticsThatAreOnOneSideOnly) {
    prepare();
    for (const auto portion : {postgres::restore_key_indexes, postgres::restore_post_data}) {
        ASSERT_TRUE(portion(schema_settings()));
    }
    ASSERT_TRUE(steps_->arm_fence(Side::source, Clock::now() + 10s));
    databases_->run(Side::source, "CREATE STATISTICS pairs ON a, b FROM keyless");
    databases_->run(Side::target,
                    "SET segue.mover = 'id-1'; DROP POLICY everybody ON keyless;"
                    " ALTER TABLE keyless DISABLE ROW LEVEL SECURITY");
    const auto blockers = steps_->blockers(Side::source);
    ASSERT_TRUE(blockers);
    std::string told;
    for (const Blocker& blocker : *blockers)
        told += blocker.text.substr(0, blocker.text.find(';')) + "\n";
    EXPECT_EQ(told,
              "public.keyless: policy everybody is missing on the target\n"
              "public.keyless: row security is missing on the target\n"
              "public.keyless: statistics public.pairs is missing on the target: CREATE STATISTICS"
              " public.pairs ON a, b FROM public.keyless\n");
}

// What is told to be run there mends it.
TEST_F(PostgresChangeSteps, TellHowToMakeTheIndexesOfAPartitionedTable) {
    prepare();
    for (const auto portion : {postgres::restore_key_indexes, postgres::restore_post_data}) {
        ASSERT_TRUE(portion(schema_settings()));
    }
    ASSERT_TRUE(steps_->arm_fence(Side::source, Clock::now() + 10s));
    databases_->run(Side::source, "CREATE INDEX named ON event (at, what)");
    databases_->run(Side::source, "ALTER INDEX event_old_at_what_idx RENAME TO own_name");
    auto operator_ = databases_->open(Side::target, "id-1");
    const auto told = [&] {
        const auto blockers = steps_->blockers(Side::source);
        EXPECT_TRUE(blockers) << blockers.error().detail;
        std::vector<std::string> texts;
        for (const Blocker& blocker : *blockers) texts.push_back(blocker.text);
        return texts;
    };
    const auto first = told();
    EXPECT_EQ(first.size(), 4u);
    for (auto text = first.rbegin(); text != first.rend(); ++text) {  // Partitions first.
        const std::size_t at = text->find("CREATE INDEX");
        const std::size_t end = std::min(text->find(" (after ", at), text->find(';', at));
        const std::string command = text->substr(std::min(at, text->size()), end - at);
        const auto done = operator_.execute(command);
        EXPECT_TRUE(done) << *text << ": " << done.error().detail;
    }
    EXPECT_EQ(told(), std::vector<std::string>{});
}

TEST_F(PostgresChangeSteps, WaitForTablesThatAreLockedWhenTheyReadWhatBlocks) {
    prepare();
    for (const auto portion : {postgres::restore_key_indexes, postgres::restore_post_data}) {
        ASSERT_TRUE(portion(schema_settings()));
    }
    ASSERT_TRUE(steps_->arm_fence(Side::source, Clock::now() + 10s));
    test::Sql ddl{databases_->url(Side::target)};
    ddl.query("BEGIN");
    ddl.query("LOCK TABLE public.customer IN ACCESS EXCLUSIVE MODE");
    auto reading = std::async(std::launch::async, [&] { return steps_->blockers(Side::source); });
    EXPECT_TRUE(databases_->asked_again(Side::target, "public.customer"));
    ddl.query("COMMIT");
    const auto blockers = reading.get();
    ASSERT_TRUE(blockers) << blockers.error().detail;
    EXPECT_TRUE(blockers->empty());
}

TEST_F(PostgresChangeSteps, SetSequencesAheadAgainWhereOneIsLocked) {
    prepare();
    databases_->run(Side::source, "SELECT nextval('public.loose')");
    auto ddl = databases_->open(Side::target, "id-1");
    ASSERT_TRUE(ddl.execute("BEGIN; ALTER SEQUENCE public.loose OWNED BY NONE"));
    auto setting = std::async(std::launch::async,
                              [&] { return steps_->sequences_ahead(Side::source, Side::target); });
    EXPECT_TRUE(databases_->asked_again(Side::target, "public.loose"));
    ASSERT_TRUE(ddl.execute("COMMIT"));
    const Status set = setting.get();
    ASSERT_TRUE(set) << set.error().detail;
    EXPECT_EQ(value(Side::target, "SELECT last_value > 1000 FROM public.loose"), "t");
}

TEST_F(PostgresChangeSteps, KeepTheSlotThatIsOursAndRefuseOneThatIsNot) {
    const std::string slot = postgres::slot_name(settings_.migration, Side::source);
    databases_->run(Side::source,
                    "SELECT pg_create_logical_replication_slot('" + slot + "', 'pgoutput')");
    const Status prepared = steps_->prepare(first_record());
    ASSERT_FALSE(prepared);
    EXPECT_NE(prepared.error().detail.find("pg_drop_replication_slot"), std::string::npos);
    databases_->run(Side::source, "SELECT pg_drop_replication_slot('" + slot + "')");
    prepare();
    const std::string point =
        value(Side::target, "SELECT applied = restart AND applied > '0/0' FROM segue.progress");
    EXPECT_EQ(point, "t");
    databases_->run(Side::source, "SELECT pg_drop_replication_slot('" + slot + "')");
    const Status lost = steps_->prepare(first_record());
    ASSERT_FALSE(lost);
    EXPECT_NE(lost.error().detail.find("invalid"), std::string::npos);
}

}  // namespace
}  // namespace segue::backfill
