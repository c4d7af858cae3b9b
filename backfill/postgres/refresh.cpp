#include "backfill/postgres/store.hpp"
#include "backfill/postgres/twin.hpp"
#include "backfill/postgres/verify_query.hpp"

namespace segue::backfill::postgres {

namespace {

// Writer number in segue.progress of a refresh.
constexpr int refresh_writer = 1000;

Status copy_rows(Connection& from,
                 Connection& to,
                 const Table& table,
                 const std::string& condition) {
    std::string columns;
    for (const Column& column : table.columns) {
        if (column.generated) continue;
        columns += (columns.empty() ? "" : ", ") + quote_identifier(column.name);
    }
    auto reading = from.execute("COPY (SELECT " + columns + " FROM ONLY " + table.qualified_name() +
                                " WHERE " + condition + ") TO STDOUT");
    if (!reading) return reading.error();
    auto writing = to.execute("COPY " + table.qualified_name() + " (" + columns + ") FROM STDIN");
    if (!writing) return writing.error();
    for (;;) {
        char* row = nullptr;
        const int size = PQgetCopyData(from.raw(), &row, 0);
        if (size < -1) return from.error("refresh");
        if (size < 0) break;
        const int put = PQputCopyData(to.raw(), row, size);
        PQfreemem(row);
        if (put != 1) return to.error("refresh");
    }
    while (PGresult* rest = PQgetResult(from.raw())) PQclear(rest);
    if (PQputCopyEnd(to.raw(), nullptr) != 1) return to.error("refresh");
    Rows stored{PQgetResult(to.raw())};
    Status result = Done{};
    if (PQresultStatus(stored.raw()) != PGRES_COMMAND_OK)
        result = to.error("refresh", stored.raw());
    while (PGresult* rest = PQgetResult(to.raw())) PQclear(rest);
    return result;
}

struct Refresh {
    MoverRun& run;
    Side authority;
    const Table& table;
    const std::string& condition;
    const std::string& account;
};

// One mover transaction on the follower: removed and inserted, marked as ours.
Status rewrite(const Refresh& refresh, PostgresTwin& twin, Connection& writer) {
    // An attempt that met a lock may have left its transaction.
    const bool idle = PQtransactionStatus(writer.raw()) == PQTRANS_IDLE;
    auto begun = writer.execute(idle ? "BEGIN" : "ROLLBACK; BEGIN");
    if (!begun) return begun.error();
    auto removed = writer.execute("DELETE FROM ONLY " + refresh.table.qualified_name() + " WHERE " +
                                  refresh.condition);
    if (!removed) return removed.error();
    const Status copied =
        copy_rows(twin.connection(refresh.authority), writer, refresh.table, refresh.condition);
    if (!copied) return copied;
    auto noted = writer.execute(refresh.account);
    if (!noted) return noted.error();
    auto pipeline = StatementPipeline::enter(writer);
    if (!pipeline) return pipeline.error();
    Status sent = send_mark(*pipeline,
                            refresh.authority,
                            refresh_writer,
                            refresh.run.generation(other(refresh.authority)));
    if (sent) sent = pipeline->finish();
    if (sent) sent = pipeline->query("COMMIT", {}, {{}, "COMMIT"});
    if (sent) sent = pipeline->finish();
    return sent;
}

}  // namespace

Result<std::chrono::microseconds> refresh_rows(std::shared_ptr<MoverRun> run,
                                               MoverShared& shared,
                                               const Table& table,
                                               const std::vector<std::string>& keys,
                                               const std::string& account,
                                               Clock::time_point deadline) {
    Side authority;
    {
        const std::lock_guard lock{shared.mutex};
        authority = shared.authority;
    }
    auto twin = PostgresTwin::open(run, shared);
    if (!twin) return twin.error();
    auto writer = run->link(other(authority), LinkKind::writer);
    if (!writer) return writer.error();
    const std::string condition = keys_condition(table, keys);
    const Refresh refresh{*run, authority, table, condition, account};
    std::chrono::microseconds took{0};
    const Status done = (*twin)->at_same_state({table}, deadline, [&] {
        const auto begun_at = Clock::now();
        Status rewritten = rewrite(refresh, **twin, **writer);
        took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begun_at);
        return rewritten;
    });
    if (!done) return done.error();
    return took;
}

}  // namespace segue::backfill::postgres
