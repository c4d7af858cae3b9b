#include "tests/support/who_waits.hpp"

namespace segue::test {

namespace {

constexpr const char* sessions_sql =
    "SELECT pid, backend_type, application_name, client_port, state, wait_event_type, wait_event, "
    "now() - xact_start, now() - state_change, pg_blocking_pids(pid), left(query, 200) "
    "FROM pg_stat_activity WHERE backend_type IN ('client backend', 'walsender') AND pid <> "
    "pg_backend_pid() ORDER BY xact_start";

constexpr const char* slots_sql =
    "SELECT 'slot', slot_name, active_pid, restart_lsn, confirmed_flush_lsn, 'log', "
    "pg_current_wal_flush_lsn(), pg_current_wal_insert_lsn() FROM pg_replication_slots";

}  // namespace

std::string who_waits(const PostgresServer& server) {
    Sql sql{server.socket_url()};
    std::string text = "at port " + std::to_string(server.port()) + ":\n";
    for (const char* question : {sessions_sql, slots_sql}) {
        const Answer answer = sql.attempt(question);
        if (!answer.ok) text += answer.message + sql.error();
        for (const auto& row : answer.rows) {
            for (const std::string& cell : row) text += cell + " | ";
            text += "\n";
        }
    }
    return text;
}

}  // namespace segue::test
