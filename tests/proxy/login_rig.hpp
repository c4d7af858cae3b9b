#pragma once
// Segue's control plane in front of two real servers: its listener, its logins, and a sink that
// takes the sessions.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "proxy/listener.hpp"
#include "proxy/login.hpp"
#include "proxy/role_secrets.hpp"
#include "proxy/tls.hpp"
#include "tests/support/postgres_server.hpp"

namespace segue::proxy {

using test::PostgresServer;
using test::ServerAuth;
using test::ServerOptions;

// Takes every session and greets its client; refuses a few first where told so.
class Sink : public SessionSink {
public:
    Handover adopt(std::unique_ptr<Session>& session,
                   std::uint64_t epoch,
                   std::string& greeting) override {
        if (before_adopt) before_adopt();
        if (!session->passed_through && traffic != nullptr && epoch != traffic->epoch.load())
            return Handover::changed;
        const std::lock_guard lock(mutex);
        sessions.push_back(std::move(session));
        (void)sessions.back()->client.write_some(bytes(greeting));
        return Handover::taken;
    }
    std::function<void()> before_adopt;
    const Traffic* traffic = nullptr;
    std::mutex mutex;
    std::vector<std::unique_ptr<Session>> sessions;
};

class Cancels : public CancelTargets {
public:
    explicit Cancels(Sink& sink) : sink_(sink) {}
    boost::asio::awaitable<std::optional<CancelTarget>> cancel(std::int32_t pid,
                                                               std::string key) override {
        const std::lock_guard lock(sink_.mutex);
        for (const auto& session : sink_.sessions) {
            if (session->client_pid != pid || session->client_cancel_key != key) continue;
            co_return CancelTarget{session->id,
                                   session->backend.side,
                                   session->backend.pid,
                                   session->backend.cancel_key,
                                   session->client.uses_tls()};
        }
        co_return std::nullopt;
    }
    void cancel_ended(const CancelTarget&) override {}

private:
    Sink& sink_;
};

inline ServerConfig config_of(const PostgresServer& server) {
    ServerConfig config;
    config.connection = server.url();
    config.host = "127.0.0.1";
    config.port = static_cast<std::uint16_t>(server.port());
    config.database = "postgres";
    config.user = "postgres";
    return config;
}

// Segue's control plane in front of two servers.
class Front {
public:
    Front(const ServerConfig& source,
          const ServerConfig& target,
          bool with_tls,
          const PostgresServer& certificate_of,
          const std::string& client_ca = {})
        : cancels_(sink), secrets_(source, target) {
        config.source = source;
        config.target = target;
        config.login_timeout = std::chrono::seconds{10};
        traffic.serving = true;
        sink.traffic = &traffic;
        dialer_ = std::move(*Dialer::make(source, target, &config.credentials));
        if (with_tls) {
            auto made = ClientTls::make(certificate_of.certificate().string(),
                                        (certificate_of.folder() / "server.key").string(),
                                        client_ca);
            if (!made) ADD_FAILURE() << made.error().detail;
            tls_ = std::move(*made);
        }
        auto count = [this] {
            const std::lock_guard lock(sink.mutex);
            return sink.sessions.size();
        };
        services_ = std::make_shared<LoginServices>(LoginServices{
            config, traffic, *dialer_, tls_.get(), secrets_, sink, cancels_, count, [this] {
                const std::lock_guard lock(sink.mutex);
                return unreachable;
            }});
    }
    void run(const std::vector<Address>& addresses = {{"127.0.0.1", 0, ""}}) {
        auto on_failure = [this](const Error& error) {
            const std::lock_guard lock(sink.mutex);
            failures.push_back(error);
        };
        auto listener = Listener::open(context_, addresses, services_, on_failure);
        ASSERT_TRUE(listener) << listener.error().detail;
        listener_ = std::move(*listener);
        listener_->start();
        thread_ = std::thread([this] { context_.run(); });
    }
    ~Front() {
        context_.stop();
        if (thread_.joinable()) thread_.join();
    }
    int port() const { return listener_->ports().front(); }
    std::string url(const std::string& user,
                    const std::string& password,
                    const std::string& more = "") const {
        return "host=127.0.0.1 port=" + std::to_string(port()) + " dbname=postgres user=" + user +
               " password=" + password + " connect_timeout=10 gssencmode=disable " +
               (more.empty() ? "sslmode=disable" : more);
    }

    Config config;
    Traffic traffic;
    Sink sink;
    std::string unreachable;  // LoginServices::unreachable
    std::vector<Error> failures;

private:
    boost::asio::io_context context_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
        context_.get_executor()};
    Cancels cancels_;
    RoleSecrets secrets_;
    std::unique_ptr<Dialer> dialer_;
    std::unique_ptr<ClientTls> tls_;
    std::shared_ptr<const LoginServices> services_;
    std::unique_ptr<Listener> listener_;
    std::thread thread_;
};

struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
};
using Client = std::unique_ptr<PGconn, Finish>;

inline Client connect(const std::string& url) { return Client{PQconnectdb(url.c_str())}; }

inline void expect_logged_in(const Client& client,
                             const Front& front,
                             const PostgresServer& server,
                             bool movable = true) {
    ASSERT_EQ(PQstatus(client.get()), CONNECTION_OK) << PQerrorMessage(client.get());
    ASSERT_FALSE(front.sink.sessions.empty());
    const Session& session = *front.sink.sessions.back();
    EXPECT_EQ(PQbackendPID(client.get()), session.backend.pid);
    EXPECT_EQ(server.value("SELECT count(*) FROM pg_stat_activity WHERE pid = " +
                           std::to_string(session.backend.pid)),
              "1");
    EXPECT_STREQ(PQparameterStatus(client.get(), "server_encoding"), "UTF8");
    EXPECT_EQ(session.movable, movable) << session.immovable_because;
}

inline void create_roles(const PostgresServer& server) {
    server.run("CREATE ROLE app LOGIN PASSWORD 'secret'; CREATE ROLE weak LOGIN");
}

// The session's own credentials must log in on the other server as well, whose roles were copied.
inline void copy_verifier(const PostgresServer& from, const PostgresServer& to) {
    const std::string verifier =
        from.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'");
    to.run("DROP ROLE IF EXISTS app; CREATE ROLE app LOGIN PASSWORD '" + verifier + "'");
}

}  // namespace segue::proxy
