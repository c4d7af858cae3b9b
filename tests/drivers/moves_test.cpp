// The clients of clients_test.cpp while their sessions are moved at random at every boundary,
// between connections to one database. By option, because it takes minutes:
//
//   SEGUE_DRIVERS_MOVE_PERCENT=30 build/tests/drivers/drivers_tests --gtest_filter='*ForcedMoves*'

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <regex>

#include "tests/drivers/clients.hpp"
#include "tests/support/workload.hpp"

namespace segue::test {
namespace {

constexpr int rounds_moved = 10;

std::string move_percent() {
    const char* percent = std::getenv("SEGUE_DRIVERS_MOVE_PERCENT");
    return percent != nullptr ? percent : "";
}

std::vector<ClientKind> kinds() {
    return move_percent().empty() ? std::vector<ClientKind>{} : all_client_kinds();
}

class ForcedMoves : public testing::TestWithParam<ClientKind> {
protected:
    static void SetUpTestSuite() {
        if (PostgresServer::binaries().empty()) return;
        ServerOptions options;
        options.auth = ServerAuth::scram;
        options.tls = options.tls_only = true;
        server_ = std::make_unique<PostgresServer>(options);
        server_->run("CREATE ROLE mover SUPERUSER REPLICATION LOGIN PASSWORD 'mover'");
        server_->run("CREATE ROLE app LOGIN PASSWORD 'app'");
        server_->run("CREATE DATABASE shop OWNER app");
        create_workload_schema(server_->socket_url("shop", "app"));
        create_kept_table(*server_);
        const std::string url = server_->url("shop", "mover", "mover");
        auto lines = listen_with_tls_of(*server_);
        lines.emplace_back("development", "move_percent = " + move_percent());
        segue_ = std::make_unique<SegueProcess>(
            SegueOptions{.source_url = url, .target_url = url, .lines = lines});
        segue_->run();
    }
    static void TearDownTestSuite() {
        segue_.reset();
        server_.reset();
    }

    static std::ptrdiff_t moves() {
        const std::string log = segue_->log();
        const std::regex moved{"development: session [0-9]+ moved"};
        return std::distance(std::sregex_iterator{log.begin(), log.end(), moved}, {});
    }

    static inline std::unique_ptr<PostgresServer> server_;
    static inline std::unique_ptr<SegueProcess> segue_;
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ForcedMoves);

TEST_P(ForcedMoves, AreNotNoticed) {
    SEGUE_NEEDS_POSTGRES();
    const ClientKind& kind = GetParam();
    if (!can_run(kind, segue_->folder()))
        GTEST_SKIP() << kind.name << " cannot run here; it needs " << kind.packages;
    const std::ptrdiff_t moves_before = moves();
    RunningClient client{kind, *segue_, server_->certificate()};
    client.expect_works(*server_, rounds_moved);
    client.expect_ends_well();
    client.expect_kept(*server_);
    EXPECT_GT(moves(), moves_before);
    RecordProperty("moves", static_cast<int>(moves() - moves_before));
}

INSTANTIATE_TEST_SUITE_P(Drivers, ForcedMoves, testing::ValuesIn(kinds()), [](const auto& kind) {
    return std::string{kind.param.name};
});

}  // namespace
}  // namespace segue::test
