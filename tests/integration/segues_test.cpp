// Two Segues that serve one migration, both alive: what is told to one of them holds in both,
// whichever it is that moves the migration.

#include <gtest/gtest.h>

#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

// The one that does not move the migration.
class Another {
public:
    explicit Another(const Migration& move) : segue_{move.segue_options()} { segue_.run(); }

    bool stands_by() {
        return eventually(60s, [&] {
            const auto status = segue_.status();
            return status &&
                   (*status)["warnings"].dump().find("another Segue") != std::string::npos;
        });
    }
    SegueProcess& operator*() { return segue_; }
    SegueProcess* operator->() { return &segue_; }

private:
    SegueProcess segue_;
};

void expect_refused(const SegueProcess& segue,
                    const std::vector<std::string>& verb,
                    const std::string& words) {
    const CommandResult refused = segue.verb(verb);
    EXPECT_EQ(refused.exit_code, 1) << verb.front();
    EXPECT_NE(refused.err.find(words), std::string::npos) << refused.err;
}

// Were its commits held, they would be for ever: nothing is followed.
void expect_commits_while_paused(SegueProcess& segue) {
    Sql client{segue.url("shop", "app", "app")};
    client.query("SET statement_timeout = '30s'");
    client.query("UPDATE app.keyed SET revision = revision + 1 WHERE id = 1");
}

TEST(Segues, DoWhatTheOtherOneIsTold) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    SegueProcess& mover = move.segue();
    Another another{move};
    ASSERT_TRUE(another.stands_by());

    mover.expect_done({"shift", "25"});
    EXPECT_TRUE(another->wait_status("/shift/percent", 25));
    another->expect_done({"shift", "0"});
    EXPECT_TRUE(mover.wait_status("/shift/percent", 0));
    another->expect_done({"shadow", "10"});
    EXPECT_TRUE(mover.wait_status("/shadow/percent", 10));

    // Also where it has not been followed yet.
    another->expect_done({"pause"});
    expect_refused(mover, {"mirror", "sync"}, "segue resume");
    EXPECT_TRUE(mover.wait_status("/backfill/paused", true));
    EXPECT_TRUE(another->wait_status("/backfill/paused", true));
    another->expect_done({"resume"});
    EXPECT_TRUE(mover.wait_status("/backfill/paused", false));

    ASSERT_TRUE(mover.until_done({"mirror", "sync"}));
    expect_refused(*another, {"pause"}, "segue mirror async");
    EXPECT_TRUE(another->wait_status("/mirror/mode", "sync"));
    {
        Sql client{another->url("shop", "app", "app")};
        client.query("INSERT INTO app.keyed VALUES (-70, 'through the one that stands by')");
        EXPECT_EQ(move.target().value("SELECT count(*) FROM app.keyed WHERE id = -70", "shop"),
                  "1");
    }
    another->expect_done({"mirror", "async"});
    another->expect_done({"pause"});
    EXPECT_TRUE(mover.wait_status("/mirror/mode", "async"));
    EXPECT_TRUE(mover.wait_status("/backfill/paused", true));
    expect_commits_while_paused(mover);
    expect_commits_while_paused(*another);
    mover.expect_done({"resume"});
    EXPECT_TRUE(another->wait_status("/backfill/paused", false));
    expect_refused(*another, {"mirror", "sync"}, "segue mirror sync` there");
    move.expect_equal_soon();
}

// Its clients are not held: the fence lets none of them write to what is not the authority any
// more, and they come back on the right side.
TEST(Segues, LoseNothingOfTheClientsOfOneWhileTheOtherChangesTheAuthority) {
    SEGUE_NEEDS_POSTGRES();
    Migration move;
    ASSERT_TRUE(move.copy());
    Another another{move};
    ASSERT_TRUE(another.stands_by());
    ASSERT_TRUE(move.segue().until_done({"mirror", "sync"}));
    ASSERT_TRUE(another->wait_status("/mirror/mode", "sync"));
    Workload own{{move.through()}};
    Workload others{{another->url("shop", "app", "app"), 3, 6}};
    own.start();
    others.start();
    for (const auto& [verb, authority] :
         {std::pair{"cutover", "target"}, std::pair{"rollback", "source"}}) {
        SCOPED_TRACE(verb);
        EXPECT_TRUE(own.wait_for_more(50));
        EXPECT_TRUE(others.wait_for_more(50));
        ASSERT_TRUE(move.segue().change(verb));
        EXPECT_TRUE(another->wait_status("/authority", authority));
    }
    EXPECT_TRUE(own.wait_for_more(50));
    EXPECT_TRUE(others.wait_for_more(50));
    own.stop();
    others.stop();
    std::vector<Attempt> journal = own.journal();
    for (const Attempt& attempt : others.journal()) journal.push_back(attempt);
    move.expect_equal_soon();
    expect_journal(move.superuser(move.source()), journal);
    expect_no_client_noticed(own.report());
}

}  // namespace
}  // namespace segue::test
