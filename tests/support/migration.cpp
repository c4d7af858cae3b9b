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
    segue_ = std::make_unique<SegueProcess>(
        SegueOptions{.source_url = source_->url("shop", "mover", "mover"),
                     .target_url = target_->url("shop", "mover", "mover"),
                     .lines = options.lines});
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
