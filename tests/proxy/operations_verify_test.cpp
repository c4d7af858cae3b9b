// What `verify` and `repair` decide, and what they decide of other verbs.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/proxy/desk.hpp"

namespace segue::proxy {
namespace {

using nlohmann::json;
using test::consistent_world;
using test::Desk;
using test::World;

TEST(Operations, LetStrayWritesBeOnceAVerificationThatBeganAfterThemFindsAllEqual) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.strays[index(Side::target)] = 2;
    world.differences = 1;
    EXPECT_EQ(desk.run("verify").exit_code, 1);
    EXPECT_EQ(world.strays[index(Side::target)], 2u);
    EXPECT_EQ(desk.run("cutover").exit_code, 1);
    EXPECT_EQ(desk.run("repair").exit_code, 0);
    EXPECT_EQ(world.strays[index(Side::target)], 0u);
    EXPECT_EQ(desk.run("cutover").exit_code, 0);
}

// There is no way back from it, and nobody compares anything afterwards.
TEST(Operations, FinishIsRefusedWhileSomethingIsKnownToDifferUnlessThatIsAccepted) {
    World world = consistent_world(Side::target, 7);
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.strays[index(Side::source)] = 2;
    world.differences = 1;
    world.shadow.statements.resize(1);
    world.shadow.statements[0].different = 1;
    EXPECT_EQ(desk.run("verify").exit_code, 1);
    const VerbResult refused = desk.run("finish");
    EXPECT_EQ(refused.exit_code, 1);
    for (const char* what : {"verification found differences",
                             "somebody else than Segue wrote to the source",
                             "reads are answered differently",
                             "`segue repair`",
                             "--accept-differences"})
        EXPECT_NE(refused.text.find(what), std::string::npos) << refused.text;
    EXPECT_TRUE(world.mover_started);
    world.shadow.statements.clear();
    EXPECT_EQ(desk.run("repair").exit_code, 0);
    world.shadow.statements.resize(1);
    world.shadow.statements[0].different = 1;
    EXPECT_EQ(desk.run("finish").exit_code, 1);
    const VerbResult done = desk.run("finish", {{"accept_differences", true}});
    EXPECT_EQ(done.exit_code, 0) << done.text;
    EXPECT_NE(done.text.find("accepted: reads are answered differently"), std::string::npos)
        << done.text;
}

// A plan says why; rows that differ can be mended, and no plan accepts them.
TEST(Operations, AFinishThatAcceptsReadsAcceptsNoRowsAndKeepsTheReason) {
    World world = consistent_world(Side::target, 7);
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.shadow.statements.resize(1);
    world.shadow.statements[0].different = 1;
    world.strays[index(Side::source)] = 2;
    const json accepted = {{"accept_differing_reads", "a report without\nan order"}};
    EXPECT_EQ(desk.run("finish", accepted).exit_code, 1);
    world.strays[index(Side::source)] = 0;
    // Whether rows differ is not known yet.
    world.shadow.rows_unknown = 1;
    world.shadow.rows_unknown_at = std::chrono::system_clock::now() + std::chrono::hours{1};
    EXPECT_EQ(desk.run("verify").exit_code, 0);
    const VerbResult unknown = desk.run("finish", accepted);
    EXPECT_EQ(unknown.exit_code, 1);
    EXPECT_NE(unknown.text.find("not compared yet (1 statement;"), std::string::npos)
        << unknown.text;
    world.shadow.rows_different = 1;
    EXPECT_NE(desk.run("finish", accepted).text.find("are different"), std::string::npos);
    world.shadow.rows_different = 0;
    world.shadow.rows_unknown_at -= std::chrono::hours{24};  // Verified since then.
    EXPECT_EQ(desk.run("finish").exit_code, 1);
    const VerbResult done = desk.run("finish", accepted);
    EXPECT_EQ(done.exit_code, 0) << done.text;
    EXPECT_NE(done.text.find("accepted: reads are answered differently"), std::string::npos);
    EXPECT_NE(done.text.find("(a report without?an order)"), std::string::npos) << done.text;
}

TEST(Operations, AFinishThatAcceptsReadsKnowsWhatWasFoundSinceTheLastTick) {
    World world = consistent_world(Side::target, 7);
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_EQ(desk.run("verify").exit_code, 0);
    world.found_meanwhile = true;
    EXPECT_EQ(desk.run("finish", {{"accept_differing_reads", "no order"}}).exit_code, 1);
}

TEST(Operations, AFinishThatFailedInTheMiddleNamesTheWordsToSayAgain) {
    World world = consistent_world(Side::target, 7);
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.shadow.statements.resize(1);
    world.shadow.statements[0].different = 1;
    world.troubled = "finish";
    const VerbResult failed = desk.run("finish", {{"accept_differences", true}, {"unfence", true}});
    EXPECT_EQ(failed.exit_code, 1);
    EXPECT_NE(failed.text.find("Run `segue finish --accept-differences --unfence` again"),
              std::string::npos)
        << failed.text;
}

TEST(Operations, FinishKnowsAfterARestartWhatWasFound) {
    World world = consistent_world(Side::target, 7);
    world.found_meanwhile = true;
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    const VerbResult refused = desk.run("finish");
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_NE(refused.text.find("verification found differences"), std::string::npos)
        << refused.text;
}

// Another epoch alone is no cutover: one was given up.
TEST(Operations, FinishGivesUpATargetThatNeverBecameTheAuthority) {
    World world = consistent_world(Side::source, 1);
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.strays[index(Side::target)] = 2;
    EXPECT_EQ(desk.run("finish").exit_code, 0);
}

// The source has every write, and to finish gives up a target that was never used.
TEST(Operations, FinishBeforeAnyCutoverLetsDifferencesBe) {
    World world = consistent_world(Side::source, 0);
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    world.strays[index(Side::target)] = 2;
    EXPECT_EQ(desk.run("finish").exit_code, 0);
}

TEST(Operations, VerificationDecidesAboutACutover) {
    World world = consistent_world();
    Desk desk{world};
    desk.config.require_verify = true;
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_EQ(desk.run("cutover").exit_code, 1);
    world.differences = 2;
    const VerbResult different = desk.run("verify");
    EXPECT_EQ(different.exit_code, 1);
    EXPECT_NE(different.text.find("public.t"), std::string::npos);
    EXPECT_EQ(desk.run("cutover").exit_code, 1);
    EXPECT_EQ(desk.run("repair").exit_code, 0);
    EXPECT_EQ(desk.board.read().verify.outcome, VerifyOutcome::equal);
    EXPECT_EQ(desk.run("cutover").exit_code, 0);
}

TEST(Operations, AnOldVerdictIsNoneWhereOneIsRequired) {
    World world = consistent_world();
    Desk desk{world};
    desk.config.require_verify = true;
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_EQ(desk.run("verify").exit_code, 0);
    world.verified->ended_at =
        std::chrono::system_clock::now() - required_verdict_age_max - std::chrono::minutes{1};
    const VerbResult old = desk.run("cutover");
    EXPECT_EQ(old.exit_code, 1);
    EXPECT_NE(old.text.find("older than 24 hours"), std::string::npos) << old.text;
    // What one table says is not what all say.
    world.verified->ended_at = std::chrono::system_clock::now();
    backfill::VerifiedTable& table = world.verified->tables.begin()->second;
    table.begun_at = std::chrono::system_clock::now() - std::chrono::hours{8 * 24};
    EXPECT_EQ(desk.run("cutover").exit_code, 1);
    table.begun_at = std::chrono::system_clock::now() - std::chrono::hours{1};
    EXPECT_EQ(desk.run("cutover").exit_code, 0);
    // The way back is not barred by age.
    world.verified->ended_at = backfill::WallTime{};
    EXPECT_EQ(desk.run("rollback").exit_code, 0);
}

// Nobody is told of a commit that the follower lacks, nor reads there what it has not.
TEST(Operations, RepairPassesAStoppedStreamOnWhereNobodyReliesOnTheFollower) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_EQ(desk.run("mirror", {{"mode", "sync"}}).exit_code, 0);
    world.table_stopped = true;
    EXPECT_EQ(desk.run("verify").exit_code, 1);
    VerbResult refused = desk.run("repair");
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_NE(refused.text.find("segue mirror async"), std::string::npos) << refused.text;
    EXPECT_EQ(desk.run("mirror", {{"mode", "async"}}).exit_code, 0);
    EXPECT_EQ(desk.run("shift", {{"percent", 5}}).exit_code, 0);
    refused = desk.run("repair");
    EXPECT_NE(refused.text.find("segue shift 0"), std::string::npos) << refused.text;
    EXPECT_TRUE(world.table_stopped);
    EXPECT_EQ(desk.run("shift", {{"percent", 0}}).exit_code, 0);
    const VerbResult repaired = desk.run("repair");
    EXPECT_EQ(repaired.exit_code, 0) << repaired.text;
    EXPECT_NE(repaired.text.find("2 changes were passed over"), std::string::npos);
    EXPECT_NE(repaired.text.find("repaired 2 rows"), std::string::npos) << repaired.text;
    EXPECT_EQ(desk.run("cutover").exit_code, 0);
}

TEST(Operations, CutNoCharacterOfWhoAsked) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    std::string name(199, 'a');
    EXPECT_EQ(desk.run("verify", {{"asked_by", name + "\u00e9\u00e9"}}).exit_code, 0);
    EXPECT_EQ(world.verified->asked_by, name);
    EXPECT_EQ(desk.run("verify", {{"asked_by", 5}}).exit_code, 0);
}

TEST(Operations, WhatTheBackgroundFoundStandsAgainstAnOlderEqual) {
    World world = consistent_world();
    Desk desk{world};
    ASSERT_TRUE(desk.operations.recover());
    EXPECT_EQ(desk.run("verify").exit_code, 0);
    world.found_meanwhile = true;
    EXPECT_EQ(desk.run("cutover").exit_code, 1) << "it was found after the last tick";
    EXPECT_EQ(desk.run("verify").exit_code, 1) << "one that went on had compared the table earlier";
    EXPECT_EQ(desk.board.read().verify.outcome, VerifyOutcome::different);
    EXPECT_EQ(desk.board.read().record->authority, Side::source);
}

}  // namespace
}  // namespace segue::proxy
