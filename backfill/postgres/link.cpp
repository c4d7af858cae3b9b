#include "backfill/postgres/link.hpp"

#include <algorithm>
#include <utility>

#include "backfill/postgres/input_at_hand.hpp"
#include "backfill/postgres/lock_retry.hpp"

namespace segue::backfill::postgres {

namespace {

// How long before the deadline the server gives up by itself, so that its answer still reaches us.
constexpr std::chrono::milliseconds server_margin{50};
// By which its clock may be ahead of ours.
constexpr std::chrono::milliseconds timer_slack{5};

// False when the deadline came first. A broken socket is readable: libpq then tells.
bool wait_readable(const Connection& connection, Deadline deadline) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        const auto limit_ms = static_cast<int>(std::clamp<long long>(left.count(), 0, 60'000));
        if (wait_for_input(connection.raw(), limit_ms)) return true;
        if (std::chrono::steady_clock::now() >= deadline) return false;
    }
}

Result<Rows> collect(Connection& connection, Deadline deadline) {
    std::optional<Rows> last;
    std::optional<Error> failure;
    for (;;) {
        while (PQisBusy(connection.raw()) == 1) {
            if (!wait_readable(connection, deadline)) {
                return Error{Errc::timed_out, "no answer from the server in time"};
            }
            if (PQconsumeInput(connection.raw()) == 0) return connection.error("statement");
        }
        Rows rows{PQgetResult(connection.raw())};
        if (!rows.raw()) break;
        const auto status = PQresultStatus(rows.raw());
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
            if (!failure) failure = connection.error("statement", rows.raw());
        } else {
            last = std::move(rows);
        }
    }
    if (failure) {
        if (failure->code == Errc::server && met_a_lock(*failure)) {
            failure->code = Errc::timed_out;
            // The time that was asked for is over: nobody has cancelled it for a lock's sake.
            if (failure->sqlstate == query_canceled &&
                std::chrono::steady_clock::now() >= deadline - server_margin - timer_slack)
                failure->sqlstate.clear();
        }
        return *failure;
    }
    if (!last) return connection.error("statement");
    return std::move(*last);
}

}  // namespace

long long milliseconds_until(Deadline deadline) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    return std::max<long long>(1, left.count());
}

bool usable(const Connection& connection) {
    const auto status = PQtransactionStatus(connection.raw());
    return connection.good() && status != PQTRANS_ACTIVE && status != PQTRANS_UNKNOWN;
}

Result<Rows> execute_before(Connection& connection,
                            const std::string& sql,
                            const std::optional<Parameters>& parameters,
                            Deadline deadline) {
    const std::string limit =
        "SET statement_timeout = " + std::to_string(milliseconds_until(deadline - server_margin));
    if (PQsendQuery(connection.raw(), limit.c_str()) == 0) return connection.error("statement");
    // In a failed transaction the SET is refused; then the statement itself tells why.
    if (auto set = collect(connection, deadline); !set && set.error().code != Errc::server) {
        return set.error();
    }
    const bool sent = parameters ? send_statement(connection.raw(), sql, *parameters)
                                 : PQsendQuery(connection.raw(), sql.c_str()) == 1;
    if (!sent) return connection.error("statement");
    return collect(connection, deadline);
}

Link::Link(std::string url, Connection::Options options)
    : url_(std::move(url)), options_(std::move(options)) {}

Result<Connection*> Link::connection() {
    if (!open()) {
        connection_.reset();
        auto fresh = Connection::open(url_, options_);
        if (!fresh) return fresh.error();
        connection_ = std::move(*fresh);
    }
    return &*connection_;
}

Result<Rows> Link::run(const std::string& sql, const std::optional<Parameters>& parameters) {
    return run(sql, parameters, std::chrono::steady_clock::now() + statement_time_max);
}

Result<Rows> Link::run(const std::string& sql,
                       const std::optional<Parameters>& parameters,
                       Deadline deadline) {
    const bool old_connection = open();
    auto first = connection();
    if (!first) return first.error();
    auto rows = execute_before(**first, sql, parameters, deadline);
    if (rows || rows.error().code != Errc::closed || !old_connection) return rows;
    connection_.reset();
    auto second = connection();
    if (!second) return second.error();
    return execute_before(**second, sql, parameters, deadline);
}

}  // namespace segue::backfill::postgres
