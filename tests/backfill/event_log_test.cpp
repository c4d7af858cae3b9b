// The account in the databases: what is read back, and that it does not grow without bound.

#include "backfill/event_log.hpp"

#include <gtest/gtest.h>

#include "backfill/postgres/segue_schema.hpp"
#include "tests/backfill/databases.hpp"

namespace segue::backfill {
namespace {

class EventLogTest : public ::testing::Test {
protected:
    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases = std::make_unique<test::Databases>();
        for (const Side side : {Side::source, Side::target})
            databases->run(side, postgres::segue_schema_ddl);
        log = make_postgres_event_log(databases->url(Side::source), databases->url(Side::target));
    }
    // As an earlier build has left it.
    void write(Side side, const std::string& kind, std::size_t count, const std::string& detail) {
        databases->run(side,
                       "INSERT INTO segue.event (kind, detail) SELECT '" + kind + "', '" + detail +
                           " ' || n FROM generate_series(1, " + std::to_string(count) + ") n");
    }
    std::string kept(Side side, const std::string& condition) const {
        return databases->value(side, "SELECT count(*) FROM segue.event WHERE " + condition);
    }

    std::unique_ptr<test::Databases> databases;
    std::unique_ptr<EventLog> log;
};

TEST_F(EventLogTest, TellsTheLastOnesOldestFirst) {
    for (const char* detail : {"a", "b", "c"})
        ASSERT_TRUE(log->append(Side::target, "verb", detail));
    const auto last = log->last(Side::target, 2);
    ASSERT_TRUE(last) << last.error().detail;
    ASSERT_EQ(last->size(), 2u);
    EXPECT_EQ((*last)[0].detail, "b");
    EXPECT_EQ((*last)[1].detail, "c");
}

TEST_F(EventLogTest, KeepsSoManyOfEachKindAndForgetsTheOldest) {
    const std::string limit = std::to_string(events_kept_max);
    for (const Side side : {Side::source, Side::target}) {
        SCOPED_TRACE(name(side));
        write(side, "auto", events_kept_max + 500, "hold");
        write(side, "mover", events_kept_max, "lost");
        ASSERT_TRUE(log->append(side, "auto", "the newest"));
        EXPECT_EQ(kept(side, "kind = 'auto'"), limit);
        EXPECT_EQ(kept(side, "detail = 'the newest'"), "1");
        EXPECT_EQ(kept(side, "detail = 'hold 501'"), "0");
        EXPECT_EQ(kept(side, "detail = 'hold 502'"), "1");
        EXPECT_EQ(kept(side, "kind = 'mover'"), limit) << "nothing was said of it";
        // It goes on by itself, and does not look each time.
        for (std::size_t i = 0; i < 300; ++i) ASSERT_TRUE(log->append(side, "auto", "hold"));
        EXPECT_LT(std::stoul(kept(side, "kind = 'auto'")), events_kept_max + 110);
    }
}

// A plan whose verb is refused each minute says so for days.
TEST_F(EventLogTest, NoCrowdPushesOutWhoHasChangedTheAuthority) {
    databases->run(
        Side::source,
        "INSERT INTO segue.event (kind, detail) VALUES"
        " ('verb', 'cutover, asked by ann: done (cutover: the target is the authority)'),"
        " ('verb', 'rollback: done (rollback: the source is the authority)'),"
        " ('recovery', 'a change of authority was interrupted before its point of no"
        " return: undone')");
    write(Side::source, "verb", 2 * events_kept_max, "cutover, asked by ann: refused or failed");
    write(Side::source, "recovery", 2 * events_kept_max, "clients are served by the source");
    for (const char* kind : {"verb", "recovery"})
        ASSERT_TRUE(log->append(Side::source, kind, "the newest"));
    EXPECT_EQ(kept(Side::source, "detail ~ 'cutover.*done|rollback: done'"), "2");
    EXPECT_EQ(kept(Side::source, "detail ~ '^a change of authority'"), "1");
    EXPECT_EQ(kept(Side::source, "true"), std::to_string(2 * events_kept_max + 3));
}

// What a database of an earlier build has not, it gets with the first event that is told: also
// where the fence keeps everybody but the mover from making an index.
TEST_F(EventLogTest, FindsAKindWithoutWalkingThroughTheOthers) {
    databases->run(
        Side::source,
        "INSERT INTO segue.control VALUES (true, 'm', 'id-1', 'source', 1, 'source', 'steady', 0,"
        " '0/0', 'none', false, 'off', 0, 0, '', 1);"
        " CREATE FUNCTION segue.closed() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF current_setting('segue.mover', true) IS DISTINCT FROM 'id-1' THEN"
        " RAISE 'not yours'; END IF; END $$;"
        " CREATE EVENT TRIGGER closed ON ddl_command_start EXECUTE FUNCTION segue.closed()");
    write(Side::source, "stray write source 1", 20 * events_kept_max, "{public.t}");
    ASSERT_TRUE(log->append(Side::source, "auto", "hold"));
    databases->run(Side::source, "SET segue.mover = 'id-1'; DROP EVENT TRIGGER closed");
    EXPECT_EQ(databases->value(Side::source,
                               "SELECT indisvalid FROM pg_index WHERE indexrelid ="
                               " to_regclass('segue.event_of_kind')"),
              "t");
    databases->run(Side::source, "ANALYZE segue.event");
    std::string plan;
    for (const auto& row : databases
                               ->run(Side::source,
                                     "EXPLAIN SELECT id FROM segue.event WHERE kind = 'auto' ORDER"
                                     " BY id DESC OFFSET 2000")
                               .rows)
        plan += row[0] + "\n";
    EXPECT_NE(plan.find("event_of_kind"), std::string::npos) << plan;
}

// It has no time to look when it closes or opens.
TEST_F(EventLogTest, ForgetsForTheFence) {
    write(Side::source, "fence", events_kept_max + 50, "closed");
    ASSERT_TRUE(log->append(Side::source, "verb", "rehearse: done"));
    EXPECT_EQ(kept(Side::source, "kind = 'fence'"), std::to_string(events_kept_max));
    EXPECT_EQ(kept(Side::source, "detail = 'closed 50'"), "0");
}

// The mover keeps what it must not forget in the same table.
TEST_F(EventLogTest, ForgetsNothingOfAKindThatOthersWrite) {
    write(Side::source, "stray source 0/0", 2 * events_kept_max, "{public.t}");
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(log->append(Side::source, "auto", "hold"));
    EXPECT_EQ(kept(Side::source, "kind LIKE 'stray%'"), std::to_string(2 * events_kept_max));
}

}  // namespace
}  // namespace segue::backfill
