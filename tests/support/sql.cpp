#include "tests/support/sql.hpp"

#include <gtest/gtest.h>

namespace segue::test {

Sql::Sql(const std::string& url) : connection_(PQconnectdb(url.c_str())) {
    PQsetNoticeProcessor(
        connection_.get(), [](void*, const char*) {}, nullptr);
}

Answer Sql::take(PGresult* result) {
    Answer answer;
    const ExecStatusType status = PQresultStatus(result);
    answer.ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_COPY_IN;
    if (!answer.ok) {
        const char* sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        answer.sqlstate = sqlstate != nullptr ? sqlstate : "";
        answer.message =
            result != nullptr ? PQresultErrorMessage(result) : PQerrorMessage(connection_.get());
        if (answer.message.empty()) answer.message = PQerrorMessage(connection_.get());
    }
    // libpq may say so itself, without an SQLSTATE, before its status does.
    answer.connection_lost = !connected() || (!answer.ok && answer.sqlstate.empty());
    for (int row = 0; row < PQntuples(result); ++row) {
        std::vector<std::string>& cells = answer.rows.emplace_back();
        for (int column = 0; column < PQnfields(result); ++column) {
            cells.push_back(
                PQgetisnull(result, row, column) == 1 ? "\\N" : PQgetvalue(result, row, column));
        }
    }
    PQclear(result);
    return answer;
}

Answer Sql::attempt(const std::string& sql) { return take(PQexec(connection_.get(), sql.c_str())); }

Answer Sql::attempt(const std::string& sql, const std::vector<std::string>& parameters) {
    std::vector<const char*> values;
    for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
    return take(PQexecParams(connection_.get(),
                             sql.c_str(),
                             static_cast<int>(values.size()),
                             nullptr,
                             values.data(),
                             nullptr,
                             nullptr,
                             0));
}

Answer Sql::prepare(const std::string& name, const std::string& sql) {
    return take(PQprepare(connection_.get(), name.c_str(), sql.c_str(), 0, nullptr));
}

Answer Sql::execute_prepared(const std::string& name, const std::vector<std::string>& parameters) {
    std::vector<const char*> values;
    for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
    return take(PQexecPrepared(connection_.get(),
                               name.c_str(),
                               static_cast<int>(values.size()),
                               values.data(),
                               nullptr,
                               nullptr,
                               0));
}

Answer Sql::copy_in(const std::string& sql, const std::string& lines) {
    Answer begun = attempt(sql);
    if (!begun.ok) return begun;
    PQputCopyData(connection_.get(), lines.data(), static_cast<int>(lines.size()));
    PQputCopyEnd(connection_.get(), nullptr);
    Answer answer = take(PQgetResult(connection_.get()));
    while (PGresult* rest = PQgetResult(connection_.get())) PQclear(rest);
    return answer;
}

Answer Sql::query(const std::string& sql) {
    Answer answer = attempt(sql);
    if (!answer.ok)
        ADD_FAILURE() << "statement failed: " << sql << "\n  " << answer.sqlstate << " "
                      << answer.message;
    return answer;
}

}  // namespace segue::test
