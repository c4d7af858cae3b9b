#include "backfill/postgres/sequences.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <limits>

#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/sequence_keeper.hpp"
#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

using test::Databases;

constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();

Sequence at(std::int64_t value,
            bool is_called,
            std::int64_t increment = 1,
            std::int64_t cache = 1) {
    Sequence sequence;
    sequence.last_value = value;
    sequence.is_called = is_called;
    sequence.increment = increment;
    sequence.cache = cache;
    sequence.min_value = -largest;
    sequence.max_value = largest;
    return sequence;
}

TEST(PostgresSequences, ArePlacedAheadAndNeverBackwards) {
    struct Row {
        const char* what;
        Sequence from, to;
        std::optional<SequencePlace> expected;
    };
    Sequence nearly_full = at(32'000, true);
    nearly_full.max_value = 32'767;
    Sequence cycling = nearly_full;
    cycling.cycle = true;
    Sequence nearly_empty = at(-99, true, -5);
    nearly_empty.min_value = -100;
    const Row rows[] = {
        {"a margin", at(5, true), at(1, false), SequencePlace{1005, true}},
        {"a margin of the cache", at(5, true, 1, 5000), at(1, false), SequencePlace{5005, true}},
        {"of steps", at(5, true, 10), at(1, false, 10), SequencePlace{10'005, true}},
        {"downwards", at(-5, true, -2), at(-1, false, -2), SequencePlace{-2005, true}},
        {"ahead already", at(5, true), at(1005, true), std::nullopt},
        {"one short", at(5, true), at(1004, true), SequencePlace{1005, true}},
        {"far ahead", at(5, true), at(70'000, true), std::nullopt},
        {"further down already", at(-5, true, -2), at(-9000, true, -2), std::nullopt},
        {"unused", at(7, false), at(7, false), std::nullopt},
        {"set but unused", at(7, false), at(1, false), SequencePlace{7, false}},
        {"used there, unused here", at(7, false), at(7, true), std::nullopt},
        {"no room for a margin", nearly_full, at(1, false), SequencePlace{32'000, true}},
        {"no wrap around", cycling, at(1, false), SequencePlace{32'000, true}},
        {"no room below", nearly_empty, at(-1, false, -5), SequencePlace{-99, true}},
        {"at the end of bigint", at(largest, true), at(1, false), SequencePlace{largest, true}},
        {"both at the end", at(largest, true), at(largest, true), std::nullopt},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        const auto place = place_ahead(row.from, row.to);
        ASSERT_EQ(place.has_value(), row.expected.has_value());
        if (place) {
            EXPECT_EQ(place->value, row.expected->value);
            EXPECT_EQ(place->is_called, row.expected->is_called);
        }
    }
}

TEST(PostgresSequences, AreRaisedInTimeAndTellWhoHasSetThemBack) {
    struct Row {
        const char* what;
        Sequence authority, follower;
        std::optional<SequencePlace> seen;
        SequenceStep expected;
    };
    using enum SequenceStep;
    Sequence full = at(32'000, true);
    full.max_value = 32'767;
    const Row rows[] = {
        {"never looked at", at(500, true), at(1, false), std::nullopt, raise},
        {"a whole margin", at(500, true), at(1500, true), std::nullopt, stands},
        {"half a margin", at(500, true), at(1000, true), SequencePlace{1000, true}, stands},
        {"less", at(500, true), at(999, true), SequencePlace{999, true}, raise},
        {"used up by the application",
         at(9000, true),
         at(1500, true),
         SequencePlace{1500, true},
         raise},
        {"set back", at(500, true), at(1, false), SequencePlace{1500, true}, set_back},
        {"by one too many", at(500, true), at(499, true), SequencePlace{1500, true}, set_back},
        {"set back, but not behind",
         at(500, true),
         at(500, true),
         SequencePlace{1500, true},
         raise},
        {"downwards", at(-500, true, -1), at(-1, true, -1), SequencePlace{-1500, true}, set_back},
        {"downwards, used up",
         at(-9000, true, -1),
         at(-1500, true, -1),
         SequencePlace{-1500, true},
         raise},
        {"no room for a margin", full, at(32'000, true), SequencePlace{32'000, true}, stands},
        {"unused", at(7, false), at(7, false), std::nullopt, stands},
        {"restarted by a TRUNCATE",
         at(1, false),
         at(1500, true),
         SequencePlace{1500, true},
         stands},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        EXPECT_EQ(static_cast<int>(keep_step(row.authority, row.follower, row.seen)),
                  static_cast<int>(row.expected));
    }
}

TEST(PostgresSequences, OfTheFollowerAreKeptAheadAndNeverBack) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    for (const Side side : {Side::source, Side::target}) {
        databases.run(side, segue_schema_ddl);
        databases.run(side, "CREATE SEQUENCE s; CREATE SEQUENCE \"Down\" INCREMENT -3");
        databases.run(side,
                      "INSERT INTO segue.control VALUES (true, 'segue', 'id', '" +
                          std::string{name(side)} +
                          "', 0, 'source', 'steady', 0, '0/0', 'consistent', false, 'async', 0, 0, "
                          "'', 0)");
    }
    Connection links[] = {databases.open(Side::source, "id"), databases.open(Side::target, "id")};
    SequenceKeeper keeper;
    std::uint64_t epoch = 0;
    const auto round = [&](Side authority = Side::source) {
        const Status looked = keeper.round(
            links[index(authority)], links[index(other(authority))], authority, epoch, "id");
        EXPECT_TRUE(looked) << looked.error().detail;
    };
    const auto place = [&](Side side, const std::string& sequence) {
        return databases.value(side, "SELECT last_value FROM " + sequence);
    };
    databases.run(Side::source, "SELECT setval('s', 500), setval('\"Down\"', -300)");
    databases.run(Side::source, "UPDATE segue.control SET phase = 'switching'");
    round();
    EXPECT_EQ(place(Side::target, "s"), "1") << "a change of authority is under way";
    databases.run(Side::source, "UPDATE segue.control SET phase = 'steady'");
    round();
    EXPECT_EQ(place(Side::target, "s"), "1500");
    EXPECT_EQ(place(Side::target, "\"Down\""), "-3300");
    EXPECT_TRUE(keeper.set_back().empty());
    databases.run(Side::target, "SELECT setval('s', 3)");
    databases.run(Side::source, "SELECT setval('\"Down\"', -90000)");
    round();
    EXPECT_EQ(keeper.set_back(), (std::set<SequenceKeeper::Name>{{"public", "s"}}));
    EXPECT_EQ(place(Side::target, "s"), "3") << "covered up";
    EXPECT_EQ(place(Side::target, "\"Down\""), "-93000");
    keeper.forget({"public", "s"});
    round();
    EXPECT_TRUE(keeper.set_back().empty());
    EXPECT_EQ(place(Side::target, "s"), "1500");
    // Made anew it begins where it likes.
    databases.run(Side::target, "DROP SEQUENCE s; CREATE SEQUENCE s");
    round();
    EXPECT_TRUE(keeper.set_back().empty());
    EXPECT_EQ(place(Side::target, "s"), "1500");
    // The roles change: what was seen of the other side says nothing about this one.
    for (const Side side : {Side::source, Side::target})
        databases.run(side, "UPDATE segue.control SET authority = 'target'");
    epoch = 1;
    round(Side::target);
    EXPECT_TRUE(keeper.set_back().empty());
    EXPECT_EQ(place(Side::source, "s"), "2500");
    EXPECT_EQ(place(Side::target, "s"), "1500");
    // There and back between two looks: the application has set the side back while it was the
    // authority.
    databases.run(Side::source, "SELECT setval('s', 600)");
    databases.run(Side::target, "SELECT setval('s', 1600)");
    epoch = 3;
    round(Side::target);
    EXPECT_TRUE(keeper.set_back().empty());
    EXPECT_EQ(place(Side::source, "s"), "2600");
}

// While the authority's record is locked for it, nobody waits longer for it than that; and what the
// server hears of only afterwards, when it may be the authority itself, does nothing.
TEST(PostgresSequences, AreSetInTimeOrNotAtAll) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::target, "CREATE SEQUENCE a; CREATE SEQUENCE b; SELECT setval('b', 900)");
    Connection target = databases.open(Side::target);
    const std::vector<SequenceRaise> raise = {{"public", "a", true, {700, true}},
                                              {"public", "b", true, {700, true}}};
    const auto place = [&](const std::string& sequence) {
        return databases.value(Side::target, "SELECT last_value FROM " + sequence);
    };
    std::vector<bool> done;
    auto until = deadline_on(target, std::chrono::seconds{600});
    ASSERT_TRUE(until) << until.error().detail;
    const ServerDeadline over{until->here, "2020-01-01 00:00:00+00"};
    ASSERT_TRUE(raise_sequences(target, raise, over, done));
    EXPECT_EQ(done, (std::vector<bool>{false, false}));
    EXPECT_EQ(place("a"), "1") << "set when it was too late";

    ASSERT_TRUE(raise_sequences(target, raise, *until, done));
    EXPECT_EQ(done, (std::vector<bool>{true, false})) << "the other one stands beyond";
    EXPECT_EQ(place("a") + place("b"), "700900");

    ASSERT_EQ(::kill(target.backend_pid(), SIGSTOP), 0);
    const Status cut =
        raise_sequences(target, raise, {std::chrono::steady_clock::now(), until->there}, done);
    EXPECT_EQ(::kill(target.backend_pid(), SIGCONT), 0);
    ASSERT_FALSE(cut);
    EXPECT_EQ(cut.error().code, Errc::timed_out) << cut.error().detail;
    EXPECT_EQ(done, (std::vector<bool>{false, false}));
}

TEST(PostgresSequences, OfTwoServersNeverHandOutTheSame) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    for (const Side side : {Side::source, Side::target}) {
        databases.run(
            side,
            "CREATE SCHEMA \"O'Dd\"; CREATE SEQUENCE \"O'Dd\".\"s \"\"1\"; CREATE SEQUENCE down"
            " INCREMENT -3 CACHE 7; CREATE TABLE t (i int GENERATED ALWAYS AS IDENTITY)");
    }
    databases.run(
        Side::source,
        "SELECT nextval('down'), nextval('\"O''Dd\".\"s \"\"1\"'); INSERT INTO t DEFAULT VALUES");
    Connection source = databases.open(Side::source), target = databases.open(Side::target);
    for (int pass = 0; pass < 2; ++pass) {
        const Status set = set_sequences_ahead(source, target);
        ASSERT_TRUE(set) << set.error().detail;
    }
    EXPECT_EQ(databases.value(Side::target, "SELECT nextval('\"O''Dd\".\"s \"\"1\"')"), "1002");
    EXPECT_EQ(databases.value(Side::target, "SELECT nextval('down')"), "-3022");
    EXPECT_EQ(databases.value(Side::target, "INSERT INTO t DEFAULT VALUES RETURNING i"), "1002");
    ASSERT_TRUE(set_sequences_ahead(target, source));
    EXPECT_EQ(databases.value(Side::source, "SELECT nextval('\"O''Dd\".\"s \"\"1\"')"), "2003");

    // Of tables that are not moved.
    databases.run(Side::source,
                  "CREATE TABLE \"Left out\" (i serial, j int GENERATED ALWAYS AS IDENTITY)");
    ASSERT_TRUE(set_sequences_ahead(source, target));
    const auto none = missing_sequences(source, target);
    ASSERT_TRUE(none);
    EXPECT_TRUE(none->empty());

    databases.run(Side::source, "CREATE SEQUENCE lonely");
    const auto lonely = missing_sequences(source, target);
    ASSERT_TRUE(lonely);
    EXPECT_EQ(*lonely, (std::vector<std::string>{"public.lonely"}));
    const Status missing = set_sequences_ahead(source, target);
    ASSERT_FALSE(missing);
    EXPECT_NE(missing.error().detail.find("public.lonely"), std::string::npos);
}

}  // namespace
}  // namespace segue::backfill::postgres
