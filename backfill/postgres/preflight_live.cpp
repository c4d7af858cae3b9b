#include "backfill/postgres/preflight_live.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>

#include "router/counted.hpp"

namespace segue::backfill::postgres {

namespace {

using Steady = std::chrono::steady_clock;

constexpr int round_trips = 5;
constexpr int transferred_megabytes = 4;
constexpr double clock_difference_max = 0.5;                // Seconds.
constexpr std::chrono::microseconds near_round_trip{5000};  // Beyond it `mirror sync` is felt.

std::string decimal(double value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, value < 10 ? "%.1f" : "%.0f", value);
    return buffer;
}

std::string milliseconds(std::chrono::microseconds time) {
    return decimal(static_cast<double>(time.count()) / 1000.0) + " ms";
}

// What statements leave in one server process, and by what words they are known.
struct StatementKind {
    const char* object;
    const char* pattern;
    const char* reason;
    const char* remedy;
    FindingCode code = "session_state";
    Severity severity = Severity::warn;
};

constexpr std::array statement_kinds = {
    StatementKind{"session advisory locks",
                  R"(\mpg_(try_)?advisory_lock(_shared)?\M)",
                  "sessions that hold one are pinned",
                  "use pg_advisory_xact_lock"},
    StatementKind{"cursors WITH HOLD",
                  R"(\mdeclare\M.*\mwith\s+hold\M)",
                  "sessions with an open one are pinned",
                  "close them before the cutover"},
    StatementKind{
        "currval and lastval",
        R"(\m(currval|lastval)\s*\()",
        "they do not survive a move; sessions are pinned for a short while after each use",
        "use INSERT ... RETURNING"},
    StatementKind{"prepared transactions",
                  R"(^\s*prepare\s+transaction\M)",
                  "one that is open on the old side refuses the cutover",
                  "pause what uses them during the cutover"},
    StatementKind{
        "LISTEN",
        R"(^\s*listen\M)",
        "listens go along with their session; notifications sent during the hold arrive after it",
        "nothing, where a notification may come late"},
    StatementKind{"LOAD",
                  R"(^\s*load\s)",
                  "libraries loaded by it stay behind",
                  "use session_preload_libraries on both servers"},
    StatementKind{"setval and RESTART IDENTITY",
                  R"(\msetval\s*\(|\mrestart\s+identity\M|^\s*alter\s+sequence\M.*\mrestart\M)",
                  "a sequence that they set back is ahead of it on the other side",
                  "set it once more after the cutover, if the lower values matter",
                  "sequence_set_back",
                  Severity::information},
};

// What makes one row, or one change, cost more than its share. By what the statistics know: no
// table is read. Each query: object, reason.
constexpr const char* heavy_queries[] = {
    R"sql(
        SELECT n.nspname || '.' || c.relname, format('its rows are large: %s each on average, of about %s rows; a change of one'
               ' carries it whole, and the largest may be far above that', pg_size_pretty(w.width::bigint), c.reltuples::bigint)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class t ON t.oid = c.reltoastrelid,
        LATERAL (SELECT (c.relpages + coalesce(t.relpages, 0))::float8 * current_setting('block_size')::int
                        / nullif(greatest(c.reltuples, 0), 0) AS width) w
        WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.relpages + coalesce(t.relpages, 0) > 64 AND w.width > 65536
          AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue')
        ORDER BY w.width DESC LIMIT 3)sql",
    R"sql(
        SELECT schemaname || '.' || relname, format('it has hot keys: %s updates of %s rows so far; changes of one row are'
               ' applied one after the other', n_tup_upd, n_live_tup)
        FROM pg_stat_user_tables
        WHERE n_tup_upd > 10000 AND n_tup_upd > 1000 * greatest(n_live_tup, 1) AND schemaname <> 'segue'
        ORDER BY n_tup_upd::float8 / greatest(n_live_tup, 1) DESC LIMIT 3)sql"};

// "SELECT ... AS query": of the statistics, where our role may read them, else of the sessions.
Result<std::string> statements_source(Connection& source) {
    const auto rows = source.execute(R"sql(
        SELECT format('%I.pg_stat_statements', n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'pg_stat_statements'
          AND has_table_privilege(format('%I.pg_stat_statements', n.nspname), 'SELECT'))sql");
    if (!rows) return rows.error();
    const std::string sessions =
        "SELECT query, 1::bigint AS calls FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND pid <> pg_backend_pid() AND application_name NOT LIKE 'segue%'";
    if (rows->size() == 0) return sessions;
    const std::string statistics =
        "SELECT query, calls FROM " + rows->text(0, 0) +
        " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    // The extension may be there without its library being loaded: then it only raises an error.
    return source.execute(statistics + " LIMIT 1") ? statistics : sessions;
}

void tell_heavy_tables(Connection& source, std::vector<Finding>& findings) {
    for (const char* query : heavy_queries) {
        const auto rows = source.execute(query);
        if (!rows) continue;  // Nothing is decided by it.
        for (int row = 0; row < rows->size(); ++row) {
            findings.push_back({Severity::information,
                                "size",
                                "source: " + rows->text(row, 0),
                                rows->text(row, 1),
                                ""});
        }
    }
}

}  // namespace

std::optional<Distance> measure_distance(Side side,
                                         Connection& connection,
                                         std::vector<Finding>& findings) {
    Distance distance{std::chrono::microseconds::max(), 0, 0};
    for (int i = 0; i < round_trips; ++i) {
        const auto begin = Steady::now();
        const auto before = std::chrono::system_clock::now().time_since_epoch();
        const auto there =
            connection.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint");
        const auto taken =
            std::chrono::duration_cast<std::chrono::microseconds>(Steady::now() - begin);
        if (!there) return std::nullopt;  // The connection is gone: the rules say so.
        if (taken >= distance.round_trip) continue;
        distance.round_trip = taken;
        const auto middle =
            std::chrono::duration_cast<std::chrono::microseconds>(before) + taken / 2;
        distance.clock_ahead_seconds =
            static_cast<double>(there->number(0, 0) - middle.count()) / 1e6;
    }
    const auto begin = Steady::now();
    const auto sent = connection.execute("SELECT repeat('x', " +
                                         std::to_string(transferred_megabytes << 20) + ")");
    if (!sent) return std::nullopt;
    distance.megabytes_per_second =
        transferred_megabytes / std::chrono::duration<double>(Steady::now() - begin).count();
    const bool far = distance.round_trip > near_round_trip;
    findings.push_back({far ? Severity::warn : Severity::information,
                        "network",
                        std::string{name(side)},
                        "round trip " + milliseconds(distance.round_trip) + ", " +
                            decimal(distance.megabytes_per_second) + " MB/s from there",
                        far ? "run Segue nearer to it" : ""});
    return distance;
}

void check_clocks(const Distance& source, const Distance& target, std::vector<Finding>& findings) {
    const double ahead = target.clock_ahead_seconds - source.clock_ahead_seconds;
    if (std::abs(ahead) <= clock_difference_max) return;
    findings.push_back({Severity::warn,
                        "clock",
                        "target",
                        "its clock is " + decimal(std::abs(ahead)) + " s " +
                            (ahead > 0 ? "ahead of" : "behind") + " the source's",
                        "chronyc makestep  # on both hosts, with NTP set up"});
}

void tell_size(Connection& source,
               std::vector<Finding>& findings,
               std::chrono::seconds counted_for_min) {
    // Where a database's own counters have never been reset the server does not tell since when it
    // has counted (from PostgreSQL 15 on): no longer than it has kept any. They outlive a restart.
    const auto rows = source.execute(R"sql(
        SELECT pg_size_pretty(pg_database_size(current_database())), count(*), coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint,
               count(*) FILTER (WHERE c.relispartition),
               min(round(d.written / greatest(1, extract(epoch FROM now() - d.since))::numeric, 1)),
               min(floor(extract(epoch FROM now() - d.since))::bigint), min(to_char(d.since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
        (SELECT tup_inserted + tup_updated + tup_deleted AS written,
                coalesce(d.stats_reset, least(a.stats_reset, b.stats_reset), pg_postmaster_start_time()) AS since
         FROM pg_stat_database d, pg_stat_archiver a, pg_stat_bgwriter b WHERE d.datname = current_database()) d
        WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT LIKE 'pg\_%'
          AND n.nspname NOT IN ('information_schema', 'segue'))sql");
    if (!rows) return;
    std::string rate;
    if (!rows->null(0, 5)) {
        const std::chrono::seconds counted_for{rows->number(0, 5)};
        rate = counted_for >= counted_for_min
                   ? rows->text(0, 4) + " of them written a second on average since " +
                         rows->text(0, 6) + " UTC"
                   : "how many are written a second cannot be told yet, because the server has"
                     " counted them for " +
                         std::to_string(counted_for.count()) + " s only";
        rate = ", " + rate;
    }
    findings.push_back({Severity::information,
                        "size",
                        "source",
                        rows->text(0, 0) + " with indexes, " +
                            counted(rows->number(0, 1), "table", "tables") +
                            " (partitions: " + rows->text(0, 3) + "), about " +
                            counted(rows->number(0, 2), "row", "rows") + rate +
                            "; the target needs as much room, "
                            "and more for its log meanwhile",
                        "df -h  # on the target's host, for its data directory"});
    tell_heavy_tables(source, findings);
}

void check_statements(Connection& source, std::vector<Finding>& findings) {
    const auto statements = statements_source(source);
    if (!statements) return;  // Without statistics nothing is known of statements.
    for (const StatementKind& kind : statement_kinds) {
        const auto rows = source.execute(
            "SELECT coalesce(sum(calls), 0)::bigint FROM (" + *statements + ") s WHERE query ~* $1",
            {kind.pattern});
        if (!rows || rows->number(0, 0) == 0) continue;
        findings.push_back({kind.severity,
                            kind.code,
                            std::string{"source: "} + kind.object,
                            "seen in " + counted(rows->number(0, 0), "statement", "statements") +
                                ": " + kind.reason,
                            kind.remedy});
    }
}

}  // namespace segue::backfill::postgres
