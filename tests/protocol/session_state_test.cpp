// A session's state, asked of a real server and put onto another connection, or onto another server.

#include "protocol/postgres/session_state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <string_view>

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "protocol/postgres/messages_startup.hpp"
#include "tests/support/postgres_server.hpp"

namespace segue::protocol::postgres {
namespace {

using namespace std::string_literals;
using test::PostgresServer;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

// A client that speaks bytes, as the relay sees them.
class Wire {
public:
    explicit Wire(const PostgresServer& server, const std::string& user = "postgres") : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
        const std::string url = server.socket_url();
        const std::string path = server_socket(server);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path.c_str(), path.size());
        if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) ADD_FAILURE() << path << std::strerror(errno);
        write(encode_startup({protocol_3_0, {{"user", user}, {"database", "postgres"}}, {}}));
        until_ready();
    }
    ~Wire() { ::close(fd_); }
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;

    // As a client: what it sends is seen by the hints.
    std::string send(const std::string& request) {
        boundary.client(bytes(request), [this](const Piece& piece) { hints.see(piece); });
        write(request);
        return until_ready();
    }
    std::string query(std::string_view sql) {
        std::string request;
        append(request, Query{sql});
        return send(request);
    }
    // As Segue: behind the client's back. `parse` is called until it has enough.
    template <class Parse>
    auto ask(const std::string& request, Parse parse) {
        write(request);
        std::string reply;
        for (;;) {
            auto step = parse(bytes(reply));
            if (!std::holds_alternative<NeedMore>(step)) return step;
            read_some(reply, 1);
        }
    }
    SessionState probe() {
        auto step = ask(probe_request(hints), [this](Bytes reply) { return parse_probe_reply(reply, hints); });
        if (auto* error = std::get_if<Error>(&step)) ADD_FAILURE() << error->detail;
        return std::get<SessionState>(step);
    }
    void restore(const SessionState& state) {
        TypeOids oids;
        if (const std::string request = resolve_request(state); !request.empty()) {
            auto step = ask(request, [&state](Bytes reply) { return parse_resolve_reply(reply, state); });
            if (auto* error = std::get_if<Error>(&step)) ADD_FAILURE() << error->detail;
            oids = std::get<TypeOids>(step);
        }
        const auto request = restore_request(state, oids);
        ASSERT_TRUE(request) << request.error().detail;
        const auto step = ask(*request, check_restore_reply);
        if (const auto* error = std::get_if<Error>(&step)) ADD_FAILURE() << error->detail << error->sqlstate;
    }
    Step<Done> run(const std::string& request) { return ask(request, check_restore_reply); }
    std::string values(std::string_view sql) {
        std::string found;
        const std::string reply = query(sql);
        for (Bytes rest = bytes(reply); !rest.empty();) {
            const auto frame = std::get<Frame>(next_frame(rest, 1u << 30));
            if (frame.tag == 'D') found += std::string{(*parse_data_row(frame.body))[0].value_or("NULL")} + "|";
            if (frame.tag == 'E') found += std::string{"error "} + std::string{parse_error_fields(frame.body)->message};
            rest = rest.subspan(frame.wire.size());
        }
        return found;
    }

    Boundary boundary;
    StateHints hints;

private:
    static std::string server_socket(const PostgresServer& server) {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(server.folder(), std::filesystem::directory_options::skip_permission_denied)) {
            if (entry.path().filename() == ".s.PGSQL." + std::to_string(server.port())) return entry.path().string();
        }
        return {};
    }
    void write(const std::string& data) { ASSERT_EQ(::send(fd_, data.data(), data.size(), MSG_NOSIGNAL), static_cast<ssize_t>(data.size())); }
    void read_some(std::string& into, std::size_t size_min) {
        std::array<char, 65536> chunk;
        const ssize_t size = ::recv(fd_, chunk.data(), chunk.size(), 0);
        ASSERT_GE(size, static_cast<ssize_t>(size_min));
        into.append(chunk.data(), static_cast<std::size_t>(size));
    }
    std::string until_ready() {
        std::string reply;
        for (bool ready = false; !ready && !testing::Test::HasFatalFailure();) {
            read_some(reply, 1);
            ready = reply.size() >= 6 && std::string_view{reply}.substr(reply.size() - 6, 5) == std::string_view{"Z\0\0\0\5", 5};
        }
        return reply;
    }
    int fd_;
};

std::string prepared(std::string_view name, std::string_view text, const std::vector<std::uint32_t>& types = {}) {
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
        server->run("CREATE SCHEMA \"Odd schema\"; CREATE TYPE \"Odd schema\".mood AS ENUM ('sad', 'glad'); CREATE ROLE worker; GRANT USAGE ON SCHEMA \"Odd schema\" TO worker");
    }
    Wire client{source};
    client.query("SET search_path = 'Odd schema', public; SET work_mem = '7MB'; SET DateStyle = 'SQL, DMY'; SET statement_timeout = '90s'");
    client.query("SET my.tenant = 'seven''s'; SET ROLE worker");
    client.query("PREPARE by_sql (mood) AS SELECT $1::text; SELECT ';' || $$PREPARE by_sql AS SELECT 0;$$");
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
    expected.statements[0].text = "PREPARE by_sql (mood) AS SELECT $1::text";  // Alone; the client's string held more.
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
    EXPECT_EQ(other.values("SELECT current_user || current_setting('work_mem') || current_setting('statement_timeout')"), "worker7MB90s|");
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

TEST(SessionState, NamesWhatCannotMove) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer server;
    Wire client{server};
    client.query("CREATE TEMP TABLE \"my t\" (a int); SELECT pg_advisory_lock(7)");
    client.query("CREATE TYPE pg_temp.mood AS ENUM ('fine'); CREATE OPERATOR pg_temp.@@ (leftarg = int4, rightarg = int4, "
                 "procedure = int4mi)");
    client.query("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT");
    client.send(prepared("", "SELECT set_config($1, $2, false)"));
    EXPECT_THAT(client.probe().pins, ElementsAre("advisory lock 0,7", "cursor WITH HOLD c",
                                                 testing::MatchesRegex("temporary operator .*@@.*"),
                                                 "temporary table \"my t\"", "temporary type mood",
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
    for (const auto& cells : std::vector<std::array<std::string, 5>>{{"setting", "work_mem", "5", "", ""}, {"role", "none", "app", "", ""}}) {
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
        EXPECT_TRUE(std::holds_alternative<NeedMore>(parse_probe_reply(bytes(std::string_view{reply}.substr(0, size)), hints)));
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
