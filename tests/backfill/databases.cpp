#include "tests/backfill/databases.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

namespace segue::test {

PostgresServer& Databases::server(Side side) {
    static PostgresServer servers[2] = {
        PostgresServer{{.settings = {"max_prepared_transactions=10", "max_connections=60"}}},
        PostgresServer{{.settings = {"max_prepared_transactions=10", "max_connections=60"}}}};
    return servers[index(side)];
}

Databases::Databases() {
    static int number = 0;
    database_ = "test" + std::to_string(++number);
    for (const Side side : {Side::source, Side::target}) {
        server(side).run("CREATE DATABASE " + database_);
    }
}

Databases::~Databases() {
    for (const Side side : {Side::source, Side::target}) {
        run(side,
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
            " WHERE database = current_database() AND active");
        run(side,
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE database = current_database()");
        server(side).run("DROP DATABASE " + database_ + " WITH (FORCE)");
    }
}

std::string Databases::url(Side side, const std::string& user, const std::string& password) const {
    return server(side).url(database_, user, password);
}

bool Databases::asked_again(Side side, const std::string& table) const {
    std::set<std::string> tries;  // Each is a transaction of its own.
    return eventually(std::chrono::seconds{20}, [&] {
        for (const auto& row :
             run(side,
                 "SELECT pid || ' ' || virtualtransaction FROM pg_locks WHERE NOT granted"
                 " AND relation = '" +
                     table + "'::regclass")
                 .rows) {
            tries.insert(row[0]);
        }
        return tries.size() > 1;
    });
}

backfill::postgres::Connection Databases::open(Side side,
                                               const std::string& mover_id,
                                               const std::string& user) const {
    backfill::postgres::Connection::Options options;
    if (!mover_id.empty()) options.settings = {{"segue.mover", mover_id}};
    auto connection = backfill::postgres::Connection::open(url(side, user), options);
    if (!connection) {
        ADD_FAILURE() << connection.error().detail;
        std::abort();  // No test can go on without its database.
    }
    return std::move(*connection);
}

}  // namespace segue::test
