#include "backfill/postgres/connection.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>

namespace segue::backfill::postgres {

namespace {

template <class Number>
Number parse_number(std::string_view text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() ? value : Number{};
}

// libpq's messages end with a newline and may span lines; ours are one line. Where it has tried
// with TLS and without, and both have failed for one reason, libpq tells it twice.
std::string one_line(std::string_view message) {
    std::string all;
    for (std::string_view last; !message.empty();) {
        std::string_view line = message.substr(0, message.find('\n'));
        message.remove_prefix(std::min(line.size() + 1, message.size()));
        line.remove_prefix(std::min(line.find_first_not_of('\t'), line.size()));
        if (line != last) all.append(all.empty() ? "" : " ").append(line);
        last = line;
    }
    std::replace(all.begin(), all.end(), '\t', ' ');
    while (!all.empty() && all.back() == ' ') all.pop_back();
    return all;
}

// A value inside the `options` startup parameter: blanks and backslashes are escaped.
std::string escape_option(std::string_view value) {
    std::string escaped;
    for (const char c : value) {
        if (c == ' ' || c == '\\') escaped.push_back('\\');
        escaped.push_back(c);
    }
    return escaped;
}

// Whether the error comes from RAISE in a function that is not ours: its words are the
// application's.
bool raised(PGresult* result) {
    const char* source = result ? PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION) : nullptr;
    if (source == nullptr || std::string_view{source} != "exec_stmt_raise") return false;
    const char* context = PQresultErrorField(result, PG_DIAG_CONTEXT);
    return context == nullptr || !std::string_view{context}.starts_with("PL/pgSQL function segue.");
}

struct NamedSetting {
    const char *name, *value;
};

// One text of a value means the same on both servers, whatever the settings of server, database and
// role are; a query of ours means what it says, and what a server prints of itself is the same
// text; and a transaction sees what was committed before each of its statements.
constexpr NamedSetting normalised_settings[] = {{"DateStyle", "ISO"},
                                                {"IntervalStyle", "postgres"},
                                                {"TimeZone", "UTC"},
                                                {"bytea_output", "hex"},
                                                {"extra_float_digits", "3"},
                                                {"xmloption", "content"},
                                                {"lc_monetary", "C"},
                                                {"array_nulls", "on"},
                                                {"standard_conforming_strings", "on"},
                                                {"quote_all_identifiers", "off"},
                                                {"default_transaction_isolation", "read committed"},
                                                {"default_transaction_deferrable", "off"},
                                                {"search_path", "pg_catalog"}};
constexpr const char* no_timeouts =
    " -c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0";

std::string normalised_options() {
    std::string options;
    for (const NamedSetting& one : normalised_settings)
        options += std::string{options.empty() ? "-c " : " -c "} + one.name + "=" +
                   escape_option(one.value);
    return options + no_timeouts;
}

}  // namespace

long long Rows::number(int row, int column) const {
    return parse_number<long long>(at(row, column));
}

long long Rows::affected() const { return parse_number<long long>(PQcmdTuples(result_.get())); }

PGconn* Connection::start(const std::string& url, const Options& options, bool wait) {
    std::string startup = options.normalised ? normalised_options() : "";
    for (const auto& [setting, value] : options.settings) {
        startup += " -c " + setting + "=" + escape_option(value);
    }
    const std::string timeout = std::to_string(options.connect_timeout.count());
    const char* keys[] = {"dbname",
                          "fallback_application_name",
                          "options",
                          "client_encoding",
                          "connect_timeout",
                          "keepalives_idle",
                          "keepalives_interval",
                          "keepalives_count",
                          "tcp_user_timeout",
                          options.replication ? "replication" : nullptr,
                          nullptr};
    const char* values[] = {url.c_str(),
                            options.application_name.c_str(),
                            startup.c_str(),
                            "UTF8",
                            timeout.c_str(),
                            "10",
                            "5",
                            "3",
                            "30000",
                            options.replication ? "database" : nullptr,
                            nullptr};
    return wait ? PQconnectdbParams(keys, values, /*expand_dbname=*/1)
                : PQconnectStartParams(keys, values, /*expand_dbname=*/1);
}

Connection Connection::begin(const std::string& url, const Options& options) {
    return Connection{start(url, options, /*wait=*/false)};
}

Result<Connection> Connection::open(const std::string& url, const Options& options) {
    Connection connection{start(url, options, /*wait=*/true)};
    if (!connection.connection_) return Error{Errc::io, "out of memory while connecting"};
    if (!connection.good()) return connection.error("connect");
    PQsetNoticeProcessor(
        connection.raw(), [](void*, const char*) {}, nullptr);
    if (connection.server_version() < 140000) return connection;
    // They may be set for the role or the database. Older servers do not know them and would refuse
    // the login.
    const auto patient = connection.execute(
        "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings"
        " WHERE setting OPERATOR(pg_catalog.<>) '0' AND name OPERATOR(pg_catalog.=)"
        " ANY ('{idle_session_timeout,transaction_timeout}')");
    if (!patient) return patient.error();
    return connection;
}

Result<Rows> Connection::execute(const std::string& sql) {
    Rows rows{PQexec(raw(), sql.c_str())};
    const auto status = PQresultStatus(rows.raw());
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY ||
        status == PGRES_COPY_BOTH || status == PGRES_COPY_IN || status == PGRES_COPY_OUT) {
        return rows;
    }
    return error("statement", rows.raw());
}

bool send_statement(PGconn* connection, const std::string& sql, const Parameters& parameters) {
    std::vector<const char*> values;
    values.reserve(parameters.size());
    for (const auto& parameter : parameters)
        values.push_back(parameter ? parameter->c_str() : nullptr);
    return PQsendQueryParams(connection,
                             sql.c_str(),
                             static_cast<int>(values.size()),
                             nullptr,
                             values.data(),
                             nullptr,
                             nullptr,
                             0) == 1;
}

Result<Rows> Connection::execute(const std::string& sql, const Parameters& parameters) {
    std::vector<const char*> values;
    values.reserve(parameters.size());
    for (const auto& parameter : parameters) {
        values.push_back(parameter ? parameter->c_str() : nullptr);
    }
    Rows rows{PQexecParams(raw(),
                           sql.c_str(),
                           static_cast<int>(values.size()),
                           nullptr,
                           values.data(),
                           nullptr,
                           nullptr,
                           0)};
    const auto status = PQresultStatus(rows.raw());
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) return rows;
    return error("statement", rows.raw());
}

Error Connection::error(std::string_view what, PGresult* result) const {
    const char* sqlstate = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
    const char* primary = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : nullptr;
    Error error{good() ? Errc::server : Errc::closed, std::string{what} + ": "};
    // The detail and context fields of a server's error may hold row values: only the primary
    // message, and that without what may be one.
    error.detail +=
        one_line(primary ? without_values(primary, sqlstate ? sqlstate : "", raised(result))
                         : PQerrorMessage(raw()));
    if (sqlstate) error.sqlstate = sqlstate;
    return error;
}

void Connection::cancel() const {
    if (PGcancel* request = PQgetCancel(raw())) {
        char message[256];
        PQcancel(request, message, sizeof message);
        PQfreeCancel(request);
    }
}

std::string without_values(std::string_view message, std::string_view sqlstate, bool raised) {
    if (raised || sqlstate == "P0004")
        return "an error that a function of the database raised (its text may hold values of rows "
               "and is in that server's log)";
    if (!sqlstate.starts_with("22")) return std::string{message};  // Data exceptions quote values.
    // Other languages have quotation marks of their own.
    if (std::any_of(message.begin(), message.end(), [](unsigned char c) { return c >= 0x80; }))
        return "a data exception (its text may hold values of rows and is in that server's log)";
    const std::size_t open = message.find('"'), close = message.rfind('"');
    if (open == std::string_view::npos) return std::string{message};
    // A value may hold quotes of its own, and bytes may stand behind the name of their encoding.
    std::string_view rest = open == close ? "" : message.substr(close + 1);
    if (rest.starts_with(": ")) rest = "";
    return std::string{message.substr(0, open)} + "\"...\"" + std::string{rest};
}

std::optional<Position> parse_lsn(std::string_view text) {
    const std::size_t slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto hex = [](std::string_view digits) -> std::optional<std::uint64_t> {
        std::uint64_t value = 0;
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
        if (error != std::errc{} || end != digits.data() + digits.size() || value > 0xffffffff) {
            return std::nullopt;
        }
        return value;
    };
    const auto high = hex(text.substr(0, slash));
    const auto low = hex(text.substr(slash + 1));
    if (!high || !low) return std::nullopt;
    return Position{(*high << 32) | *low};
}

std::string format_lsn(Position position) {
    char buffer[32];
    std::snprintf(buffer,
                  sizeof buffer,
                  "%X/%X",
                  static_cast<unsigned>(position.value >> 32),
                  static_cast<unsigned>(position.value & 0xffffffff));
    return buffer;
}

std::string quote_identifier(std::string_view identifier) {
    std::string quoted{'"'};
    for (const char c : identifier) {
        if (c == '"') quoted.push_back('"');
        quoted.push_back(c);
    }
    quoted.push_back('"');
    return quoted;
}

std::string quote_literal(std::string_view value) {
    std::string quoted = value.find('\\') == std::string_view::npos ? "'" : " E'";
    for (const char c : value) {
        if (c == '\'' || c == '\\') quoted.push_back(c);
        quoted.push_back(c);
    }
    quoted.push_back('\'');
    return quoted;
}

std::string normalised_settings_sql() {
    std::string sql;
    for (const NamedSetting& one : normalised_settings)
        sql += std::string{"SET "} + one.name + " = '" + one.value + "'; ";
    return sql + "SET client_encoding = 'UTF8'";
}

std::string qualified(std::string_view schema, std::string_view name) {
    return quote_identifier(schema) + "." + quote_identifier(name);
}

}  // namespace segue::backfill::postgres
