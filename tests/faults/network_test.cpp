// The network between Segue and the servers: half-open, slow.

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/faults/driven_life.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

MigrationOptions with_cables() {
    MigrationOptions options;
    options.cables = true;
    return options;
}

// What is connected hears nothing any more, and no error comes: as behind a firewall that has
// forgotten it.
TEST(Network, AHalfOpenFollowerIsGivenUpAndFoundAgain) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{with_cables()};
    ASSERT_TRUE(move.copy());
    Workload workload{{move.through()}};
    workload.start();
    ASSERT_TRUE(workload.wait_for_more(50));
    move.target_cable().silence();
    ASSERT_TRUE(workload.wait_for_more(200)) << "clients suffer from a follower that is silent";
    move.target_cable().mend();
    const auto caught_up = [&] {
        const auto status = move.segue().status();
        return status && (*status)["rollback_ready"] == true;
    };
    EXPECT_TRUE(eventually(90s, caught_up))
        << "the connections that hear nothing are kept for ever";
    ASSERT_TRUE(move.segue().until_done({"mirror", "sync"}));
    ASSERT_TRUE(workload.wait_for_more(30));
    workload.stop();
    expect_no_client_noticed(workload.report());
    move.expect_right(workload);
}

TEST(Network, ASlowWayToTheFollowerIsOnlySlow) {
    SEGUE_NEEDS_POSTGRES();
    // Every step of a change goes there and back several times; on a busy machine the delay is the
    // least of it.
    MigrationOptions options = with_cables();
    options.lines = {{"cutover", "drain_ms = 10000"}, {"cutover", "deadline_ms = 30000"}};
    DrivenLife life{301, options};
    life.migration().target_cable().delay(20ms);
    life.begin();
    life.live();
    life.expect_right();
    EXPECT_EQ(life.workload().report().connections_lost, 0);
}

bool is_ready(const SegueProcess& segue) {
    const auto status = segue.status();
    return status && (*status)["rollback_ready"] == true;
}

TEST(Network, ACutWayToTheAuthorityIsTheLossOfConnectionsAndOfNothingElse) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{with_cables()};
    ASSERT_TRUE(move.copy());
    ASSERT_TRUE(move.segue().until_done({"mirror", "sync"}));
    Workload workload{{move.through()}};
    workload.start();
    for (Cable* cable : {&move.source_cable(), &move.target_cable(), &move.source_cable()}) {
        ASSERT_TRUE(workload.wait_for_more(50));
        cable->cut();
        cable->mend();
    }
    ASSERT_TRUE(workload.wait_for_more(50));
    ASSERT_TRUE(eventually(90s, [&] { return is_ready(move.segue()); }));
    EXPECT_TRUE(eventually(60s, [&] { return move.segue().verb({"cutover"}).exit_code == 0; }));
    // The other way round: the target is the authority now.
    move.target_cable().cut();
    move.target_cable().mend();
    ASSERT_TRUE(workload.wait_for_more(50));
    workload.stop();
    EXPECT_TRUE(workload.report().errors.empty()) << workload.report().errors.front();
    move.expect_right(workload);
}

// The mover's connections hear nothing any more, those of the change neither: nobody is held for
// longer than the change may take, and both are found again.
TEST(Network, AHalfOpenAuthorityIsGivenUpAndFoundAgain) {
    SEGUE_NEEDS_POSTGRES();
    Migration move{with_cables()};
    ASSERT_TRUE(move.copy());
    ASSERT_TRUE(eventually(60s, [&] { return is_ready(move.segue()); }));
    Sql beside{move.direct(move.source())};
    move.source_cable().silence();
    beside.query("INSERT INTO app.keyed VALUES (-100, 'unheard')");
    const CommandResult refused = move.segue().verb({"cutover"}, 120s);
    EXPECT_EQ(refused.exit_code, 1) << "nobody can have heard the authority";
    EXPECT_FALSE(refused.timed_out);
    move.source_cable().mend();
    move.expect_equal_soon(120s);
    ASSERT_TRUE(eventually(120s, [&] { return is_ready(move.segue()); }));
    Sql client{move.through()};
    client.query("INSERT INTO app.keyed VALUES (-101, 'heard')");
    EXPECT_TRUE(eventually(60s, [&] { return move.segue().verb({"cutover"}).exit_code == 0; }));
    client.query("UPDATE app.keyed SET body = 'moved' WHERE id = -101");
    move.expect_equal_soon();
}

// Their hosts are gone, or only the way to them.
TEST(Network, ClientsThatVanishOrFallSilentStandInNobodysWay) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    Cable way{move.segue().port()};
    const std::string url = "host=127.0.0.1 port=" + std::to_string(way.port()) +
                            " dbname=shop user=app password=app sslmode=disable gssencmode=disable";
    {
        Sql vanished{url};
        vanished.query("BEGIN");
        vanished.query("INSERT INTO app.keyed VALUES (-102, 'never committed')");
        way.cut();
        const std::string open =
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
        EXPECT_TRUE(eventually(20s, [&] { return move.source().value(open) == "0"; }))
            << "the transaction of a client that is gone stays open";
    }
    way.mend();
    Sql silent{url};
    silent.query("SET application_name = 'silent'");
    silent.query("PREPARE kept AS SELECT 1");
    way.silence();
    Workload workload{{move.through()}};
    workload.start();
    for (const char* verb : {"cutover", "rollback"}) {
        ASSERT_TRUE(workload.wait_for_more(30));
        EXPECT_TRUE(eventually(60s, [&] { return move.segue().verb({verb}).exit_code == 0; }));
    }
    workload.stop();
    expect_no_client_noticed(workload.report());
    move.expect_right(workload);
    EXPECT_EQ(move.source().value("SELECT count(*) FROM app.keyed WHERE id = -102", "shop"), "0");
}

class Names {
public:
    Names() : folder_(make_folder("segue-names")) { tell("source\ntarget\n"); }
    ~Names() {
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }
    void both() { tell("source\ntarget\n"); }
    void only(const std::string& side) { tell(side + "\n"); }
    // The same migration with its servers called by name.
    SegueOptions in(SegueOptions options) const {
        for (auto* url : {&options.source_url, &options.target_url}) {
            const char* side = url == &options.source_url ? "source" : "target";
            url->replace(url->find("127.0.0.1"), 9, std::string{side} + ".segue.test");
        }
        options.environment = {{"LD_PRELOAD", SEGUE_TEST_NAMES}, {"SEGUE_NAMES", file()}};
        return options;
    }

private:
    std::string file() const { return folder_ / "names"; }
    void tell(const std::string& sides) {
        std::string text;
        for (const char* side : {"source", "target"}) {
            if (sides.find(side) != std::string::npos) text += std::string{side} + ".segue.test\n";
        }
        write_file(folder_ / "new", text);
        std::filesystem::rename(folder_ / "new", file());
    }
    std::filesystem::path folder_;
};

TEST(Network, AServerWhoseNameIsGoneForAWhileIsAwayForAWhile) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    Names names;
    SegueProcess segue{names.in(move.segue_options())};
    segue.run();
    segue.expect_done({"start"});
    ASSERT_TRUE(segue.wait_consistent());
    const std::string url = segue.url("shop", "app", "app");
    Workload workload{{url}};
    workload.start();
    ASSERT_TRUE(workload.wait_for_more(30));
    // The follower's: nobody notices but the operator.
    names.only("source");
    move.target().restart(Stop::immediate);
    ASSERT_TRUE(workload.wait_for_more(100));
    EXPECT_EQ(segue.verb({"cutover"}).exit_code, 1);
    names.both();
    EXPECT_TRUE(eventually(180s, [&] { return is_ready(segue); }));
    // The authority's: who is connected goes on, who comes is told.
    names.only("target");
    ASSERT_TRUE(workload.wait_for_more(50));
    const Sql late{url};
    EXPECT_FALSE(late.connected());
    EXPECT_NE(late.error().find("source.segue.test"), std::string::npos) << late.error();
    names.both();
    EXPECT_TRUE(Sql{url}.connected());
    EXPECT_TRUE(eventually(180s, [&] { return segue.verb({"cutover"}).exit_code == 0; }));
    ASSERT_TRUE(workload.wait_for_more(30));
    workload.stop();
    expect_no_client_noticed(workload.report());
    move.expect_right(workload);
}

}  // namespace
}  // namespace segue::test
