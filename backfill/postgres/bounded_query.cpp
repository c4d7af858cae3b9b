#include "backfill/postgres/bounded_query.hpp"

#include "backfill/postgres/input_at_hand.hpp"

namespace segue::backfill::postgres {

namespace {

using Clock = std::chrono::steady_clock;

Status wait_for_result(Connection& connection,
                       std::chrono::milliseconds limit,
                       Clock::time_point deadline) {
    while (PQisBusy(connection.raw()) == 1) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
        if (left.count() <= 0) {
            return Error{
                Errc::closed,
                "no answer for " + std::to_string(limit.count()) + " ms: the way to it may be cut"};
        }
        const bool readable = wait_for_input(connection.raw(), static_cast<int>(left.count()));
        if (readable && PQconsumeInput(connection.raw()) != 1) return connection.error("statement");
    }
    return Done{};
}

}  // namespace

Result<Rows> execute_within(Connection& connection,
                            std::chrono::milliseconds limit,
                            const std::string& sql,
                            const Parameters& parameters) {
    const auto deadline = Clock::now() + limit;
    if (!send_statement(connection.raw(), sql, parameters)) return connection.error("statement");
    Rows rows{nullptr};
    // Up to the null that says that the server is ready again: that message, too, may never come.
    for (;;) {
        if (const Status arrived = wait_for_result(connection, limit, deadline); !arrived)
            return arrived.error();
        Rows result{PQgetResult(connection.raw())};
        if (result.raw() == nullptr) break;
        if (rows.raw() == nullptr) rows = std::move(result);
    }
    const auto status = PQresultStatus(rows.raw());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        return connection.error("statement", rows.raw());
    return rows;
}

}  // namespace segue::backfill::postgres
