#include "proxy/shadow_confirm.hpp"

#include <gtest/gtest.h>

#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "proxy/shadow.hpp"
#include "relay_rig.hpp"

namespace segue::proxy {
namespace {

using protocol::postgres::Bind;
using protocol::postgres::Execute;
using protocol::postgres::Parse;
using Rows = Result<TwinRows>;
using Row = backfill::Twin::Row;

std::string execution(std::vector<std::uint32_t> types, Bind bind) {
    std::string request;
    append(request, Parse{"", "SELECT $1", std::move(types)});
    append(request, bind);
    append(request, Execute{"", 0});
    protocol::postgres::append_sync(request);
    return request;
}

TEST(TextParameters, AreTakenAsTheyAreOrReadFromKnownBinaryTypes) {
    const std::string request = execution({25, 23, 20, 16, 2950, 25},
                                          Bind{"",
                                               "",
                                               {0, 1, 1, 1, 1, 0},
                                               {"text",
                                                "\xff\xff\xff\xfe"sv,
                                                "\0\0\0\0\0\0\0\x05"sv,
                                                "\1"sv,
                                                "\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff"sv,
                                                std::nullopt},
                                               {}});
    EXPECT_EQ(text_parameters("", request),
              (Row{"text", "-2", "5", "t", "0a0000000000000000000000000000ff", std::nullopt}));
    EXPECT_EQ(text_parameters("", query("SELECT 1")), Row{});
}

TEST(TextParameters, OneFormatIsForAllAndAnotherMessageMayHaveTheTypes) {
    std::string parse, request;
    append(parse, Parse{"p", "SELECT $1, $2", {21, 21}});
    append(request, Bind{"", "p", {1}, {"\0\1"sv, "\0\2"sv}, {}});
    append(request, Execute{"", 0});
    protocol::postgres::append_sync(request);
    EXPECT_EQ(text_parameters(parse, request), (Row{"1", "2"}));
    EXPECT_EQ(text_parameters("", request), std::nullopt) << "of an unknown type";
}

TEST(TextParameters, NothingIsGuessed) {
    EXPECT_EQ(text_parameters("", execution({1700}, Bind{"", "", {1}, {"\0\0"sv}, {}})),
              std::nullopt);
    EXPECT_EQ(text_parameters("", execution({23}, Bind{"", "", {1}, {"\0\0"sv}, {}})), std::nullopt)
        << "a wrong size";
    EXPECT_EQ(text_parameters("", execution({1184}, Bind{"", "", {}, {"now"}, {}})), std::nullopt)
        << "another each time";
    EXPECT_EQ(text_parameters("", "no request"), std::nullopt);
}

TEST(RowsDiffer, InValuesCountsAndOrderButNotInTheLastDigitsOfFloats) {
    const TwinRows rows = {{"1", "0.1"}, {"2", std::nullopt}},
                   turned = {{"2", std::nullopt}, {"1", "0.1"}};
    const std::vector<std::uint32_t> types = {23, 701};
    EXPECT_FALSE(rows_differ(rows, rows, true, types));
    EXPECT_TRUE(rows_differ(rows, turned, true, types));
    EXPECT_FALSE(rows_differ(rows, turned, false, types));
    EXPECT_TRUE(rows_differ(rows, {{"1", "0.1"}}, false, types));
    EXPECT_TRUE(rows_differ(rows, {{"1", "0.1"}, {"2", ""}}, true, types))
        << "NULL is no empty string";
    EXPECT_FALSE(rows_differ({{"1", "0.1"}}, {{"1", "0.10000000000000001"}}, true, types));
    EXPECT_TRUE(rows_differ({{"1", "0.1"}}, {{"1", "0.1001"}}, true, types));
    EXPECT_TRUE(rows_differ({{"1", "0.1"}}, {{"1", "0.10"}}, true, {23, 1700}))
        << "numeric is exact";
    EXPECT_FALSE(rows_differ({{"1", "NaN"}}, {{"1", "NaN"}}, true, types));
}

// Answers by side; remembers what it was asked.
struct FakeTwin : backfill::Twin {
    struct Script {
        Rows source, target;
        std::vector<std::string> asked = {};
        std::string role = {};
        TwinRows tables = {};                 // What the catalog tells that it reads.
        Error whole = {Errc::bad_value, ""};  // With a code of its own: `ask` says that.
    };
    explicit FakeTwin(Script& to_play) : script(to_play) {}
    Result<std::vector<Row>> query(Side side,
                                   const std::string& sql,
                                   const Row& parameters,
                                   std::size_t) override {
        EXPECT_TRUE(script.asked.empty()) << "as the session's role, and nobody else, from then on";
        EXPECT_EQ(side, Side::source);
        EXPECT_EQ(sql.find(" t ("), sql.npos) << "only the catalog is asked with more rights";
        EXPECT_EQ(parameters.at(1), "{\"t\"}");
        EXPECT_EQ(parameters.at(2), "app, \"Web\"");
        return script.tables;
    }
    Result<std::vector<Row>> ask(Side side, const backfill::SessionRead&, std::size_t) override {
        if (script.whole.code == Errc::too_large) return script.whole;
        return side == Side::source ? script.source : script.target;
    }
    Result<backfill::AnswerDigest> digest(Side side, const backfill::SessionRead& read) override {
        std::string line = std::string{name(side)} + " as " + script.role + ": " + read.statement;
        for (const auto& parameter : read.parameters)
            line += " [" + parameter.value_or("NULL") + "]";
        for (const auto& [setting, value] : read.settings) line += ", " + setting + "=" + value;
        script.asked.push_back(line);
        const Rows& rows = side == Side::source ? script.source : script.target;
        if (!rows) return rows.error();
        std::vector<std::string> all;
        for (const Row& row : *rows) {
            all.emplace_back();
            for (const auto& cell : row) all.back() += cell.value_or("NULL") + "|";
        }
        const auto joined = [&] {
            std::string text;
            for (const std::string& one : all) text += one + ";";
            return text;
        };
        const std::string in_order = joined();
        std::sort(all.begin(), all.end());
        return backfill::AnswerDigest{joined(), in_order};
    }
    Script& script;
};

struct ConfirmTest : testing::Test {
    Pair follower;
    ShadowJob job;

    ConfirmTest() {
        job.text = "SELECT a FROM t";
        job.request = query(job.text);
        job.column_types = {23};
        job.context = std::make_shared<const backfill::postgres::PlanContext>(
            backfill::postgres::PlanContext{"web", {{"work_mem", "7MB"}, {"app.tenant", "7"}}});
    }
    Comparison confirm_with(FakeTwin::Script& script) {
        return confirmation(script, FollowUp::none).outcome;
    }
    Confirmation confirmation(FakeTwin::Script& script, FollowUp follow_up) {
        const std::string setting = message('D', "\0\2\0\0\0\x08TimeZone\0\0\0\3UTC"sv);
        const std::string path =
            message('D', std::string{"\0\2\0\0\0\x0bsearch_path\0\0\0\x0a"sv} + "app, \"Web\"");
        const std::string all = follow_up == FollowUp::tables ? setting + path : setting;
        follower.test_end->say(all + complete("SELECT 1") + ready('I'));
        const OpenTwin open = [&](const std::string& role,
                                  auto) -> Result<std::unique_ptr<backfill::Twin>> {
            script.role = role;
            return std::unique_ptr<backfill::Twin>{std::make_unique<FakeTwin>(script)};
        };
        return confirm(job, true, follower.relay_end, open, follow_up);
    }
    Comparison outcome(Rows source, Rows target) {
        FakeTwin::Script script{std::move(source), std::move(target)};
        return confirm_with(script);
    }
};

Error refused(const char* sqlstate) { return Error{Errc::server, "refused", sqlstate}; }

TEST_F(ConfirmTest, OnlyWhatDiffersInTheTwinIsADifference) {
    const TwinRows one = {{"1"}}, two = {{"2"}};
    EXPECT_EQ(outcome(one, one), Comparison::unconfirmed);
    EXPECT_EQ(outcome(one, two), Comparison::different);
    EXPECT_EQ(outcome(one, TwinRows{}), Comparison::different);
}

TEST_F(ConfirmTest, BothSidesAreAskedAsTheRoleAndUnderTheSettingsOfTheSession) {
    FakeTwin::Script script{TwinRows{}, TwinRows{}};
    confirm_with(script);
    const std::string what = " as web: SELECT a FROM t, app.tenant=7, TimeZone=UTC";
    EXPECT_EQ(script.asked, (std::vector<std::string>{"source" + what, "target" + what}));
}

TEST_F(ConfirmTest, NobodyIsAskedWithOtherRightsWhereTheRoleIsNotKnownOrCannotBeUsed) {
    FakeTwin::Script script{TwinRows{{"1"}}, TwinRows{}};
    const auto context = std::exchange(job.context, nullptr);
    EXPECT_EQ(confirm_with(script), Comparison::unconfirmed);
    job.context = std::make_shared<const backfill::postgres::PlanContext>();
    EXPECT_EQ(confirm_with(script), Comparison::unconfirmed);
    EXPECT_TRUE(script.asked.empty());
    job.context = context;
    follower.test_end->say(complete("SELECT 0") + ready('I'));
    const OpenTwin refuses = [](const std::string&,
                                auto) -> Result<std::unique_ptr<backfill::Twin>> {
        return Error{Errc::server, "permission denied", "42501"};
    };
    EXPECT_EQ(confirm(job, true, follower.relay_end, refuses).outcome, Comparison::unconfirmed);
}

TEST_F(ConfirmTest, ARefusalOfOneSideCountsUnlessItIsOfOurMaking) {
    const TwinRows rows = {{"1"}};
    EXPECT_EQ(outcome(rows, refused("42883")), Comparison::different);
    EXPECT_EQ(outcome(refused("22012"), rows), Comparison::different);
    EXPECT_EQ(outcome(refused("22012"), refused("22012")), Comparison::unconfirmed);
    EXPECT_EQ(outcome(refused("22012"), refused("42883")), Comparison::different);
    for (const char* ours : {"42501", "57014", "40001", "53200", "25006"}) {
        EXPECT_EQ(outcome(rows, refused(ours)), Comparison::unconfirmed) << ours;
    }
    EXPECT_EQ(outcome(rows, Error{Errc::closed, "gone"}), Comparison::unconfirmed);
    EXPECT_EQ(outcome(rows, Error{Errc::too_large, "many rows"}), Comparison::unconfirmed);
}

// Rows in another order count where there is one; last digits never do, and are looked for in rows.
TEST_F(ConfirmTest, AnAnswerOfAnySizeIsComparedAndFloatsAreLookedAt) {
    const TwinRows rows = {{"0.1"}, {"2"}}, turned = {{"2"}, {"0.1"}},
                   almost = {{"0.10000000000000001"}, {"2"}};
    EXPECT_EQ(outcome(rows, turned), Comparison::different);
    EXPECT_EQ(outcome(rows, almost), Comparison::different);
    job.column_types = {701};
    EXPECT_EQ(outcome(rows, almost), Comparison::unconfirmed);
    EXPECT_EQ(outcome(rows, turned), Comparison::different);
    FakeTwin::Script script{rows, TwinRows{}};
    script.whole = Error{Errc::too_large, "many rows"};
    EXPECT_EQ(confirm_with(script), Comparison::unconfirmed);
    job.column_types = {23};
    EXPECT_EQ(confirm_with(script), Comparison::different) << "nobody asks for the rows";
}

// What it reads is told of what differs, and of what was too much; never of a race that is over.
TEST_F(ConfirmTest, WhatDiffersOrIsTooMuchIsFollowedUp) {
    const TwinRows rows = {{"1"}};
    const auto suspected = [&](Rows target, FollowUp follow_up = FollowUp::tables) {
        FakeTwin::Script script{rows, std::move(target)};
        script.tables = {{"function", "app", "f"}, {"table", "app", "t"}, {"table", "app", "t_1"}};
        const Confirmation found = confirmation(script, follow_up);
        if (!found.suspected) return std::string{"no"};
        std::string all;
        for (const auto& [schema, table] : found.suspected->reads->tables) all += table + " ";
        for (const auto& function : found.suspected->reads->functions) all += function;
        return all;
    };
    EXPECT_EQ(suspected(TwinRows{}), "t t_1 app.f");
    EXPECT_EQ(suspected(refused("42883")), "t t_1 app.f");
    EXPECT_EQ(suspected(refused("57014")), "t t_1 app.f") << "it took too long";
    EXPECT_EQ(suspected(Error{Errc::timed_out, "it took too long"}), "t t_1 app.f");
    EXPECT_EQ(suspected(Error{Errc::timed_out, "a lock", "55P03"}), "no");
    EXPECT_EQ(suspected(Error{Errc::too_large, "many rows"}), "t t_1 app.f");
    EXPECT_EQ(suspected(rows), "no");
    EXPECT_EQ(suspected(refused("42501")), "no");
    EXPECT_EQ(suspected(refused("57P01")), "no");
    EXPECT_EQ(suspected(Error{Errc::closed, "gone"}), "no");
    EXPECT_EQ(suspected(TwinRows{}, FollowUp::none), "no");
}

TEST(FollowedUpTest, WhatIsTooMuchIsFollowedUpOncePerTableAndWhatDiffersAlways) {
    FollowedUp followed_up;
    const backfill::ReadTables t{{{"app", "t"}}, {}}, both{{{"app", "t"}, {"app", "u"}}, {}};
    const auto take = [&](Comparison outcome, const auto& read, Side authority = Side::source) {
        return followed_up.take(authority, outcome, read);
    };
    EXPECT_TRUE(take(Comparison::unconfirmed, t));
    EXPECT_FALSE(take(Comparison::unconfirmed, t));
    EXPECT_TRUE(take(Comparison::unconfirmed, both));
    EXPECT_FALSE(take(Comparison::unconfirmed, both));
    EXPECT_TRUE(take(Comparison::different, t));
    EXPECT_TRUE(take(Comparison::different, t));
    EXPECT_TRUE(take(Comparison::unconfirmed, both)) << "t has differed";
    EXPECT_FALSE(take(Comparison::unconfirmed, t));
    EXPECT_TRUE(take(Comparison::unconfirmed, t, Side::target));
}

TEST_F(ConfirmTest, WhatIsTooMuchForTheAuthorityIsNotAskedOfTheFollower) {
    FakeTwin::Script script{Error{Errc::timed_out, "it took too long"}, TwinRows{}};
    script.tables = {{"table", "app", "t"}};
    EXPECT_TRUE(confirmation(script, FollowUp::tables).suspected);
    EXPECT_EQ(script.asked.size(), 1u);
}

TEST(AskedLately, ForgetsWhatIsOverAndNeverHoldsMoreThanItsLimit) {
    using namespace std::chrono_literals;
    AskedLately lately;
    const AskedLately::Clock::time_point now;
    lately.add("soon over", now, now + 1s);
    lately.add("long", now, now + 9s);
    EXPECT_TRUE(lately.contains("soon over", now));
    EXPECT_FALSE(lately.contains("soon over", now + 1s));
    EXPECT_FALSE(lately.contains("another", now));
    for (std::size_t i = 2; i < asked_lately_max; ++i) lately.add(std::to_string(i), now, now + 8s);
    lately.add("one more", now, now + 2s);
    EXPECT_FALSE(lately.contains("soon over", now)) << "its time was over first";
    EXPECT_TRUE(lately.contains("one more", now));
    EXPECT_TRUE(lately.contains("long", now));
    lately.add("long", now, now + 9s);
    EXPECT_TRUE(lately.contains("one more", now)) << "that was there already";
}

TEST_F(ConfirmTest, WhatCannotBeAskedAgainIsUnconfirmed) {
    EXPECT_EQ(confirm(job, true, follower.relay_end, nullptr).outcome, Comparison::unconfirmed);
    FakeTwin::Script script{TwinRows{{"1"}}, TwinRows{}};
    job.request = execution({1700}, Bind{"", "", {1}, {"\0\0"sv}, {}});
    EXPECT_EQ(confirm_with(script), Comparison::unconfirmed);
    EXPECT_TRUE(script.asked.empty());
}

TEST_F(ConfirmTest, AConnectionThatEndsIsNotUsedAgain) {
    follower.test_end->close();
    FakeTwin::Script script{TwinRows{}, TwinRows{}};
    const OpenTwin open = [&](const std::string&, auto) -> Result<std::unique_ptr<backfill::Twin>> {
        return Error{Errc::timed_out, "never"};
    };
    EXPECT_EQ(confirm(job, true, follower.relay_end, open).outcome, Comparison::unconfirmed);
    EXPECT_FALSE(follower.relay_end.is_open());
}

}  // namespace
}  // namespace segue::proxy
