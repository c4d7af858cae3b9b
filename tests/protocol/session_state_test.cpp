// A session's state, asked of a real server and put onto another connection, or onto another
// server.

#include "protocol/postgres/session_state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

#include "protocol/postgres/messages_client.hpp"
#include "wire.hpp"

namespace segue::protocol::postgres {
namespace {

using namespace std::string_literals;
using test::PostgresServer;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

std::string prepared(std::string_view name,
                     std::string_view text,
                     const std::vector<std::uint32_t>& types = {}) {
    std::string request;
    append(request, Parse{name, text, types});
    append_sync(request);
    return request;
}

TEST(SessionState, CarriesEverythingToAnotherServer) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source, target;
    target.run("CREATE TYPE filler AS ENUM ('x')");  // So that the OIDs differ.
    for (const PostgresServer* server : {&source, &target}) {
        server->run(
            "CREATE SCHEMA \"Odd schema\"; CREATE TYPE \"Odd schema\".mood AS ENUM ('sad', "
            "'glad'); CREATE ROLE worker; GRANT USAGE ON SCHEMA \"Odd schema\" TO worker");
    }
    Wire client{source};
    client.query(
        "SET search_path = 'Odd schema', public; SET work_mem = '7MB'; SET DateStyle = 'SQL, DMY'; "
        "SET statement_timeout = '90s'");
    client.query("SET my.tenant = 'seven''s'; SET ROLE worker");
    client.query(
        "PREPARE by_sql (mood) AS SELECT $1::text; SELECT ';' || $$PREPARE by_sql AS SELECT 0;$$");
    client.query("LISTEN \"Some channel\"");
    client.send(prepared("typed", "SELECT $1, $2::mood", {1043, 0}));
    client.send(prepared("", "SELECT 42 AS unnamed"));

    const SessionState state = client.probe();
    EXPECT_THAT(state.pins, IsEmpty());
    EXPECT_THAT(state.custom_settings, ElementsAre(Pair("my.tenant", "seven's")));
    EXPECT_EQ(state.role, "worker");
    EXPECT_THAT(state.channels, ElementsAre("Some channel"));
    ASSERT_EQ(state.statements.size(), 2u);
    EXPECT_EQ(state.statements[1].parameter_types[1].name, "mood");

    Wire other{target};
    other.restore(state);
    other.hints = client.hints;
    SessionState expected = state;
    expected.statements[0].text =
        "PREPARE by_sql (mood) AS SELECT $1::text";  // Alone; the client's string held more.
    EXPECT_TRUE(is_equal(expected, other.probe()));
    // The unnamed statement has survived both probes, and works on the other side.
    std::string bind;
    append(bind, Bind{"", "", {}, {}, {}});
    append(bind, Execute{"", 0});
    append_sync(bind);
    EXPECT_THAT(other.send(bind), HasSubstr("42"));
    EXPECT_THAT(client.send(bind), HasSubstr("42"));
    EXPECT_EQ(other.values("SELECT current_setting('my.tenant')"), "seven's|");
    EXPECT_EQ(other.values("EXECUTE by_sql('glad')"), "glad|");
    EXPECT_EQ(other.values("SELECT name FROM pg_prepared_statements ORDER BY 1"), "by_sql|typed|");
    EXPECT_EQ(other.values("SELECT current_user || current_setting('work_mem') || "
                           "current_setting('statement_timeout')"),
              "worker7MB90s|");
    bind.clear();
    append(bind, Bind{"", "typed", {}, {"a", "sad"}, {}});
    append(bind, Execute{"", 0});
    append_sync(bind);
    EXPECT_THAT(other.send(bind), HasSubstr("sad"));
}

TEST(SessionState, ResetsAndRestoresOverAnOldState) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer server;
    Wire client{server}, other{server};
    client.query("SET work_mem = '5MB'");
    client.send(prepared("old", "SELECT 1"));
    other.restore(client.probe());
    client.query("SET work_mem = '6MB'; DEALLOCATE old; LISTEN later");
    const SessionState now = client.probe();
    EXPECT_FALSE(is_equal(now, other.probe()));
    EXPECT_TRUE(std::holds_alternative<Done>(other.run(reset_request())));
    other.restore(now);
    EXPECT_TRUE(is_equal(now, other.probe()));
    EXPECT_TRUE(std::holds_alternative<Done>(other.run(execute_request("UNLISTEN *"))));
    EXPECT_FALSE(is_equal(now, other.probe()));
}

TEST(SessionState, LeavesBehindASettingThatTheOtherVersionLacks) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer server;
    Wire client{server}, other{server};
    client.query("SET work_mem = '5MB'; SET lock_timeout = '5s'; SET my.tenant = 'x'");
    const SessionState plain = client.probe();
    SessionState newer = plain;
    newer.settings.emplace_back("setting_of_another_version", "1");
    other.hints = client.hints;
    other.restore(newer);
    EXPECT_TRUE(is_equal(plain, other.probe()));
}

TEST(SessionState, CarriesSessionAuthorizationAndRoleThereAndBack) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source, target;
    for (const PostgresServer* server : {&source, &target}) {
        server->run("CREATE ROLE boss LOGIN; CREATE ROLE worker; GRANT worker TO boss");
    }
    Wire client{source}, there{target}, back{source};
    client.query("SET work_mem = '5MB'; SET SESSION AUTHORIZATION boss; SET ROLE worker");
    there.restore(client.probe());
    back.restore(there.probe());
    for (Wire* wire : {&client, &there, &back}) {
        EXPECT_EQ(
            wire->values(
                "SELECT session_user || ',' || current_user || ',' || current_setting('work_mem')"),
            "boss,worker,5MB|");
        EXPECT_EQ(wire->values("RESET ROLE; RESET SESSION AUTHORIZATION; SELECT current_user"),
                  "postgres|");
    }
}

TEST(SessionState, NamesWhatCannotMove) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer server;
    Wire client{server};
    client.query("CREATE TEMP TABLE \"my t\" (a int); SELECT pg_advisory_lock(7)");
    client.query(
        "CREATE TYPE pg_temp.mood AS ENUM ('fine'); CREATE OPERATOR pg_temp.@@ (leftarg = int4, "
        "rightarg = int4, "
        "procedure = int4mi)");
    client.query("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT");
    client.send(prepared("", "SELECT set_config($1, $2, false)"));
    EXPECT_THAT(client.probe().pins,
                ElementsAre("advisory lock 0,7",
                            "cursor WITH HOLD c",
                            testing::MatchesRegex("temporary operator .*@@.*"),
                            "temporary table \"my t\"",
                            "temporary type mood",
                            "custom settings whose names cannot be known"));
}

TEST(SessionState, ForgetsAnUnnamedStatementThatTheServerRefused) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer server;
    Wire client{server};
    client.send(prepared("", "SELECT nonsense FROM nowhere"));
    EXPECT_EQ(client.probe().unnamed_parse, "");
    client.send(prepared("", "SELECT 1"));
    EXPECT_NE(client.probe().unnamed_parse, "");
}

TEST(SessionState, ReportsTheServersRefusalOfARestore) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer server;
    Wire client{server};
    SessionState state = client.probe();
    state.statements.push_back({"s", "SELECT * FROM nowhere", {}, false});
    const auto refused = client.run(*restore_request(state, {}));
    ASSERT_TRUE(std::holds_alternative<Error>(refused));
    EXPECT_EQ(std::get<Error>(refused).sqlstate, "42P01");
    state.statements = {{"s", "EXECUTE something_else", {}, true}};
    EXPECT_THAT(restore_request(state, {}).error().detail, HasSubstr("cannot be found"));
    state.statements = {{"s", "SELECT $1", {{99999, "public", "gone"}}, false}};
    EXPECT_THAT(restore_request(state, {}).error().detail, HasSubstr("\"public\".\"gone\""));
}

TEST(SessionState, ProbeReplyNeedsMoreAtEverySplitAndNeverEarlier) {
    std::string reply = "1\0\0\0\4"s;
    for (const auto& cells : std::vector<std::array<std::string, 5>>{
             {"setting", "work_mem", "5", "", ""}, {"role", "none", "app", "", ""}}) {
        std::string body;
        ByteWriter writer{body};
        writer.big_endian(std::uint16_t{5});
        for (const std::string& cell : cells) {
            writer.big_endian(static_cast<std::int32_t>(cell.size()));
            writer.raw(cell);
        }
        append_message(reply, 'D', body);
    }
    std::string notification;
    append_message(notification, 'A', "some notification");
    reply += notification;
    append_message(reply, 'Z', "I");
    const StateHints hints;
    for (std::size_t size = 0; size < reply.size(); ++size) {
        SCOPED_TRACE(size);
        EXPECT_TRUE(std::holds_alternative<NeedMore>(
            parse_probe_reply(bytes(std::string_view{reply}.substr(0, size)), hints)));
    }
    const auto step = parse_probe_reply(bytes(reply), hints);
    ASSERT_TRUE(std::holds_alternative<SessionState>(step));
    EXPECT_THAT(std::get<SessionState>(step).settings, ElementsAre(Pair("work_mem", "5")));
    EXPECT_EQ(messages_for_client(bytes(reply)), notification);
    std::string bent = reply;
    bent[9] = 'x';  // A row of more columns than bytes.
    EXPECT_TRUE(std::holds_alternative<Error>(parse_probe_reply(bytes(bent), hints)) ||
                std::holds_alternative<NeedMore>(parse_probe_reply(bytes(bent), hints)));
}

}  // namespace
}  // namespace segue::protocol::postgres
