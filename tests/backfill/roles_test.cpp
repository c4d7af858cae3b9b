#include "backfill/postgres/roles.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

using test::Databases;

TEST(PostgresRoles, AreCopiedWithPasswordsMembershipsAndSettings) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    auto& source_server = Databases::server(Side::source);
    auto& target_server = Databases::server(Side::target);
    source_server.run(
        "CREATE ROLE staff NOLOGIN CREATEDB; CREATE ROLE \"an app\" LOGIN PASSWORD 'secret'"
        " CONNECTION LIMIT 5 VALID UNTIL '2099-01-01' IN ROLE staff;"
        " CREATE ROLE known LOGIN PASSWORD 'here'; CREATE ROLE group_of_them ADMIN known");
    source_server.run(
        "ALTER ROLE \"an app\" SET search_path = 'a', 'b, c'; ALTER ROLE known SET my.tenant = 'x "
        "y'");
    source_server.run("ALTER ROLE known IN DATABASE " + databases.database() +
                      " SET work_mem = '7MB'");
    target_server.run(
        "CREATE ROLE known LOGIN CREATEDB PASSWORD 'there'; CREATE ROLE only_here LOGIN");

    source_server.run("CREATE ROLE ours LOGIN SUPERUSER PASSWORD 'a'");
    target_server.run("CREATE ROLE ours LOGIN SUPERUSER PASSWORD 'b'");
    Connection source = databases.open(Side::source, "", "ours");
    auto another = Connection::open(databases.url(Side::target, "ours", "another password"), {});
    ASSERT_TRUE(another);
    Connection& target = *another;
    const auto names = [&] { return roles_to_change(*read_roles(source), *read_roles(target)); };
    const auto before = names();
    EXPECT_NE(std::find(before.begin(), before.end(), "an app"), before.end());
    const std::string ours =
        target_server.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'ours'");
    for (int pass = 0; pass < 2; ++pass) {
        const Status synchronised = sync_roles(source, target);
        ASSERT_TRUE(synchronised) << synchronised.error().detail;
    }
    EXPECT_EQ(names(),
              std::vector<std::string>{"ours"});  // Our own password is the configuration's.
    EXPECT_EQ(target_server.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'ours'"),
              ours);
    // Where it is the same on both sides nothing is in the way of the application's using that role
    // too.
    Connection same = databases.open(Side::target, "", "ours");
    ASSERT_TRUE(sync_roles(source, same));
    EXPECT_EQ(names(), std::vector<std::string>{});
    const std::string whole =
        "SELECT string_agg(r::text, ',' ORDER BY rolname) FROM (SELECT rolname, rolcreatedb, "
        "rolcanlogin,"
        " rolconnlimit, rolvaliduntil, rolpassword, (SELECT array_agg(roleid::regrole::text) FROM"
        " pg_auth_members m WHERE member = a.oid), (SELECT array_agg(setconfig ORDER BY "
        "setdatabase > 0) FROM"
        " pg_db_role_setting WHERE setrole = a.oid) FROM pg_authid a WHERE rolname IN ('staff', "
        "'an app',"
        " 'group_of_them')) r";
    EXPECT_EQ(target_server.value(whole), source_server.value(whole));
    const std::string known =
        "SELECT rolpassword || (SELECT string_agg(setconfig::text, ',' ORDER BY setdatabase > 0) "
        "FROM"
        " pg_db_role_setting WHERE setrole = a.oid) FROM pg_authid a WHERE rolname = 'known'";
    EXPECT_EQ(target_server.value(known), source_server.value(known));
    // Nothing is taken away.
    EXPECT_EQ(target_server.value("SELECT rolcreatedb FROM pg_authid WHERE rolname = 'known'"),
              "t");
    EXPECT_EQ(target_server.value("SELECT count(*) FROM pg_authid WHERE rolname = 'only_here'"),
              "1");
}

}  // namespace
}  // namespace segue::backfill::postgres
