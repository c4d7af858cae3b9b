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
    };
    explicit FakeTwin(Script& to_play) : script(to_play) {}
    Result<std::vector<Row>> query(Side side,
                                   const std::string& sql,
                                   const Row& parameters,
                                   std::size_t) override {
        std::string line = std::string{name(side)} + ": " + sql;
        for (const auto& parameter : parameters) line += " [" + parameter.value_or("NULL") + "]";
        script.asked.push_back(line);
        if (sql.find("set_config") != std::string::npos) return std::vector<Row>{{"x"}};
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
    }
    Comparison confirm_with(FakeTwin::Script& script) {
        const std::string setting = message('D', "\0\2\0\0\0\x08TimeZone\0\0\0\3UTC"sv);
        follower.test_end->say(setting + complete("SELECT 1") + ready('I'));
        return confirm(
            job, true, follower.relay_end, [&](auto) -> Result<std::unique_ptr<backfill::Twin>> {
                return std::unique_ptr<backfill::Twin>{std::make_unique<FakeTwin>(script)};
            });
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

TEST_F(ConfirmTest, BothSidesAreAskedUnderTheSettingsOfTheSession) {
    FakeTwin::Script script{TwinRows{}, TwinRows{}};
    confirm_with(script);
    const std::string set = "SELECT pg_catalog.set_config($1, $2, true) [TimeZone] [UTC]";
    EXPECT_EQ(script.asked,
              (std::vector<std::string>{"source: " + set,
                                        "source: SELECT a FROM t",
                                        "target: " + set,
                                        "target: SELECT a FROM t"}));
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
    const OpenTwin open = [&](auto) -> Result<std::unique_ptr<backfill::Twin>> {
        return Error{Errc::timed_out, "never"};
    };
    EXPECT_EQ(confirm(job, true, follower.relay_end, open), Comparison::unconfirmed);
    EXPECT_FALSE(follower.relay_end.is_open());
}

}  // namespace
}  // namespace segue::proxy
