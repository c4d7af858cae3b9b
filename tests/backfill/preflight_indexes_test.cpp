// What `check` says of indexes that are not to be used.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "backfill/change_steps.hpp"
#include "backfill/preflight.hpp"
#include "tests/backfill/databases.hpp"
#include "tests/backfill/preflight_support.hpp"
#include "tests/support/sql.hpp"

namespace segue::backfill {
namespace {

using test::Databases;
using test::settings_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

// Reason and remedy of each finding with that code.
std::vector<std::string> found(const ServerSettings& settings, const std::string& code) {
    const auto findings = postgres_preflight(settings);
    EXPECT_TRUE(findings);
    std::vector<std::string> texts;
    if (!findings) return texts;
    for (const Finding& finding : *findings) {
        if (finding.code == code && finding.severity == Severity::fail)
            texts.push_back(finding.reason + "\n" + finding.remedy);
    }
    return texts;
}

TEST(PreflightIndexes, NamesAnIndexWhoseBuildingFailed) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(
        Side::source,
        "CREATE TABLE goods (i int PRIMARY KEY, v int); INSERT INTO goods VALUES (1, 1), (2, 1)");
    test::Sql builder{databases.url(Side::source)};
    EXPECT_FALSE(builder.attempt("CREATE UNIQUE INDEX CONCURRENTLY twice ON goods (v)").ok);
    EXPECT_THAT(found(settings_of(databases), "invalid_index"),
                ElementsAre(AllOf(HasSubstr("index twice is INVALID"),
                                  HasSubstr("REINDEX INDEX CONCURRENTLY public.twice;"))));
}

// It need not be mended, but waited for; one that failed before is not mistaken for it.
TEST(PreflightIndexes, NamesAnIndexThatIsStillBeingBuilt) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(
        Side::source,
        "CREATE TABLE goods (i int PRIMARY KEY, v int); INSERT INTO goods VALUES (1, 1), (2, 1);"
        " CREATE INDEX whole ON goods (v)");
    test::Sql writer{databases.url(Side::source)}, builder{databases.url(Side::source)};
    EXPECT_FALSE(builder.attempt("CREATE UNIQUE INDEX CONCURRENTLY twice ON goods (v)").ok);
    const std::string pid = builder.value("SELECT pg_backend_pid()");
    const auto by = [&](const std::string& what, const std::string& remedy) {
        return AllOf(HasSubstr(what + " just now, by server process " + pid + ":"),
                     HasSubstr("WHERE pid = " + pid),
                     HasSubstr(remedy));
    };
    const auto broken = HasSubstr("index twice is INVALID");
    struct Case {
        const char* command;
        std::string what, remedy;
    };
    const Case cases[] = {
        {"CREATE INDEX CONCURRENTLY later ON goods (i, v)", "index later is being built", "later;"},
        {"REINDEX INDEX CONCURRENTLY whole", "index whole_ccnew is being built", "whole_ccnew;"},
        {"DROP INDEX CONCURRENTLY later", "index later is being dropped", "later;"}};
    for (const Case& one : cases) {
        SCOPED_TRACE(one.command);
        writer.query("BEGIN; UPDATE goods SET v = v WHERE i = 1");
        std::jthread builds{[&] { builder.query(one.command); }};
        EXPECT_TRUE(test::eventually(std::chrono::seconds{20}, [&] {
            return databases.value(
                       Side::source,
                       "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = " + pid) == "1";
        }));
        EXPECT_THAT(found(settings_of(databases), "invalid_index"),
                    UnorderedElementsAre(broken, by(one.what, one.remedy)));
        writer.query("COMMIT");
    }
}

}  // namespace
}  // namespace segue::backfill
