#include "proxy/mapped_login.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "tests/proxy/login_rig.hpp"

namespace segue::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* with_tls = "sslmode=require channel_binding=require";
constexpr const char* without_tls = "sslmode=disable";

// Role app has another password on each side.
struct DifferingServers {
    explicit DifferingServers(ServerAuth source_auth = ServerAuth::scram)
        : source{ServerOptions{.auth = source_auth, .tls = true}},
          target{ServerOptions{.auth = ServerAuth::scram, .tls = true}} {
        create_roles(source);
        target.run("CREATE ROLE app LOGIN PASSWORD 'another'");
    }
    PostgresServer source, target;
};

// What the authority's change during the login does: it is done again on the target.
void overtake_once(Front& front) {
    const auto changed =
        std::make_shared<std::atomic<bool>>(false);  // By the test and the control thread.
    front.sink.before_adopt = [&front, changed] {
        if (changed->exchange(true)) return;
        front.traffic.authority = Side::target;
        front.traffic.epoch = front.traffic.epoch.load() + 1;
    };
}

TEST(MappedLogin, TakesASessionToAServerWhoseVerifierDiffers) {
    SEGUE_NEEDS_POSTGRES();
    const DifferingServers servers;
    Front front{config_of(servers.source), config_of(servers.target), true, servers.source};
    ASSERT_TRUE(
        front.config.credentials.add("app", Side::target, "another", ClientProof::password));
    front.run();
    overtake_once(front);
    const Client moved = connect(front.url("app", "secret", with_tls));
    expect_logged_in(moved, front, servers.target);
}

TEST(MappedLogin, TheApplicationKeepsThePasswordOfTheSource) {
    SEGUE_NEEDS_POSTGRES();
    for (const ServerAuth auth : {ServerAuth::scram, ServerAuth::md5}) {
        SCOPED_TRACE(static_cast<int>(auth));
        const DifferingServers servers{auth};
        Front front{config_of(servers.source), config_of(servers.target), true, servers.source};
        ASSERT_TRUE(
            front.config.credentials.add("app", Side::target, "another", ClientProof::password));
        front.traffic.authority = Side::target;
        front.run();
        for (const char* mode : {without_tls, "sslmode=require"}) {
            SCOPED_TRACE(mode);
            const Client client = connect(front.url("app", "secret", mode));
            expect_logged_in(client, front, servers.target);
            for (const char* wrong : {"wrong", "another"}) {
                const Client refused = connect(front.url("app", wrong, mode));
                EXPECT_THAT(PQerrorMessage(refused.get()),
                            HasSubstr("password authentication failed for user \"app\""));
            }
        }
        EXPECT_EQ(front.sink.sessions.size(), 2u);
    }
}

TEST(MappedLogin, OfBothSidesNeedsNoVerifierThatCanBeRead) {
    SEGUE_NEEDS_POSTGRES();
    const DifferingServers servers;
    ServerConfig blind = config_of(servers.source);
    blind.connection = servers.source.url("postgres", "app", "secret");  // May not read pg_authid.
    Front front{blind, config_of(servers.target), true, servers.source};
    ASSERT_TRUE(front.config.credentials.add("app", Side::source, "secret", ClientProof::password));
    ASSERT_TRUE(
        front.config.credentials.add("app", Side::target, "another", ClientProof::password));
    front.run();
    const Client wrong = connect(front.url("app", "another", with_tls));
    EXPECT_THAT(PQerrorMessage(wrong.get()), HasSubstr("password authentication failed"));
    const Client client = connect(front.url("app", "secret", with_tls));
    expect_logged_in(client, front, servers.source);
    overtake_once(front);
    const Client moved = connect(front.url("app", "secret", with_tls));
    expect_logged_in(moved, front, servers.target);
}

TEST(MappedLogin, AServerThatAsksNothingIsNoProofOfTheClient) {
    SEGUE_NEEDS_POSTGRES();
    const DifferingServers servers{ServerAuth::trust};
    for (const ClientProof proof : {ClientProof::password, ClientProof::certificate}) {
        Front front{config_of(servers.source), config_of(servers.target), true, servers.source};
        ASSERT_TRUE(front.config.credentials.add("app", Side::source, "secret", proof));
        front.run();
        const Client refused = connect(front.url("app", "wrong", with_tls));
        EXPECT_THAT(PQerrorMessage(refused.get()),
                    HasSubstr("authentication failed for user \"app\""));
        if (proof == ClientProof::password)
            expect_logged_in(connect(front.url("app", "secret", with_tls)), front, servers.source);
    }
}

TEST(MappedLogin, APasswordThatTheServerRefusesIsNamedAsTheOperators) {
    SEGUE_NEEDS_POSTGRES();
    const DifferingServers servers;
    Front front{config_of(servers.source), config_of(servers.target), false, servers.source};
    ASSERT_TRUE(
        front.config.credentials.add("app", Side::target, "mistyped", ClientProof::password));
    front.traffic.authority = Side::target;
    front.run();
    const Client client = connect(front.url("app", "secret", without_tls));
    EXPECT_THAT(PQerrorMessage(client.get()), HasSubstr("[[credentials]]"));
    EXPECT_THAT(PQerrorMessage(client.get()), Not(HasSubstr("mistyped")));
}

// A certificate that is its own authority.
struct SelfSigned {
    SelfSigned(const std::filesystem::path& folder, const std::string& name) : path(folder / name) {
        test::make_certificate(key(), certificate(), name);
    }
    std::string certificate() const { return path.string() + ".crt"; }
    std::string key() const { return path.string() + ".key"; }
    std::string shown() const {
        return "sslmode=require sslcert=" + certificate() + " sslkey=" + key();
    }
    std::filesystem::path path;
};

TEST(MappedLogin, ACertificateOfTheRolesNameIsAProofWhereTheOperatorSaysSo) {
    SEGUE_NEEDS_POSTGRES();
    const DifferingServers servers;
    const SelfSigned app{servers.source.folder(), "app"}, weak{servers.source.folder(), "weak"};
    const std::string authorities = (servers.source.folder() / "clients.crt").string();
    test::write_file(authorities,
                     test::read_file(app.certificate()) + test::read_file(weak.certificate()));
    Front front{
        config_of(servers.source), config_of(servers.target), true, servers.source, authorities};
    ASSERT_TRUE(
        front.config.credentials.add("app", Side::source, "secret", ClientProof::certificate));
    ASSERT_TRUE(
        front.config.credentials.add("app", Side::target, "another", ClientProof::certificate));
    front.run();
    overtake_once(front);
    const Client client = connect(front.url("app", "", app.shown()));
    expect_logged_in(client, front, servers.target);
    front.traffic.authority = Side::source;
    for (const std::string& shown :
         {weak.shown(), std::string{"sslmode=require sslcert=/none"}, std::string{without_tls}}) {
        SCOPED_TRACE(shown);
        const Client refused = connect(front.url("app", "secret", shown));
        EXPECT_THAT(PQerrorMessage(refused.get()),
                    HasSubstr("certificate authentication failed for user \"app\""));
    }
    const SelfSigned stranger{servers.target.folder(),
                              "app"};  // Of the right name, and signed by nobody we know.
    EXPECT_EQ(PQstatus(connect(front.url("app", "secret", stranger.shown())).get()),
              CONNECTION_BAD);
    EXPECT_EQ(front.sink.sessions.size(), 1u);
    const Client other = connect(
        front.url("postgres", "postgres", weak.shown()));  // Whose role is not mapped: as ever.
    expect_logged_in(other, front, servers.source);
}

}  // namespace
}  // namespace segue::proxy
