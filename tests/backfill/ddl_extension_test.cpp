#include "backfill/postgres/ddl_extension.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/backfill/ddl_support.hpp"

namespace segue::backfill::postgres {
namespace {

using ::testing::HasSubstr;

class DdlExtension : public test::DdlTest {};

TEST_F(DdlExtension, TellsTheCommandThatMakesExtensionsTheSame) {
    const auto by_hand = [&](Side side, const std::string& sql) {
        databases_->run(side, "SET segue.mover = 'id-1'; " + sql);
    };
    const auto again = [&] {
        --carried_;
        return carry();
    };
    for (const Side side : {Side::source, Side::target})
        by_hand(side, "DROP EXTENSION IF EXISTS cube CASCADE");
    databases_->run(Side::source, "CREATE EXTENSION cube VERSION '1.3' SCHEMA app");
    const std::string create = R"(CREATE EXTENSION "cube" SCHEMA "app" VERSION '1.3')";
    EXPECT_THAT(carry(), HasSubstr(create + ";"));
    by_hand(Side::target, create);
    EXPECT_EQ(again(), "") << "it needs no other word";
    databases_->run(Side::source, "ALTER EXTENSION cube UPDATE TO '1.5'");
    EXPECT_THAT(carry(), HasSubstr(R"(ALTER EXTENSION "cube" UPDATE TO '1.5';)"));
    by_hand(Side::target, "ALTER EXTENSION cube UPDATE TO '1.5'");
    EXPECT_EQ(again(), "");
    databases_->run(Side::source, "DROP EXTENSION cube");
    EXPECT_THAT(carry(), HasSubstr(": DROP EXTENSION cube;"));
    by_hand(Side::target, "DROP EXTENSION cube");
    EXPECT_EQ(again(), "");
}

// The other server's files may not have that version.
TEST_F(DdlExtension, GoesOnWithoutWhatCannotBeMadeTheSame) {
    for (const Side side : {Side::source, Side::target})
        databases_->run(side, "SET segue.mover = 'id-1'; DROP EXTENSION IF EXISTS cube CASCADE");
    databases_->run(Side::source, "CREATE EXTENSION cube SCHEMA app");
    const std::string handled = "INSERT INTO segue.ddl_handled VALUES ('source', " +
                                on_source("SELECT max(id) FROM segue.ddl") + ")";
    EXPECT_THAT(carry(), HasSubstr(handled + " instead"));
    databases_->run(Side::target, handled);
    --carried_;
    EXPECT_EQ(carry(), "");
    databases_->run(Side::source, "SET segue.mover = 'id-1'; DROP EXTENSION cube");
}

// Nothing can be compared: it must not pass as the same.
TEST_F(DdlExtension, StopsAtWhatAnEarlierBuildHasCaptured) {
    for (const Side side : {Side::source, Side::target})
        databases_->run(side, "SET segue.mover = 'id-1'; DROP EXTENSION IF EXISTS cube CASCADE");
    databases_->run(Side::source, "CREATE EXTENSION cube SCHEMA app");
    databases_->run(Side::source, "UPDATE segue.ddl SET look = '{}'");
    EXPECT_THAT(carry(), HasSubstr("cannot be carried to the target: an earlier build"));
    databases_->run(Side::source, "DROP EXTENSION cube; UPDATE segue.ddl SET look = '{}'");
    EXPECT_EQ(carry(), "") << "it is not there, as it is to be";
}

}  // namespace
}  // namespace segue::backfill::postgres
