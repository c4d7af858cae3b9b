// Whole sessions through listener, registry and relay threads to two real servers: what moves with
// them, what pins them, and what a held client may do.

#include "proxy/session_registry.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <poll.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "proxy/listener.hpp"
#include "proxy/role_secrets.hpp"
#include "tests/support/postgres_server.hpp"

namespace segue::proxy {
namespace {

using test::PostgresServer;
using ::testing::HasSubstr;

ServerConfig config_of(const PostgresServer& server) {
    ServerConfig config;
    config.connection = server.url();
    config.host = "127.0.0.1";
    config.port = static_cast<std::uint16_t>(server.port());
    config.database = "postgres";
    config.user = "postgres";
    config.sslmode = "disable";
    return config;
}

class Client {
public:
    explicit Client(const std::string& url) : connection_(PQconnectdb(url.c_str())) {
        EXPECT_EQ(PQstatus(connection_), CONNECTION_OK) << PQerrorMessage(connection_);
    }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    ~Client() { PQfinish(connection_); }

    // The first column of the first row, or the SQLSTATE.
    std::string ask(const std::string& sql) {
        PQsendQuery(connection_, sql.c_str());
        return answer();
    }
    std::string answer() {
        std::string last;
        while (PGresult* result = PQgetResult(connection_)) {
            const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
            last = state != nullptr ? state : PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "";
            PQclear(result);
        }
        return last;
    }
    std::string notified() {
        PQconsumeInput(connection_);
        std::string all;
        while (PGnotify* notification = PQnotifies(connection_)) {
            all += notification->extra;
            PQfreemem(notification);
        }
        return all;
    }
    PGconn* raw() { return connection_; }

private:
    PGconn* connection_;
};

struct SessionRegistryTest : testing::Test {
    static constexpr std::chrono::seconds patience{20};

    std::unique_ptr<PostgresServer> source, target;
    boost::asio::io_context context;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{
        context.get_executor()};
    Config config;
    Traffic traffic;
    std::unique_ptr<Dialer> dialer;
    std::unique_ptr<RoleSecrets> secrets;
    std::unique_ptr<SessionRegistry> registry;
    std::shared_ptr<const LoginServices> services;
    std::unique_ptr<Listener> listener;
    std::thread control;

    void SetUp() override {
        if (PostgresServer::binaries().empty())
            GTEST_SKIP() << "no PostgreSQL server is installed here";
        source = std::make_unique<PostgresServer>();
        target = std::make_unique<PostgresServer>();
        config.source = config_of(*source);
        config.target = config_of(*target);
        traffic.serving = true;
        dialer = std::move(*Dialer::make(config.source, config.target));
        secrets = std::make_unique<RoleSecrets>(config.source, config.target);
        RegistryPeers peers;
        peers.control = context.get_executor();
        peers.traffic = &traffic;
        peers.opener = dialer.get();
        registry = std::make_unique<SessionRegistry>(
            RegistrySettings{.relay_threads = 2, .gate = {}}, peers);
        registry->start();
        const auto count = [this] { return registry->session_count(); };
        services = std::make_shared<LoginServices>(LoginServices{
            config, traffic, *dialer, nullptr, *secrets, *registry, *registry, count});
        auto opened =
            Listener::open(context, {{"127.0.0.1", 0, ""}}, services, [](const Error&) {});
        ASSERT_TRUE(opened) << opened.error().detail;
        listener = std::move(*opened);
        listener->start();
        control = std::thread{[this] { context.run(); }};
    }
    void TearDown() override {
        if (registry) registry->stop();
        context.stop();
        if (control.joinable()) control.join();
    }
    std::string url() const {
        return "host=127.0.0.1 port=" + std::to_string(listener->ports().front()) +
               " dbname=postgres user=postgres sslmode=disable gssencmode=disable "
               "connect_timeout=10";
    }
    static auto in_time() { return Sessions::Clock::now() + patience; }
    // A change of authority as far as the sessions see it.
    void move_to(Side side) {
        const Status prestaged = registry->prestage(side, in_time(), patience);
        ASSERT_TRUE(prestaged) << prestaged.error().detail;
        const Status held = registry->hold(side, in_time());
        ASSERT_TRUE(held) << held.error().detail;
        if (registry->any_listening()) {
            const Status drained = registry->drain_notifications("segue_drain", in_time());
            ASSERT_TRUE(drained) << drained.error().detail;
        }
        traffic.authority = side;
        ++traffic.epoch;
        registry->swap(side);
        registry->release();
    }
};

const std::string port_query = "select inet_server_port()::text";

// As when reads are shifted: a session asks for its connection while a change of authority prepares
// it.
TEST(ThreadForNext, IsTheOneWithTheFewestAndTheLastOnlyWhenTheOthersHaveSome) {
    const auto next = [](std::vector<std::size_t> sessions, std::size_t before_last) {
        return thread_for_next(sessions, before_last);
    };
    EXPECT_EQ(next({7}, 0), 0U);
    EXPECT_EQ(next({7}, 3), 0U);
    EXPECT_EQ(next({2, 1, 0}, 0), 2U);
    EXPECT_EQ(next({2, 1, 0}, 3), 1U);
    EXPECT_EQ(next({3, 2, 0}, 3), 1U);
    EXPECT_EQ(next({3, 3, 0}, 3), 2U);
    EXPECT_EQ(next({5, 4, 4}, 3), 1U);
}

TEST_F(SessionRegistryTest, PreparesASessionOnceWhereTwoAskForItAtATime) {
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 8; ++i) clients.push_back(std::make_unique<Client>(url()));
    Status beside = Done{};
    std::thread second{[&] { beside = registry->prestage(Side::target, in_time(), patience); }};
    const Status prestaged = registry->prestage(Side::target, in_time(), patience);
    second.join();
    EXPECT_TRUE(prestaged) << prestaged.error().detail;
    EXPECT_TRUE(beside) << beside.error().detail;
    const std::string port = "SELECT current_setting('port')";
    move_to(Side::target);
    for (const auto& client : clients) EXPECT_EQ(client->ask(port), std::to_string(target->port()));
    move_to(Side::source);
    for (const auto& client : clients) EXPECT_EQ(client->ask(port), std::to_string(source->port()));
}

TEST_F(SessionRegistryTest, MovesASessionThereAndBackWithItsState) {
    Client client{url()}, other{url()};
    client.ask("set search_path = pg_catalog, public");
    client.ask("set my.tenant = 'x'");
    client.ask("prepare s(int) as select ($1 + 1)::text");
    client.ask("listen ch");
    EXPECT_EQ(client.ask(port_query), std::to_string(source->port()));
    other.ask("notify ch, 'before;'");
    for (const Side side : {Side::target, Side::source}) {
        move_to(side);
        const auto& server = side == Side::source ? source : target;
        EXPECT_EQ(client.ask(port_query), std::to_string(server->port()));
        EXPECT_EQ(client.ask("show search_path"), "pg_catalog, public");
        EXPECT_EQ(client.ask("select current_setting('my.tenant')"), "x");
        EXPECT_EQ(client.ask("execute s(41)"), "42");
    }
    other.ask("notify ch, 'after;'");
    client.ask("select 1");
    EXPECT_EQ(client.notified(), "before;after;");
    EXPECT_EQ(registry->sessions_ended(), 0u);
}

TEST_F(SessionRegistryTest, ASessionThatComesBackFindsNothingOfItsFirstStay) {
    Client client{url()};
    client.ask("create sequence counted");
    Client elsewhere{"host=127.0.0.1 port=" + std::to_string(target->port()) +
                     " dbname=postgres user=postgres sslmode=disable"};
    elsewhere.ask("create sequence counted");
    EXPECT_EQ(client.ask("select nextval('counted')::text"), "1");
    for (const Side side : {Side::target, Side::source}) {
        move_to(side);
        EXPECT_EQ(client.ask("select currval('counted')::text"), "55000")
            << "not a value of before";
    }
}

std::string outcome_of(PGresult* result) {
    const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    std::string outcome = state != nullptr ? state : PQcmdStatus(result);
    PQclear(result);
    return outcome;
}
std::string execute(Client& client, const char* name) {
    return outcome_of(PQexecPrepared(client.raw(), name, 0, nullptr, nullptr, nullptr, 1));
}

TEST_F(SessionRegistryTest, StatementsOverTablesThatEachTransactionMakesAnewGoOn) {
    Client client{url()};
    const auto transact = [&client] {
        client.ask("begin; create temp table made_anew (a int) on commit drop");
        for (const char* name : {"put", "put"}) EXPECT_EQ(execute(client, name), "INSERT 0 1");
        EXPECT_EQ(outcome_of(PQdescribePrepared(client.raw(), "get")), "");
        EXPECT_EQ(execute(client, "get"), "SELECT 2");
        client.ask("commit");
    };
    client.ask("begin; create temp table made_anew (a int) on commit drop");
    PQclear(PQprepare(client.raw(), "put", "insert into made_anew values (1)", 0, nullptr));
    PQclear(PQprepare(client.raw(), "get", "select a from made_anew", 0, nullptr));
    PQclear(PQprepare(client.raw(), "never", "select 1 from made_anew", 0, nullptr));
    client.ask("commit");
    transact();
    for (const Side side : {Side::target, Side::source, Side::target}) {
        move_to(side);
        const auto& server = side == Side::source ? source : target;
        EXPECT_EQ(client.ask(port_query), std::to_string(server->port()));
        EXPECT_EQ(execute(client, "put"), "42P01") << "as on its own server";
        transact();
        transact();
    }
    client.ask("begin; create temp table made_anew (a int) on commit drop");
    EXPECT_EQ(execute(client, "never"), "SELECT 0");
    client.ask("commit");
    client.ask("deallocate all");
    EXPECT_EQ(execute(client, "put"), "26000");
}

TEST_F(SessionRegistryTest, LeavesBehindAStatementThatItsOwnServerCannotExecuteEither) {
    Client client{url()};
    client.ask("create table dropped (a int); create table kept (a int)");
    Client elsewhere{"host=127.0.0.1 port=" + std::to_string(target->port()) +
                     " dbname=postgres user=postgres sslmode=disable"};
    elsewhere.ask("create table kept (a int)");
    PQclear(PQprepare(client.raw(), "gone", "select * from dropped", 0, nullptr));
    client.ask("prepare gone_too as insert into dropped values (1)");
    PQclear(PQprepare(client.raw(), "stays", "select count(*)::text from kept", 0, nullptr));
    client.ask("prepare stays_too as select 'yes'");
    client.ask("drop table dropped");
    EXPECT_EQ(client.ask("execute gone"), "42P01");
    move_to(Side::target);
    EXPECT_EQ(client.ask(port_query), std::to_string(target->port()));
    EXPECT_EQ(client.ask("execute stays"), "0");
    EXPECT_EQ(client.ask("execute stays_too"), "yes");
    EXPECT_EQ(execute(client, "gone"), "42P01");
    EXPECT_EQ(client.ask("execute gone"), "26000") << "SQL's EXECUTE is not seen";
    EXPECT_EQ(client.ask("execute gone_too"), "26000");
    EXPECT_EQ(client.ask("select string_agg(name, ',' order by name) from pg_prepared_statements"),
              "stays,stays_too");
}

TEST_F(SessionRegistryTest, AStatementThatOnlyTheOtherServerRefusesStandsInTheWay) {
    Client client{url()};
    client.ask("create table only_here (a int)");
    client.ask("prepare here as select 'here' from only_here");
    PQclear(PQprepare(client.raw(), "here_too", "select 'here' from only_here", 0, nullptr));
    const Status prestaged = registry->prestage(Side::target, in_time(), patience);
    ASSERT_FALSE(prestaged);
    EXPECT_THAT(prestaged.error().detail, HasSubstr("only_here"));
    EXPECT_EQ(client.ask("execute here"), "") << "the client noticed nothing";
    EXPECT_EQ(client.ask("select string_agg(name, ',' order by name) from pg_prepared_statements"),
              "here,here_too");
}

TEST_F(SessionRegistryTest, NamesAPinnedSessionAndItsReason) {
    Client client{url()};
    client.ask("create temp table kept (a int)");
    const Status prestaged = registry->prestage(Side::target, in_time(), patience);
    ASSERT_FALSE(prestaged);
    EXPECT_THAT(prestaged.error().detail, HasSubstr("temporary table"));
    EXPECT_THAT(prestaged.error().detail,
                HasSubstr("pid " + std::to_string(PQbackendPID(client.raw()))));
    EXPECT_EQ(registry->report().pinned, 1u);
    EXPECT_EQ(client.ask("select count(*)::text from kept"), "0") << "the client noticed nothing";
    client.ask("drop table kept");
    EXPECT_TRUE(registry->prestage(Side::target, in_time(), patience));
    EXPECT_EQ(registry->report().pinned, 0u);
}

TEST_F(SessionRegistryTest, APrestageWaitsForAnOpenTransactionNoLongerThanItMayAndNamesIt) {
    Client busy{url()}, idle{url()};
    busy.ask("begin");
    const auto begun = Sessions::Clock::now();
    const Status refused =
        registry->prestage(Side::target, in_time(), std::chrono::milliseconds{100});
    EXPECT_LT(Sessions::Clock::now() - begun, patience / 2);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().detail, HasSubstr("1 session "));
    EXPECT_THAT(refused.error().detail,
                HasSubstr("pid " + std::to_string(PQbackendPID(busy.raw())) +
                          ": open transaction, for 0."));
    EXPECT_EQ(registry->report().pinned, 0u) << "it will end";
    EXPECT_EQ(busy.ask("select 'goes on'"), "goes on");
    busy.ask("commit");
    EXPECT_TRUE(registry->prestage(Side::target, in_time(), std::chrono::milliseconds{100}));
}

TEST_F(SessionRegistryTest, AnOpenTransactionEndsTheHoldByItsDeadlineAndGoesOn) {
    Client client{url()};
    client.ask("begin");
    const Status held =
        registry->hold(Side::target, Sessions::Clock::now() + std::chrono::milliseconds{50});
    ASSERT_FALSE(held);
    EXPECT_THAT(held.error().detail, HasSubstr("open transaction"));
    registry->release();
    EXPECT_EQ(client.ask("select 'still here'"), "still here");
    client.ask("commit");
    move_to(Side::target);
    EXPECT_EQ(client.ask(port_query), std::to_string(target->port()));
}

// The transaction that a hold waits for may be waiting for a new connection of its application.
TEST_F(SessionRegistryTest, LetsNewClientsInWhileItWaitsForAnOlderTransactionAndMovesThemToo) {
    Client older{url()};
    older.ask("begin");
    Status held = Done{};
    std::thread change{[&] { held = registry->hold(Side::target, in_time()); }};
    while (!traffic.holding) std::this_thread::yield();
    Client newer{url()};
    EXPECT_EQ(newer.ask("select 'within'"), "within");
    newer.ask("begin");
    older.ask("commit");
    EXPECT_EQ(newer.ask("select 'still within'"), "still within") << "its transaction is drained";
    newer.ask("commit");
    change.join();
    ASSERT_TRUE(held) << held.error().detail;
    EXPECT_TRUE(traffic.holding) << "from now on logins wait";
    EXPECT_EQ(registry->report().held, 2u);
    traffic.authority = Side::target;
    ++traffic.epoch;
    registry->swap(Side::target);
    registry->release();
    EXPECT_FALSE(traffic.holding);
    for (Client* client : {&older, &newer})
        EXPECT_EQ(client->ask(port_query), std::to_string(target->port()));
    EXPECT_EQ(registry->sessions_ended(), 0u);
}

TEST_F(SessionRegistryTest, AClientThatWasLetInDuringAHoldGoesOnAfterItsAbort) {
    Client older{url()};
    older.ask("begin");
    Status held = Done{};
    std::thread change{[&] {
        held = registry->hold(Side::target, Sessions::Clock::now() + std::chrono::seconds{2});
    }};
    while (!traffic.holding) std::this_thread::yield();
    Client newer{url()};
    newer.ask("begin");
    change.join();
    ASSERT_FALSE(held);
    EXPECT_THAT(held.error().detail, HasSubstr("1 session "));
    EXPECT_THAT(held.error().detail, HasSubstr(std::to_string(PQbackendPID(older.raw()))));
    registry->release();
    EXPECT_EQ(newer.ask("select 'goes on'"), "goes on");
    EXPECT_EQ(older.ask("select 'goes on'"), "goes on");
    newer.ask("commit");
    older.ask("commit");
    move_to(Side::target);
    EXPECT_EQ(newer.ask(port_query), std::to_string(target->port()));
}

TEST_F(SessionRegistryTest, AClientDoesNotWaitWhileItsOtherConnectionIsOpenedAnew) {
    Client client{url()};
    Client elsewhere{"host=127.0.0.1 port=" + std::to_string(target->port()) +
                     " dbname=postgres user=postgres sslmode=disable"};
    ASSERT_TRUE(registry->prestage(Side::target, in_time(), patience));
    client.ask("begin");
    Status prestaged = Done{};
    std::thread second{[&] { prestaged = registry->prestage(Side::target, in_time(), patience); }};
    // So long that the second attempt has seen the connection and waits for the transaction's end.
    for (int i = 0; i < 500; ++i) client.ask("select 1");
    EXPECT_EQ(elsewhere.ask("select pg_terminate_backend(pid, 5000)::text from pg_stat_activity "
                            "where backend_type = 'client backend' and pid <> pg_backend_pid()"),
              "true");
    // No login comes through there.
    elsewhere.ask("begin");
    EXPECT_EQ(elsewhere.ask("lock table pg_authid in access exclusive mode"), "");
    client.ask("commit");
    PQsendQuery(client.raw(), "select 'goes on'");
    pollfd answered{PQsocket(client.raw()), POLLIN, 0};
    EXPECT_EQ(::poll(&answered, 1, 5000), 1);
    elsewhere.ask("rollback");
    EXPECT_EQ(client.answer(), "goes on");
    second.join();
    EXPECT_TRUE(prestaged) << prestaged.error().detail;
    move_to(Side::target);
    EXPECT_EQ(client.ask(port_query), std::to_string(target->port()));
}

TEST_F(SessionRegistryTest, AServerThatAnswersTooLateForAMoveEndsTheMoveAndNotTheClient) {
    Client client{url()}, elsewhere{"host=127.0.0.1 port=" + std::to_string(source->port()) +
                                    " dbname=postgres user=postgres sslmode=disable"};
    EXPECT_EQ(client.ask("select 'before'"), "before");
    elsewhere.ask("begin");
    // The question for a session's state reads it.
    EXPECT_EQ(elsewhere.ask("lock table pg_catalog.pg_depend in access exclusive mode"), "");
    constexpr std::chrono::milliseconds soon{500};
    EXPECT_FALSE(registry->prestage(Side::target, Sessions::Clock::now() + soon, soon));
    elsewhere.ask("rollback");
    EXPECT_EQ(client.ask("select 'after'"), "after");
    EXPECT_EQ(registry->sessions_ended(), 0u);
    move_to(Side::target);
    EXPECT_EQ(client.ask(port_query), std::to_string(target->port()));
}

TEST_F(SessionRegistryTest, AHeldRequestCanBeCancelledAndOthersRunAfterTheRelease) {
    Client cancelled{url()}, waiting{url()};
    ASSERT_TRUE(registry->hold(Side::target, in_time()));
    PQsendQuery(cancelled.raw(), "select 1");
    PQsendQuery(waiting.raw(), "select 'ran'");
    // The request may still be on its way when the cancel arrives, as with a server: then the
    // cancel is lost.
    std::unique_ptr<PGcancel, void (*)(PGcancel*)> request{PQgetCancel(cancelled.raw()),
                                                           PQfreeCancel};
    char error[256];
    while (PQconsumeInput(cancelled.raw()) == 1 && PQisBusy(cancelled.raw()) == 1) {
        ASSERT_EQ(PQcancel(request.get(), error, sizeof error), 1) << error;
    }
    EXPECT_EQ(cancelled.answer(), "57014");
    EXPECT_EQ(PQisBusy(waiting.raw()), 1);
    EXPECT_EQ(registry->report().held, 2u);
    const WaitReport report = registry->release();
    EXPECT_GT(report.longest_wait.count(), 0);
    EXPECT_EQ(waiting.answer(), "ran");
}

TEST_F(SessionRegistryTest, TellsALoginThatWasOvertaken) {
    auto session = std::make_unique<Session>();
    std::string greeting;
    EXPECT_EQ(registry->adopt(session, traffic.epoch + 1, greeting), Handover::changed);
    EXPECT_NE(session, nullptr);
    ASSERT_TRUE(registry->hold(Side::target, in_time()));
    EXPECT_EQ(registry->adopt(session, traffic.epoch, greeting), Handover::changed);
    registry->release();
}

}  // namespace
}  // namespace segue::proxy
