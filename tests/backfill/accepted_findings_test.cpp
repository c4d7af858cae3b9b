// What an operator accepts, and the table that `check` and `explain` take their words from.

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "backfill/preflight.hpp"

namespace segue::backfill {
namespace {

std::vector<Finding> some_findings() {
    return {{Severity::fail, "unlogged_table", "source: public.cache", "r", "c"},
            {Severity::fail, "unlogged_table", "source: public.other", "r", "c"},
            {Severity::fail, "wal_level", "source", "r", "c"},
            {Severity::warn, "network", "target", "r", "c"}};
}

TEST(AcceptedFindings, AFailureBecomesAWarningForThatObjectOnly) {
    auto findings = some_findings();
    accept_findings({{"unlogged_table", "source: public.cache", "begins empty"}}, findings);
    ASSERT_EQ(findings.size(), 4u);
    EXPECT_EQ(findings[0].severity, Severity::warn);
    EXPECT_EQ(findings[0].accepted, "begins empty");
    EXPECT_EQ(findings[1].severity, Severity::fail);
    EXPECT_EQ(findings[1].accepted, std::nullopt);
}

TEST(AcceptedFindings, AWarningStaysOneAndIsMarked) {
    auto findings = some_findings();
    accept_findings({{"network", "target", ""}}, findings);
    EXPECT_EQ(findings[3].severity, Severity::warn);
    EXPECT_EQ(findings[3].accepted, "");
}

TEST(AcceptedFindings, WhatWouldLoseDataStaysAFailure) {
    auto findings = some_findings();
    accept_findings({{"wal_level", "source", ""}}, findings);
    EXPECT_EQ(findings[2].severity, Severity::fail);
    EXPECT_EQ(findings[2].accepted, std::nullopt);
}

TEST(AcceptedFindings, ADecisionThatDecidesNothingIsSaid) {
    auto findings = some_findings();
    accept_findings({{"unlogged_table", "source: public.kache", ""}}, findings);
    ASSERT_EQ(findings.size(), 5u);
    EXPECT_EQ(findings[4].code.name(), "accept_unused");
    EXPECT_EQ(findings[4].object, "unlogged_table of source: public.kache");
    EXPECT_EQ(findings[0].severity, Severity::fail);
}

TEST(AcceptedFindings, AreShownAfterTheFailures) {
    auto findings = some_findings();
    accept_findings({{"unlogged_table", "source: public.cache", ""}}, findings);
    sort_findings(findings);
    EXPECT_EQ(findings[0].object, "source: public.other");
    EXPECT_EQ(findings[1].code.name(), "wal_level");
    EXPECT_EQ(findings[2].object, "source: public.cache");
}

TEST(FindingTexts, EveryCodeHasEveryTextOnce) {
    std::set<std::string_view> codes;
    for (const FindingText& text : finding_texts) {
        SCOPED_TRACE(text.code);
        EXPECT_TRUE(codes.insert(text.code).second) << "twice";
        EXPECT_FALSE(text.means.empty());
        EXPECT_FALSE(text.matters.empty());
        EXPECT_FALSE(text.remedy.empty());
        EXPECT_EQ(find_finding_text(text.code), &text);
    }
    EXPECT_EQ(find_finding_text("no_such_code"), nullptr);
}

}  // namespace
}  // namespace segue::backfill
