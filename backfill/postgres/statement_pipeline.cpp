#include "backfill/postgres/statement_pipeline.hpp"

#include <poll.h>

#include <cerrno>
#include <utility>

#include "backfill/postgres/input_at_hand.hpp"
#include "router/counted.hpp"

namespace segue::backfill::postgres {

Result<StatementPipeline> StatementPipeline::enter(Connection& connection) {
    if (PQsetnonblocking(connection.raw(), 1) != 0 || PQenterPipelineMode(connection.raw()) != 1) {
        return connection.error("pipeline");
    }
    return StatementPipeline{connection};
}

StatementPipeline::StatementPipeline(StatementPipeline&& other) noexcept
    : connection_(std::exchange(other.connection_, nullptr)) {}

StatementPipeline::~StatementPipeline() {
    if (!connection_) return;
    PQexitPipelineMode(connection_->raw());
    PQsetnonblocking(connection_->raw(), 0);
}

Status StatementPipeline::prepare(const std::string& name,
                                  const std::string& sql,
                                  std::string_view subject) {
    return sent(PQsendPrepare(connection_->raw(), name.c_str(), sql.c_str(), 0, nullptr),
                {{}, subject});
}

Status StatementPipeline::execute(const std::string& name,
                                  const std::vector<const char*>& values,
                                  Expect expect) {
    return sent(PQsendQueryPrepared(connection_->raw(),
                                    name.c_str(),
                                    static_cast<int>(values.size()),
                                    values.data(),
                                    nullptr,
                                    nullptr,
                                    0),
                expect);
}

Status StatementPipeline::query(const std::string& sql,
                                const Parameters& parameters,
                                Expect expect) {
    std::vector<const char*> values;
    for (const auto& parameter : parameters)
        values.push_back(parameter ? parameter->c_str() : nullptr);
    return sent(PQsendQueryParams(connection_->raw(),
                                  sql.c_str(),
                                  static_cast<int>(values.size()),
                                  nullptr,
                                  values.data(),
                                  nullptr,
                                  nullptr,
                                  0),
                expect);
}

Status StatementPipeline::sent(int accepted, Expect expect) {
    if (accepted != 1) return connection_->error("pipeline");
    outstanding_.push_back(expect);
    constexpr std::size_t pump_every = 64;
    if (outstanding_.size() % pump_every == 0) {
        if (const Status pumped = pump(); !pumped) return pumped;
    }
    if (outstanding_.size() < pipeline_depth_max) return Done{};
    // The server holds its answers back until it is asked for them or its buffer is full.
    if (PQsendFlushRequest(connection_->raw()) != 1) return connection_->error("pipeline");
    while (outstanding_.size() > pipeline_depth_max / 2) {
        if (const Status pumped = pump(); !pumped) return pumped;
        if (outstanding_.size() <= pipeline_depth_max / 2) break;
        if (const Status waited = wait_for_socket(); !waited) return waited;
    }
    return Done{};
}

Status StatementPipeline::finish() {
    if (PQpipelineSync(connection_->raw()) != 1) return connection_->error("pipeline");
    sync_outstanding_ = true;
    for (;;) {
        if (const Status pumped = pump(); !pumped) return pumped;
        if (!sync_outstanding_) break;
        if (const Status waited = wait_for_socket(); !waited) return waited;
    }
    if (!failure_) return Done{};
    return *std::exchange(failure_, std::nullopt);
}

Status StatementPipeline::suspend() {
    if (const Status finished = finish(); !finished) return finished;
    PGconn* const connection = connection_->raw();
    if (PQexitPipelineMode(connection) != 1 || PQsetnonblocking(connection, 0) != 0)
        return connection_->error("pipeline");
    return Done{};
}

Status StatementPipeline::resume() {
    PGconn* const connection = connection_->raw();
    if (PQsetnonblocking(connection, 1) != 0 || PQenterPipelineMode(connection) != 1)
        return connection_->error("pipeline");
    return Done{};
}

Status StatementPipeline::wait_for_socket() {
    pollfd entry{PQsocket(connection_->raw()), POLLIN, 0};
    const int unsent = PQflush(connection_->raw());
    if (unsent < 0) return connection_->error("pipeline");
    if (unsent > 0) entry.events |= POLLOUT;
    if (input_at_hand(connection_->raw())) return Done{};
    if (poll(&entry, 1, -1) < 0 && errno != EINTR) return Error{Errc::io, "poll failed"};
    return Done{};
}

Status StatementPipeline::pump() {
    PGconn* const connection = connection_->raw();
    if (PQflush(connection) < 0 || PQconsumeInput(connection) != 1) {
        return connection_->error("pipeline");
    }
    while ((!outstanding_.empty() || sync_outstanding_) && PQisBusy(connection) == 0) {
        PGresult* const result = PQgetResult(connection);
        if (result) {
            take_result(result);
        } else if (!outstanding_.empty()) {
            outstanding_.pop_front();  // A null result ends the answer of one statement.
        } else {
            break;
        }
    }
    if (!connection_->good()) return connection_->error("pipeline");
    return Done{};
}

void StatementPipeline::take_result(PGresult* result) {
    Rows rows{result};
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_PIPELINE_SYNC) {
        sync_outstanding_ = false;
        return;
    }
    if (failure_ || status == PGRES_PIPELINE_ABORTED) return;
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        const Expect& expect = outstanding_.front();
        if (!expect.rows || rows.affected() == *expect.rows) return;
        failed_subject_ = expect.subject;
        failure_ =
            Error{Errc::bad_value,
                  failed_subject_ + ": a change hit " + counted(rows.affected(), "row", "rows") +
                      " instead of " + std::to_string(*expect.rows)};
        return;
    }
    failed_subject_ = outstanding_.empty() ? "" : outstanding_.front().subject;
    // What is checked at the end of the transaction only the server can tell the table of.
    const char* const schema = PQresultErrorField(result, PG_DIAG_SCHEMA_NAME);
    const char* const table = PQresultErrorField(result, PG_DIAG_TABLE_NAME);
    if (schema != nullptr && table != nullptr && failed_subject_ == "COMMIT")
        failed_subject_ = std::string{schema} + "." + table;
    failure_ = connection_->error(failed_subject_.empty() ? "apply" : failed_subject_, result);
}

}  // namespace segue::backfill::postgres
