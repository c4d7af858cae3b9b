#pragma once
// A plain libpq client for tests. `query` fails the running test when the server does; `attempt`
// tells what happened.

#include <libpq-fe.h>

#include <memory>
#include <string>
#include <vector>

namespace segue::test {

struct Answer {
    bool ok = false;
    bool connection_lost = false;
    std::string sqlstate, message;
    std::vector<std::vector<std::string>> rows;  // NULL is the two characters \N.

    // The first row's first column, or empty.
    std::string value() const {
        return rows.empty() || rows[0].empty() ? std::string{} : rows[0][0];
    }
};

class Sql {
public:
    explicit Sql(const std::string& url);

    bool connected() const { return PQstatus(connection_.get()) == CONNECTION_OK; }
    std::string error() const { return PQerrorMessage(connection_.get()); }

    Answer attempt(const std::string& sql);
    Answer attempt(const std::string& sql, const std::vector<std::string>& parameters);
    Answer prepare(const std::string& name, const std::string& sql);
    Answer execute_prepared(const std::string& name, const std::vector<std::string>& parameters);
    // COPY ... FROM STDIN with these lines (each with its newline).
    Answer copy_in(const std::string& sql, const std::string& lines);

    // As `attempt`, with a test failure that names the statement when it does not succeed.
    Answer query(const std::string& sql);
    std::string value(const std::string& sql) { return query(sql).value(); }

    PGconn* raw() const { return connection_.get(); }

private:
    struct Finish {
        void operator()(PGconn* connection) const { PQfinish(connection); }
    };
    Answer take(PGresult* result);
    std::unique_ptr<PGconn, Finish> connection_;
};

}  // namespace segue::test
