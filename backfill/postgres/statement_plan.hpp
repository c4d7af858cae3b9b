#pragma once
// How a server would execute a statement of the application's: its plan, asked for with EXPLAIN and
// never with ANALYZE, in a transaction that reads only, lasts seconds at most and is rolled back.
//
// To plan a statement may run functions that it names, or that stand in views and policies under
// it. They run inside a function that belongs to the role that the application's session had, where
// the server lets nobody take another role: with no more rights than when the application has the
// statement planned.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// What a session had in force when it sent a statement.
struct PlanContext {
    std::string role;                                           // The current one.
    std::vector<std::pair<std::string, std::string>> settings;  // Those that it had set itself.
};

struct PlanQuestion {
    std::string statement;  // One read; its parameters, if any, as $1 ...
    // What the client has said of them: OIDs of pg_type, 0 where the server infers it. May be
    // fewer.
    std::vector<std::uint32_t> parameter_types;
    std::shared_ptr<const PlanContext> context;  // Never null.
};

inline constexpr std::chrono::seconds plan_time_max{
    5};  // For all of it; the server gives up first.
inline constexpr std::chrono::milliseconds plan_lock_wait_max{1000};

// The plan that serves every value (a generic plan), line by line, without string constants. The
// connection keeps the server's settings (Connection::Options::normalised is false), and is to be
// closed afterwards: it is in no known state. An Error tells what the server said.
Result<std::vector<std::string>> plan_of(Connection& connection, const PlanQuestion& question);

}  // namespace segue::backfill::postgres
