// A start whose description of the schema was taken while the schema was changed, each time.

#include <gmock/gmock.h>

#include <thread>

#include "tests/backfill/mover_fixture.hpp"
#include "tests/support/sql.hpp"

namespace segue::backfill {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class DdlTorn : public MoverTest {
protected:
    void SetUp() override {
        MoverTest::SetUp();
        if (IsSkipped()) return;
        carry_ddl = true;
        databases->run(Side::source,
                       "CREATE TABLE public.t (id int PRIMARY KEY);"
                       " CREATE VIEW public.v AS SELECT * FROM public.t");
        // Restoring fails, for whatever reason.
        databases->run(Side::target,
                       "CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS"
                       " 'BEGIN RAISE EXCEPTION SQLSTATE ''0A000''; END'; CREATE EVENT TRIGGER"
                       " refuse ON ddl_command_start WHEN TAG IN ('CREATE VIEW') EXECUTE FUNCTION"
                       " public.refuse()");
    }
};

TEST_F(DdlTorn, IsRefusedWithTheWayOutWhereItsDescriptionMayBeTheReason) {
    constexpr int descriptions = 3;
    test::Sql app{databases->url(Side::source)}, open{databases->url(Side::source)},
        keeper{databases->url(Side::source)};
    open.query("BEGIN; SELECT pg_current_xact_id()");
    Status prepared = Done{};
    std::jthread preparing{[&] { prepared = try_to_prepare(); }};
    ASSERT_TRUE(test::eventually(60s, [&] {
        return databases->value(Side::source,
                                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name"
                                " = 'segue' AND datname = current_database() AND strpos(query,"
                                " 'pg_xact_status') > 0)") == "t";
    }));
    const std::string keep = "BEGIN; LOCK TABLE segue.ticket IN SHARE MODE";
    keeper.query(keep);
    open.query("COMMIT");
    for (int i = 0; i < descriptions; ++i) {
        // The moment of the description is behind it; what is done now is not in it.
        ASSERT_TRUE(databases->asked_again(Side::source, "segue.ticket"));
        app.query("CREATE TABLE public.during_" + std::to_string(i) + " (id int PRIMARY KEY)");
        if (i + 1 < descriptions) {
            // Keeps the next one from beginning.
            open.query("BEGIN; CREATE TABLE public.open_" + std::to_string(i) +
                       " (id int PRIMARY KEY)");
        }
        keeper.query("COMMIT");
        if (i + 1 == descriptions) break;
        ASSERT_TRUE(databases->asked_again(Side::source, "segue.ddl"));
        keeper.query(keep);
        open.query("COMMIT");
    }
    preparing.join();
    ASSERT_FALSE(prepared);
    EXPECT_THAT(prepared.error().detail,
                AllOf(HasSubstr("cannot create VIEW public v"),
                      HasSubstr("begin anew when the schema is changed less: `segue finish`, stop"
                                " `segue run`, DROP SCHEMA segue CASCADE on both sides")));
}

TEST_F(DdlTorn, IsRefusedInPlainWordsWhereItsDescriptionIsOfOneMoment) {
    const Status prepared = try_to_prepare();
    ASSERT_FALSE(prepared);
    EXPECT_THAT(prepared.error().detail,
                AllOf(HasSubstr("cannot create VIEW public v"), Not(HasSubstr("begin anew"))));
}

}  // namespace
}  // namespace segue::backfill
