// Logins through Segue's own listener to real servers: every authentication method, with and
// without TLS on either leg, refusals in the server's own words, and a change of authority in the
// middle of a login.

#include "proxy/login.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_startup.hpp"
#include "tests/proxy/login_rig.hpp"

namespace segue::proxy {
namespace {

using ::testing::HasSubstr;

struct Method {
    ServerAuth auth;
    const char* name;
};
class LoginBy : public testing::TestWithParam<Method> {};

TEST_P(LoginBy, WorksThroughSegueAndAgainOnTheOtherSide) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source{ServerOptions{.auth = GetParam().auth, .tls = true}};
    const PostgresServer target{ServerOptions{.auth = GetParam().auth, .tls = true}};
    create_roles(source);
    copy_verifier(source, target);
    Front front{config_of(source), config_of(target), true, source};
    front.run();
    for (const char* mode : {"sslmode=disable", "sslmode=require"}) {
        SCOPED_TRACE(mode);
        const Client client = connect(front.url("app", "secret", mode));
        expect_logged_in(client, front, source);
        // During the change of authority a login on the source is overtaken, and done again on the
        // target with the kept credentials.
        std::atomic<bool> changed{false};
        front.sink.before_adopt = [&] {
            if (changed.exchange(true)) return;
            front.traffic.authority = Side::target;
            front.traffic.epoch = front.traffic.epoch.load() + 1;
        };
        const Client moved = connect(front.url("app", "secret", mode));
        front.sink.before_adopt = nullptr;
        expect_logged_in(moved, front, target);
        EXPECT_EQ(front.sink.sessions.back()->backend.side, Side::target);
        EXPECT_EQ(front.sink.sessions.back()->client_types, Side::target);
        EXPECT_EQ(front.sink.sessions.back()->backend.transport.uses_tls(),
                  std::string_view{mode} == "sslmode=require");
        front.traffic.authority = Side::source;
    }
}

TEST_P(LoginBy, RefusesAWrongPasswordInTheServersOwnWords) {
    SEGUE_NEEDS_POSTGRES();
    if (GetParam().auth == ServerAuth::trust) GTEST_SKIP() << "trust knows no wrong password";
    const PostgresServer source{ServerOptions{.auth = GetParam().auth, .tls = true}};
    create_roles(source);
    Front front{config_of(source), config_of(source), true, source};
    front.run();
    for (const char* user : {"app", "weak", "nobody"}) {
        SCOPED_TRACE(user);
        const Client client = connect(front.url(user, "wrong", "sslmode=require"));
        EXPECT_EQ(PQstatus(client.get()), CONNECTION_BAD);
        EXPECT_THAT(
            PQerrorMessage(client.get()),
            HasSubstr("password authentication failed for user \"" + std::string{user} + "\""));
    }
    EXPECT_TRUE(front.sink.sessions.empty());
}

INSTANTIATE_TEST_SUITE_P(Methods,
                         LoginBy,
                         testing::Values(Method{ServerAuth::trust, "trust"},
                                         Method{ServerAuth::password, "password"},
                                         Method{ServerAuth::md5, "md5"},
                                         Method{ServerAuth::scram, "scram"}),
                         [](const auto& method) { return std::string{method.param.name}; });

TEST(Login, BindsScramToTheChannelOnBothLegs) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source{
        ServerOptions{.auth = ServerAuth::scram, .tls = true, .tls_only = true}};
    create_roles(source);
    Front front{config_of(source), config_of(source), true, source};
    front.run();
    const Client bound =
        connect(front.url("app", "secret", "sslmode=require channel_binding=require"));
    expect_logged_in(bound, front, source);
    const Client plain = connect(front.url("app", "secret", "sslmode=disable"));
    EXPECT_EQ(PQstatus(plain.get()), CONNECTION_BAD);
    EXPECT_THAT(PQerrorMessage(plain.get()), HasSubstr("no pg_hba.conf entry"));
}

TEST(Login, RelaysScramWhereTheVerifierCannotBeReadAndSaysWhyItCannotMove) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source{ServerOptions{.auth = ServerAuth::scram}};
    create_roles(source);
    ServerConfig config = config_of(source);
    config.connection = source.url("postgres", "app", "secret");  // May not read pg_authid.
    Front front{config, config, false, source};
    front.run();
    const Client client = connect(front.url("app", "secret"));
    expect_logged_in(client, front, source, false);
    EXPECT_THAT(front.sink.sessions.back()->immovable_because, HasSubstr("pg_authid"));
    const Client wrong = connect(front.url("app", "wrong"));
    EXPECT_THAT(PQerrorMessage(wrong.get()), HasSubstr("password authentication failed"));
}

TEST(Login, ForwardsParametersAndRefusalsAsTheyAre) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source;
    create_roles(source);
    source.run("CREATE DATABASE elsewhere");
    Front front{config_of(source), config_of(source), false, source};
    front.run();
    const Client named = connect(front.url(
        "app", "secret", "sslmode=disable application_name=shop options='-c work_mem=5MB'"));
    expect_logged_in(named, front, source);
    EXPECT_STREQ(PQparameterStatus(named.get(), "application_name"), "shop");
    const Client bad =
        connect(front.url("app", "secret", "sslmode=disable options='-c no_such=1'"));
    EXPECT_THAT(PQerrorMessage(bad.get()),
                HasSubstr("unrecognized configuration parameter \"no_such\""));
    const Client missing = connect(front.url("app", "secret", "sslmode=disable dbname=nowhere"));
    EXPECT_THAT(PQerrorMessage(missing.get()), HasSubstr("database \"nowhere\" does not exist"));
    const Client other = connect(front.url("app", "secret", "sslmode=disable dbname=elsewhere"));
    expect_logged_in(other, front, source, false);
    EXPECT_TRUE(front.sink.sessions.back()->passed_through);
}

TEST(Login, ReplicationGoesToTheAuthorityAndStays) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source, target;
    Front front{config_of(source), config_of(target), false, source};
    front.config.other_databases = OtherDatabases::refuse;
    front.run();
    for (const PostgresServer* authority : {&source, &target}) {
        front.traffic.authority = authority == &source ? Side::source : Side::target;
        for (const char* kind : {"replication=true dbname=replication", "replication=database"}) {
            SCOPED_TRACE(kind);
            const Client client =
                connect(front.url("postgres", "x", std::string{"sslmode=disable "} + kind));
            ASSERT_EQ(PQstatus(client.get()), CONNECTION_OK) << PQerrorMessage(client.get());
            const Session& session = *front.sink.sessions.back();
            const std::string pid = std::to_string(session.backend.pid);
            EXPECT_EQ(
                authority->value("SELECT backend_type FROM pg_stat_activity WHERE pid = " + pid),
                "walsender");
            EXPECT_TRUE(session.passed_through && session.replication && !session.movable);
        }
        for (const char* none : {"f", "Off", "0", "NO"}) {
            SCOPED_TRACE(none);
            const Client client = connect(
                front.url("postgres", "x", std::string{"sslmode=disable replication="} + none));
            ASSERT_EQ(PQstatus(client.get()), CONNECTION_OK) << PQerrorMessage(client.get());
            EXPECT_TRUE(front.sink.sessions.back()->movable);
        }
    }
}

TEST(Login, NamesTheSideThatCannotBeReached) {
    SEGUE_NEEDS_POSTGRES();
    PostgresServer source;
    Front front{config_of(source), config_of(source), false, source};
    front.run();
    source.stop();
    const Client client = connect(front.url("app", "secret"));
    EXPECT_THAT(PQerrorMessage(client.get()), HasSubstr("the source (127.0.0.1:"));
    EXPECT_THAT(PQerrorMessage(client.get()), HasSubstr("cannot be reached"));
}

TEST(Login, TellsAtOnceThatTheAuthorityIsDown) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer any;
    Front front{config_of(any), config_of(any), false, any};
    front.traffic.serving = false;
    front.unreachable = "the source and the target cannot be reached";
    front.run();
    const auto before = std::chrono::steady_clock::now();
    const Client client = connect(front.url("app", "secret"));
    EXPECT_THAT(PQerrorMessage(client.get()),
                HasSubstr("the source and the target cannot be reached"));
    EXPECT_LT(std::chrono::steady_clock::now() - before, front.config.login_timeout / 2);
}

TEST(Login, WaitsWhileAHoldIsInForceAndNotLongerThanItsTimeout) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source;
    create_roles(source);
    Front front{config_of(source), config_of(source), false, source};
    front.config.login_timeout = std::chrono::milliseconds{300};
    front.traffic.holding = true;
    front.run();
    const Client late = connect(front.url("app", "secret"));
    EXPECT_THAT(PQerrorMessage(late.get()), HasSubstr("a change of authority is in progress"));
    front.traffic.holding = false;
    front.traffic.serving = false;
    const Client early = connect(front.url("app", "secret"));
    EXPECT_THAT(PQerrorMessage(early.get()), HasSubstr("which database is the authority"));
    front.traffic.serving = true;
    const Client client = connect(front.url("app", "secret"));
    expect_logged_in(client, front, source);
}

// The fence of a change that was given up ends the connections that it did not know of.
TEST(Login, OpensAnewAConnectionThatWasEndedByAnAbortedChange) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source;
    create_roles(source);
    Front front{config_of(source), config_of(source), false, source};
    front.run();
    std::atomic<bool> overtaken{false};
    front.sink.before_adopt = [&] {
        if (overtaken.exchange(true)) return;
        EXPECT_EQ(source.value("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                               "WHERE usename = 'app'"),
                  "t");
        front.traffic.epoch = front.traffic.epoch.load() + 1;
    };
    const Client client = connect(front.url("app", "secret"));
    expect_logged_in(client, front, source);
}

TEST(Login, AClientThatSaysNothingIsLetGo) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source;
    Front front{config_of(source), config_of(source), false, source};
    front.config.login_timeout = std::chrono::milliseconds{200};
    front.run();
    const Client silent{PQconnectStart(front.url("app", "secret", "sslmode=require").c_str())};
    ASSERT_NE(PQsocket(silent.get()), -1);
    // Never polled further: nothing is sent. The peer closes.
    char byte = 0;
    const int flags = 0;
    pollfd ready{PQsocket(silent.get()), POLLIN, 0};
    ASSERT_EQ(::poll(&ready, 1, 5000), 1);
    EXPECT_LE(::recv(PQsocket(silent.get()), &byte, 1, flags), 0);
}

TEST(Login, ForwardsACancelRequestToTheBackendOfThatSession) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source;
    create_roles(source);
    Front front{config_of(source), config_of(source), false, source};
    front.run();
    const Client client = connect(front.url("app", "secret"));
    expect_logged_in(client, front, source);
    Session& session = *front.sink.sessions.back();
    // The backend sleeps on the session's behalf; there is no relay in this test.
    const std::string query{"Q\0\0\0\x18SELECT pg_sleep(60)\0", 25};
    ASSERT_EQ(session.backend.transport.write_some(bytes(query)).io, Io::ok);
    const std::string sleeping =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds{10};
    while (source.value(sleeping) != "1" && std::chrono::steady_clock::now() < patience) {
    }
    const std::unique_ptr<PGcancel, void (*)(PGcancel*)> cancel{PQgetCancel(client.get()),
                                                                PQfreeCancel};
    std::array<char, 256> why{};
    EXPECT_EQ(PQcancel(cancel.get(), why.data(), static_cast<int>(why.size())), 1) << why.data();
    pollfd ready{session.backend.transport.fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&ready, 1, 10000), 1);
    std::array<std::byte, 4096> buffer{};
    const IoOutcome read = session.backend.transport.read_some(buffer);
    EXPECT_THAT(std::string{text(Bytes{buffer}.first(read.size))}, HasSubstr("57014"));
}

// A server that speaks the protocol's newest version, or says that it does not; lets everybody in,
// and takes cancel requests.
class NewServer {
public:
    explicit NewServer(bool speaks_3_2) {
        listening_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::bind(listening_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(::listen(listening_, 4), 0);
        socklen_t size = sizeof address;
        ::getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size);
        port = ntohs(address.sin_port);
        thread_ = std::thread{[this, speaks_3_2] { serve(speaks_3_2); }};
    }
    ~NewServer() {
        thread_.join();
        for (const int fd : {session_, listening_}) ::close(fd);
    }

    std::uint16_t port = 0;
    struct Seen {
        std::uint32_t version = 0;
        std::string cancel;
    };
    // Waits for the cancel request.
    Seen seen() { return seen_.get_future().get(); }

private:
    void serve(bool speaks_3_2) {
        session_ = ::accept(listening_, nullptr, nullptr);
        char packet[1000];
        EXPECT_GE(::recv(session_, packet, sizeof packet, 0), 8);
        Seen seen{ByteReader{bytes(std::string_view{packet + 4, 4})}.big_endian<std::uint32_t>(),
                  {}};
        std::string answer;
        using protocol::postgres::append_message;
        if (!speaks_3_2) append_message(answer, 'v', std::string_view{"\0\3\0\0\0\0\0\0", 8});
        append_message(answer, 'R', std::string_view{"\0\0\0\0", 4});
        append_message(answer, 'K', std::string("\0\0\0\7", 4) + key(speaks_3_2));
        append_message(answer, 'Z', "I");
        EXPECT_GT(::send(session_, answer.data(), answer.size(), MSG_NOSIGNAL), 0);
        const int cancel = ::accept(listening_, nullptr, nullptr);
        const ssize_t got = ::recv(cancel, packet, sizeof packet, 0);
        if (got > 0) seen.cancel.assign(packet, static_cast<std::size_t>(got));
        seen_.set_value(seen);
        ::close(cancel);
    }
    static std::string key(bool long_one) { return long_one ? std::string(32, 'k') : "kkkk"; }

    int listening_ = -1, session_ = -1;
    std::promise<Seen> seen_;
    std::thread thread_;
};

int connected_socket(int port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
}

std::string say_and_read(int port, const std::string& said, std::size_t size_min) {
    const int fd = connected_socket(port);
    const timeval patience{10, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT_EQ(::send(fd, said.data(), said.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(said.size()));
    std::string heard;
    char buffer[1000];
    while (heard.size() < size_min) {
        const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
        if (got <= 0) break;
        heard.append(buffer, static_cast<std::size_t>(got));
    }
    ::close(fd);
    return heard;
}

TEST(Login, NegotiatesTheVersionOnEachLegAndTakesLongCancelKeys) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer any;
    using namespace protocol::postgres;
    for (const bool speaks_3_2 : {true, false}) {
        SCOPED_TRACE(speaks_3_2);
        NewServer server{speaks_3_2};
        ServerConfig config = config_of(any);
        config.port = server.port;
        config.sslmode = "disable";
        Front front{config, config, false, any};
        front.run();
        const std::string key = std::string("\0\0\0\7", 4) + std::string(speaks_3_2 ? 32 : 4, 'k');
        std::string greeting;
        append_message(greeting, 'R', std::string_view{"\0\0\0\0", 4});
        append_message(greeting, 'K', key);
        append_message(greeting, 'Z', "I");
        const std::string startup =
            encode_startup({protocol_3_2, {{"user", "u"}, {"database", "postgres"}}, {}});
        EXPECT_EQ(say_and_read(front.port(), startup, greeting.size()), greeting);
        const std::string cancel = encode_cancel_request({7, key.substr(4)});
        EXPECT_EQ(say_and_read(front.port(), cancel, 1), "")
            << "closed, when the server has closed";
        const NewServer::Seen seen = server.seen();
        EXPECT_EQ(seen.version, protocol_3_2);
        EXPECT_EQ(seen.cancel, cancel);
    }
}

// What somebody in the middle slips in before the handshake is not taken for the client's.
TEST(Login, TakesNothingThatCameInClearBehindARequestForTls) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source{ServerOptions{.tls = true}};
    Front front{config_of(source), config_of(source), true, source};
    front.run();
    using namespace protocol::postgres;
    const std::string heard = say_and_read(
        front.port(),
        encode_ssl_request() + encode_startup({protocol_3_0, {{"user", "postgres"}}, {}}),
        1000);
    EXPECT_EQ(heard.substr(0, 1), "S");
    EXPECT_EQ(heard.find('R'), std::string::npos);
    EXPECT_TRUE(front.sink.sessions.empty());
}

TEST(Login, AFloodOfSilentClientsMakesOthersWaitAndNotFail) {
    SEGUE_NEEDS_POSTGRES();
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    const rlim_t needed = 2 * Listener::logins_max + 200;  // Both ends are ours.
    if (files.rlim_max < needed) GTEST_SKIP() << "needs " << needed << " open files";
    files.rlim_cur = std::max(files.rlim_cur, needed);
    ::setrlimit(RLIMIT_NOFILE, &files);
    const PostgresServer source;
    create_roles(source);
    Front front{config_of(source), config_of(source), false, source};
    front.run();
    std::vector<int> silent;
    for (std::size_t i = 0; i < Listener::logins_max; ++i)
        silent.push_back(connected_socket(front.port()));
    const std::string url = front.url("app", "secret");
    auto waits = std::async(std::launch::async, [&url] { return connect(url); });
    EXPECT_EQ(waits.wait_for(std::chrono::milliseconds{300}), std::future_status::timeout);
    for (const int fd : silent) ::close(fd);
    expect_logged_in(waits.get(), front, source);
}

TEST(Login, RefusesMoreClientsThanConfigured) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer source;
    create_roles(source);
    Front front{config_of(source), config_of(source), false, source};
    front.config.clients_max = 0;
    front.run();
    const Client client = connect(front.url("app", "secret"));
    EXPECT_THAT(PQerrorMessage(client.get()), HasSubstr("too many clients"));
}

}  // namespace
}  // namespace segue::proxy
