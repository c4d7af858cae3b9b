#pragma once
// Two real servers shared by the tests of one binary, and a new pair of databases for each test.

#include <gtest/gtest.h>

#include <string>

#include "backfill/postgres/connection.hpp"
#include "router/side.hpp"
#include "tests/support/postgres_server.hpp"

namespace segue::test {

class Databases {
public:
    Databases();
    ~Databases();
    Databases(const Databases&) = delete;
    Databases& operator=(const Databases&) = delete;

    static PostgresServer& server(Side side);  // Started on first use, stopped at exit.

    std::string url(Side side,
                    const std::string& user = "postgres",
                    const std::string& password = "postgres") const;
    const std::string& database() const { return database_; }
    // As superuser; a test failure when it fails.
    Answer run(Side side, const std::string& sql) const {
        Answer answer = server(side).run(sql, database_);
        EXPECT_TRUE(answer.ok) << answer.message << " of " << sql;
        return answer;
    }
    std::string value(Side side, const std::string& sql) const {
        return server(side).value(sql, database_);
    }
    // True when, before the time is over, two tries for a lock on `table` (qualified) have waited
    // one after another.
    bool asked_again(Side side, const std::string& table) const;
    // A connection of Segue's kind. `mover_id` sets segue.mover.
    backfill::postgres::Connection open(Side side,
                                        const std::string& mover_id = "",
                                        const std::string& user = "postgres") const;

private:
    std::string database_;
};

}  // namespace segue::test
