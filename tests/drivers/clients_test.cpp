// Unmodified clients of others through Segue, over TLS and SCRAM, across cutovers and rollbacks on
// live connections: they must not notice. What they do: clients.hpp.

#include <gtest/gtest.h>

#include <memory>

#include "tests/drivers/clients.hpp"
#include "tests/support/migration.hpp"

namespace segue::test {
namespace {

// One migration for all: a client leaves it as it found it.
class Clients : public testing::TestWithParam<ClientKind> {
protected:
    static void SetUpTestSuite() {
        if (PostgresServer::binaries().empty()) return;
        MigrationOptions options;
        options.source.tls = options.source.tls_only = options.target.tls =
            options.target.tls_only = true;
        certificates_ =
            std::make_unique<PostgresServer>(options.source);  // Lends Segue its certificate.
        options.lines = listen_with_tls_of(*certificates_);
        // A client that waits a second for its own timeout is no reason to give up.
        options.lines.emplace_back("cutover", "drain_ms = 10000");
        options.lines.emplace_back("cutover", "deadline_ms = 20000");
        certificates_->stop();
        move_ = std::make_unique<Migration>(options);
        create_kept_table(move_->source());
        consistent_ = move_->copy();
    }
    static void TearDownTestSuite() {
        move_.reset();
        certificates_.reset();
    }

    void SetUp() override {
        const auto status = consistent_ ? move_->segue().status() : std::nullopt;
        if (status && (*status)["authority"] == "target")
            move_->segue().verb({"rollback"});  // After a failure.
    }

    static inline std::unique_ptr<PostgresServer> certificates_;
    static inline std::unique_ptr<Migration> move_;
    static inline bool consistent_ = false;
};

TEST_P(Clients, DoNotNoticeChangesOfAuthority) {
    SEGUE_NEEDS_POSTGRES();
    ASSERT_TRUE(consistent_);
    const ClientKind& kind = GetParam();
    if (!can_run(kind, move_->segue().folder()))
        GTEST_SKIP() << kind.name << " cannot run here; it needs " << kind.packages;

    RunningClient client{kind, move_->segue(), certificates_->certificate()};
    const auto step = [&](const std::vector<std::string>& verb, const PostgresServer& authority) {
        SCOPED_TRACE(verb[0]);
        ASSERT_TRUE(move_->segue().until_done(verb));
        client.expect_works(authority);
    };
    client.expect_works(move_->source());
    step({"cutover"}, move_->target());
    step({"mirror", "sync"}, move_->target());
    step({"rollback"}, move_->source());
    step({"shift", "50"}, move_->source());
    move_->segue().expect_done({"shift", "0"});
    move_->segue().expect_done({"mirror", "async"});
    client.expect_ends_well();
    move_->expect_equal_soon();
    client.expect_kept(move_->source());
}

INSTANTIATE_TEST_SUITE_P(Drivers,
                         Clients,
                         testing::ValuesIn(all_client_kinds()),
                         [](const auto& kind) { return std::string{kind.param.name}; });

}  // namespace
}  // namespace segue::test
