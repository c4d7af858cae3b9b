#include "backfill/postgres/open_transactions.hpp"

#include <thread>

#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::seconds answer_max{5};

}  // namespace

Result<std::string> await_transactions(Connection& connection,
                                       std::vector<std::string> transactions,
                                       std::chrono::milliseconds pause,
                                       Deadline deadline) {
    std::string pids;
    while (!transactions.empty()) {
        const auto open = execute_before(connection,
                                         R"sql(
            SELECT x, coalesce(
                (SELECT l.pid::text FROM pg_locks l WHERE l.locktype = 'transactionid' AND l.granted
                 AND l.mode = 'ExclusiveLock' AND l.transactionid = o.short LIMIT 1), 'prepared')
            FROM (SELECT x, (x::text::numeric % 4294967296)::text::xid AS short
                  FROM unnest($1::xid8[]) x) o
            WHERE pg_xact_status(x) = 'in progress'
              AND NOT EXISTS (
                  SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
                  WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
                    AND l.transactionid = o.short
                    AND a.datid <> (SELECT oid FROM pg_database WHERE datname = current_database()))
              AND NOT EXISTS (SELECT FROM pg_prepared_xacts p
                              WHERE p.transaction = o.short AND p.database <> current_database()))sql",
                                         Parameters{text_array(transactions)},
                                         deadline);
        if (!open && open.error().code == Errc::timed_out && !pids.empty()) return pids;
        if (!open) return open.error();
        transactions.clear();
        pids.clear();
        for (int row = 0; row < open->size(); ++row) {
            transactions.push_back(open->text(row, 0));
            pids += " " + open->text(row, 1);
        }
        if (transactions.empty()) break;
        if (std::chrono::steady_clock::now() + pause >= deadline) return pids;
        std::this_thread::sleep_for(pause);
    }
    return std::string{};
}

std::string oldest_of(Connection& connection, const std::string& pids) {
    const std::string some =
        "a transaction" + (pids.empty() ? std::string{} : " (pids:" + pids + ")");
    if (!usable(connection)) return some;
    const auto rows = execute_before(connection,
                                     R"sql(
        SELECT since, told FROM (
            SELECT a.xact_start AS since, format('the transaction of server process %s (%s, %s s;'
                ' SELECT pg_terminate_backend(%s) ends it)', a.pid,
                coalesce(nullif(a.application_name, ''), 'no application name'),
                extract(epoch FROM clock_timestamp() - a.xact_start)::bigint, a.pid) AS told
            FROM pg_stat_activity a WHERE a.pid::text = ANY (string_to_array($1, ' '))
            UNION ALL
            SELECT p.prepared, format('the prepared transaction %L (%s s; COMMIT PREPARED or ROLLBACK'
                ' PREPARED ends it)', translate(p.gid, E'\n\r', '  '), extract(epoch FROM clock_timestamp() - p.prepared)::bigint)
            FROM pg_prepared_xacts p
            WHERE p.database = current_database() AND 'prepared' = ANY (string_to_array($1, ' '))) AS o
        ORDER BY since LIMIT 1)sql",
                                     Parameters{pids},
                                     std::chrono::steady_clock::now() + answer_max);
    return rows && rows->size() == 1 ? rows->text(0, 1) : some;
}

}  // namespace segue::backfill::postgres
