#include "proxy/rows_found.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace segue::proxy {
namespace {

using namespace std::chrono_literals;
using backfill::ReadTables;
using backfill::Suspect;
using backfill::TableVerdict;

const backfill::WallTime noon{1'000'000s};

Suspect suspect(const char* table, TableVerdict verdict, backfill::WallTime begun_at) {
    Suspect one;
    one.name = {"app", table};
    one.verdict = verdict;
    one.begun_at = begun_at;
    one.ended_at = begun_at + 1s;
    one.rows_estimate = 100;
    return one;
}

struct RowsFoundTest : testing::Test {
    ReadTables read{{{"app", "t"}, {"app", "u"}}, {"app.f"}};
    std::vector<Suspect> suspects = {suspect("t", TableVerdict::equal, noon + 1s),
                                     suspect("u", TableVerdict::equal, noon + 1s)};
    RowsFound found() const { return rows_found(read, noon, suspects); }
    std::string text(Keys keys = Keys::hidden) const { return rows_text(found(), keys); }
};

TEST_F(RowsFoundTest, NamesTheRowsWithTheirKeysOnlyWhereTheyAreWanted) {
    suspects[1].verdict = TableVerdict::different;
    suspects[1].differences = 7;
    suspects[1].first = {{"app.u", "a@b.org", "changed"}, {"app.u", "c@b.org", "changed"}};
    EXPECT_EQ(found().state, RowsState::different);
    EXPECT_EQ(text(), "7 rows differ: changed app.u ...");
    EXPECT_EQ(text(Keys::shown),
              "7 rows differ: changed app.u key a@b.org, changed app.u key c@b.org ...");
    EXPECT_EQ(rows_json(found(), Keys::hidden).dump().find("b.org"), std::string::npos);
    EXPECT_EQ(rows_json(found(), Keys::shown)["first"][0]["key"], "a@b.org");
    EXPECT_TRUE(rows_json(std::nullopt, Keys::shown).is_null());
    suspects[0].begun_at = noon - 1s;
    EXPECT_EQ(text(), "7 rows differ: changed app.u ...; still comparing (50 %)");
}

TEST_F(RowsFoundTest, SaysThatItIsSomethingElseOnlyOnceEveryTableIsKnownToBeEqual) {
    EXPECT_EQ(found().state, RowsState::equal);
    EXPECT_EQ(text(),
              "the tables that it reads are equal (app.t, app.u): the difference is in something "
              "else, such as a function (it calls app.f), a setting, a collation or the order of "
              "rows, a sequence");
    suspects[1].begun_at = noon - 1s;
    EXPECT_EQ(text(), "app.t, app.u have not been compared since")
        << "what was compared before says nothing";
    suspects[1].rows_compared = 74;
    EXPECT_EQ(text(), "app.t, app.u are being compared (87 %)");
    suspects.pop_back();
    EXPECT_EQ(found().state, RowsState::waiting) << "nobody has taken it yet";
    read.tables.clear();
    EXPECT_EQ(text().find("no table of it is known: the difference is in something else"), 0u);
    read = {};
    EXPECT_EQ(text().find("it reads no table: the difference is in something else"), 0u);
}

TEST_F(RowsFoundTest, TellsWhatWasRepairedAndWhatCannotBeCompared) {
    suspects[0] = Suspect{};
    suspects[0].name = {"app", "t"};
    suspects[0].mended = true;
    EXPECT_EQ(text(), "repaired since then: app.t, app.u");
    suspects[1].verdict = TableVerdict::unlike;
    suspects[1].problem = "its columns differ";
    EXPECT_EQ(text(), "its tables cannot be compared; app.u: its columns differ");
    suspects[1].verdict = TableVerdict::gone;
    suspects[1].problem = "it is not moved";
    EXPECT_EQ(text(), "its tables cannot be compared; app.u: it is not moved");
}

TEST_F(RowsFoundTest, SaysOfNoReadThatItDiffersWhichNobodyHasConfirmed) {
    RowsFound one = found();
    one.confirmed = false;
    EXPECT_EQ(
        rows_text(one, Keys::hidden),
        "the tables that it reads are equal (app.t, app.u); whether its answers differ is not "
        "known");
}

// An answer is one to the reads before it.
TEST_F(RowsFoundTest, SaysThatTablesWereEqualBeforeAReadHasDifferedSince) {
    suspects[1].wanted_since = noon + 1h;
    EXPECT_EQ(
        text(),
        "the tables that it reads were equal at 1970-01-12T13:46:42.000Z (app.t, app.u): the "
        "difference was in something else, such as a function (it calls app.f), a setting, a "
        "collation or the order of rows, a sequence; a read has differed since, and they will "
        "be compared again");
    EXPECT_TRUE(rows_json(found(), Keys::hidden)["again"]);
    suspects[0].mended = true;
    EXPECT_EQ(text(), "app.t, app.u have not been compared since") << "not repaired since then";
    suspects[0].mended = false;
    suspects[0].begun_at = noon - 1s;
    EXPECT_EQ(text(), "app.t, app.u have not been compared since");
    suspects[1].differences = 1;
    EXPECT_EQ(found().state, RowsState::different) << "its rows are named already";
}

}  // namespace
}  // namespace segue::proxy
