#include "tests/support/migration.hpp"

#include <gtest/gtest.h>

namespace segue::test {

Migration::Migration(MigrationOptions options)
    : source_(std::make_unique<PostgresServer>(options.source)),
      target_(std::make_unique<PostgresServer>(options.target)) {
    for (const auto& server : {source_.get(), target_.get()}) {
        server->run("CREATE ROLE mover SUPERUSER REPLICATION LOGIN PASSWORD 'mover'");
        server->run("CREATE DATABASE shop");
    }
    source_->run("CREATE ROLE app LOGIN PASSWORD 'app'");
    source_->run("ALTER DATABASE shop OWNER TO app");
    if (options.workload_schema) create_workload_schema(source_->socket_url("shop", "app"));
    if (options.cables) {
        cables_[0] = std::make_unique<Cable>(source_->port());
        cables_[1] = std::make_unique<Cable>(target_->port());
    }
    segue_options_ = {.source_url = mover_url(*source_, cables_[0].get()),
                      .target_url = mover_url(*target_, cables_[1].get()),
                      .lines = options.lines,
                      .environment = options.environment};
    segue_ = std::make_unique<SegueProcess>(segue_options_);
}

std::string Migration::mover_url(const PostgresServer& server, const Cable* cable) const {
    const int port = cable != nullptr ? cable->port() : server.port();
    return "postgresql://mover:mover@127.0.0.1:" + std::to_string(port) + "/shop";
}

std::string Migration::as_mover(PostgresServer& server) const {
    const std::string id = server.value("SELECT migration_id FROM segue.control", "shop");
    return server.socket_url("shop", "mover") + " options='-c segue.mover=" + id + "'";
}

bool Migration::copy() {
    segue_->run();
    if (segue_->expect_done({"start"}).exit_code != 0) return false;
    return segue_->wait_consistent();
}

void Migration::expect_equal_soon(std::chrono::seconds limit) {
    const std::string a = superuser(*source_), b = superuser(*target_);
    eventually(limit, [&] { return compare_databases(a, b).differences.empty(); });
    expect_equal(a, b);
}

void Migration::expect_right(const Workload& workload) {
    expect_equal_soon();
    expect_journal(superuser(*source_), workload.journal());
    expect_journal(superuser(*target_), workload.journal());
}

}  // namespace segue::test
