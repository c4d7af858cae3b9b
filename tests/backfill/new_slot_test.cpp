#include "backfill/postgres/new_slot.hpp"

#include <thread>

#include "tests/backfill/mover_fixture.hpp"
#include "tests/support/sql.hpp"

namespace segue::backfill {
namespace {

using NewSlot = MoverTest;

// The order that makes a slot which PostgreSQL itself cannot decode: a TRUNCATE while the slot is
// being created, with an older transaction open, and then a change of that table before the slot is
// ready.
TEST_F(NewSlot, IsReadableWhereATableWasTruncatedWhileItWasCreated) {
    databases->run(Side::source, "CREATE TABLE public.t (id int PRIMARY KEY)");
    const auto somebody_waits_for = [&](const std::string& transaction) {
        return test::eventually(30s, [&] {
            return databases->value(Side::source,
                                    "SELECT count(*) FROM pg_locks WHERE locktype = "
                                    "'transactionid' AND NOT granted"
                                    " AND transactionid = '" +
                                        transaction + "'") != "0";
        });
    };
    const std::string begin = "BEGIN; SELECT pg_current_xact_id()";
    test::Sql before{databases->url(Side::source)}, older{databases->url(Side::source)},
        across{databases->url(Side::source)};
    const std::string first = before.value(begin);
    std::jthread creating{[&] { prepare(); }};
    ASSERT_TRUE(somebody_waits_for(first));
    const std::string second = older.value(begin);
    databases->run(Side::source, "TRUNCATE public.t");
    before.query("COMMIT");
    ASSERT_TRUE(somebody_waits_for(second));
    across.query("BEGIN; INSERT INTO public.t VALUES (1)");
    older.query("COMMIT");
    EXPECT_TRUE(test::eventually(30s, [&] {
        return databases->value(Side::source,
                                "SELECT obj_description('segue'::regnamespace) IS NOT NULL") == "t";
    }));
    // Whoever spans the slot's beginning is waited for.
    EXPECT_EQ(databases->value(Side::target, "SELECT count(*) FROM segue.progress"), "0");
    across.query("INSERT INTO public.t VALUES (2); COMMIT");
    creating.join();
    if (HasFatalFailure()) return;
    databases->run(Side::source, "INSERT INTO public.t VALUES (3)");
    start();
    wait_consistent(30s);
    if (HasFatalFailure()) return;
    catch_up();
    expect_same();
}

// For whom the operator is to look.
TEST_F(NewSlot, NamesTheOldestTransactionThatIsStillOpen) {
    databases->run(Side::source, "CREATE TABLE public.t (id int PRIMARY KEY)");
    prepare();
    if (HasFatalFailure()) return;
    test::Sql older{databases->url(Side::source)}, younger{databases->url(Side::source)};
    older.query("SET application_name = 'a report'; BEGIN; INSERT INTO public.t VALUES (1)");
    younger.query("BEGIN; INSERT INTO public.t VALUES (2)");
    const std::string pid = older.value("SELECT pg_backend_pid()");
    auto owner = databases->open(Side::source, record.migration_id);
    const auto position = postgres::first_readable(owner, Clock::now() + 300ms);
    ASSERT_FALSE(position);
    EXPECT_EQ(position.error().code, Errc::timed_out);
    const std::string& told = position.error().detail;
    for (const std::string& piece : {"The oldest is the transaction of server process " + pid,
                                     std::string{"a report"},
                                     "pg_terminate_backend(" + pid + ")"})
        EXPECT_NE(told.find(piece), std::string::npos) << told;
}

}  // namespace
}  // namespace segue::backfill
