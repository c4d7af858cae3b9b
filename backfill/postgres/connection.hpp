#pragma once
// One connection to a PostgreSQL server through libpq, for everything that holds state (locks,
// snapshots, COPY, replication, apply). It never reconnects by itself: after an error that breaks
// it, make a new one.

#include <libpq-fe.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/position.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// Rows of one answered statement, as text. Owns the libpq result.
class Rows {
public:
    explicit Rows(PGresult* result) : result_(result) {}

    int size() const { return PQntuples(result_.get()); }
    bool null(int row, int column) const { return PQgetisnull(result_.get(), row, column) == 1; }
    // Valid as long as this object. Empty for NULL.
    std::string_view at(int row, int column) const {
        return {PQgetvalue(result_.get(), row, column),
                static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
    }
    std::string text(int row, int column) const { return std::string{at(row, column)}; }
    // Zero for what is not a number.
    long long number(int row, int column) const;
    bool truth(int row, int column) const { return at(row, column) == "t"; }
    // Rows that the statement changed; zero where the tag has none.
    long long affected() const;
    PGresult* raw() const { return result_.get(); }

private:
    struct Clear {
        void operator()(PGresult* result) const { PQclear(result); }
    };
    std::unique_ptr<PGresult, Clear> result_;
};

using Parameters = std::vector<std::optional<std::string>>;

// Sends one statement whose answer comes as text, and waits for nothing. False: libpq says why.
bool send_statement(PGconn* connection, const std::string& sql, const Parameters& parameters);

class Connection {
public:
    struct Options {
        std::string application_name = "segue";
        // (name, value) settings in force from the first statement on, e.g. {"segue.mover", id}.
        std::vector<std::pair<std::string, std::string>> settings;
        bool replication = false;
        bool normalised = true;  // False: the session keeps the server's settings, as a client's.
        std::chrono::seconds connect_timeout{10};
    };

    // `url` is a libpq URI or connection string. sslmode defaults to prefer. The session's output
    // settings are normalised (UTF8, UTC, ISO, bytea hex, search_path empty but pg_catalog; money
    // as the C locale writes it) and its statement, lock and idle timeouts are off, unless
    // `options.settings` says otherwise. The error names host, port, database and user, never the
    // password.
    static Result<Connection> open(const std::string& url, const Options& options);
    // One that is only being made, by whoever calls PQconnectPoll on it; connect_timeout is his to
    // keep. Waits for nothing but a host's name to be resolved. The server's idle timeouts stay.
    static Connection begin(const std::string& url, const Options& options);

    // Runs one or several statements by the simple protocol; the last one's answer. Errc::server
    // with the SQLSTATE for an ERROR, Errc::closed where the connection broke.
    Result<Rows> execute(const std::string& sql);
    Result<Rows> execute(const std::string& sql, const Parameters& parameters);

    // For COPY, pipeline and replication, which callers drive themselves.
    PGconn* raw() const { return connection_.get(); }
    // The connection's last error as a value; `what` names the statement's purpose.
    Error error(std::string_view what, PGresult* result = nullptr) const;
    bool good() const { return connection_ && PQstatus(connection_.get()) == CONNECTION_OK; }
    int backend_pid() const { return PQbackendPID(connection_.get()); }
    int server_version() const { return PQserverVersion(connection_.get()); }

    // Sends a cancel request from any thread; the connection itself stays usable.
    void cancel() const;

private:
    struct Finish {
        void operator()(PGconn* connection) const { PQfinish(connection); }
    };
    explicit Connection(PGconn* connection) : connection_(connection) {}
    static PGconn* start(const std::string& url, const Options& options, bool wait);
    std::unique_ptr<PGconn, Finish> connection_;
};

// What a normalised session has set, for whoever repeats a query of ours in another one.
std::string normalised_settings_sql();

// A server's primary message without what may be the value of a row: data exceptions (class 22)
// quote them, and what a function of the application raises says whatever it likes.
std::string without_values(std::string_view message, std::string_view sqlstate, bool raised);

// "0/16B3748" <-> Position.
std::optional<Position> parse_lsn(std::string_view text);
std::string format_lsn(Position position);

// Quoting for SQL text that is built from names and values.
std::string quote_identifier(std::string_view identifier);
std::string quote_literal(std::string_view value);
std::string qualified(std::string_view schema, std::string_view name);

}  // namespace segue::backfill::postgres
