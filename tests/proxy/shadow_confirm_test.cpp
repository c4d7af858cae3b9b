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
    };
    explicit FakeTwin(Script& to_play) : script(to_play) {}
    Result<std::vector<Row>> query(Side side,
                                   const std::string& sql,
                                   const Row& parameters,
                                   std::size_t) override {
        ADD_FAILURE() << name(side) << " is asked with the mover's rights: " << sql
                      << parameters.size();
        return Error{Errc::refused, "with the mover's rights"};
    }
    Result<std::vector<Row>> ask(Side side,
                                 const backfill::SessionRead& read,
                                 std::size_t) override {
        std::string line = std::string{name(side)} + " as " + script.role + ": " + read.statement;
        for (const auto& parameter : read.parameters)
            line += " [" + parameter.value_or("NULL") + "]";
        for (const auto& [setting, value] : read.settings) line += ", " + setting + "=" + value;
        script.asked.push_back(line);
        return side == Side::source ? script.source : script.target;
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
        const std::string setting = message('D', "\0\2\0\0\0\x08TimeZone\0\0\0\3UTC"sv);
        follower.test_end->say(setting + complete("SELECT 1") + ready('I'));
        const OpenTwin open = [&](const std::string& role,
                                  auto) -> Result<std::unique_ptr<backfill::Twin>> {
            script.role = role;
            return std::unique_ptr<backfill::Twin>{std::make_unique<FakeTwin>(script)};
        };
        return confirm(job, true, follower.relay_end, open);
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
    EXPECT_EQ(confirm(job, true, follower.relay_end, refuses), Comparison::unconfirmed);
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

TEST_F(ConfirmTest, WhatCannotBeAskedAgainIsUnconfirmed) {
    EXPECT_EQ(confirm(job, true, follower.relay_end, nullptr), Comparison::unconfirmed);
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
    EXPECT_EQ(confirm(job, true, follower.relay_end, open), Comparison::unconfirmed);
    EXPECT_FALSE(follower.relay_end.is_open());
}

}  // namespace
}  // namespace segue::proxy
