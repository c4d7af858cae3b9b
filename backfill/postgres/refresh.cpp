#include <map>

#include "backfill/postgres/store.hpp"
#include "backfill/postgres/text_array.hpp"
#include "backfill/postgres/twin.hpp"

namespace segue::backfill::postgres {

namespace {

// Writer number in segue.progress of a refresh.
constexpr int refresh_writer = 1000;
constexpr std::size_t refresh_keys_max = 1000;

std::string key_text(const Table& table) {
    std::string columns;
    for (const int key : table.key) {
        columns += (columns.empty() ? "" : ", ") +
                   quote_identifier(table.columns[static_cast<std::size_t>(key)].name);
    }
    return "ROW(" + columns + ")::text";
}

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

using KeysByTable = std::map<std::string, std::vector<std::string>>;

// One mover transaction on the follower: removed and inserted, marked as ours.
Status rewrite(MoverRun& run,
               Side authority,
               PostgresTwin& twin,
               Connection& writer,
               const std::vector<Table>& tables,
               const KeysByTable& keys) {
    // An attempt that met a lock may have left its transaction.
    const bool idle = PQtransactionStatus(writer.raw()) == PQTRANS_IDLE;
    auto begun = writer.execute(idle ? "BEGIN" : "ROLLBACK; BEGIN");
    if (!begun) return begun.error();
    for (const Table& table : tables) {
        const std::string condition = key_text(table) + " = ANY (" +
                                      quote_literal(text_array(keys.at(table.plain_name()))) +
                                      "::text[])";
        auto removed =
            writer.execute("DELETE FROM ONLY " + table.qualified_name() + " WHERE " + condition);
        if (!removed) return removed.error();
        const Status copied = copy_rows(twin.connection(authority), writer, table, condition);
        if (!copied) return copied;
    }
    auto pipeline = StatementPipeline::enter(writer);
    if (!pipeline) return pipeline.error();
    Status sent = send_mark(*pipeline, authority, refresh_writer, run.generation(other(authority)));
    if (sent) sent = pipeline->finish();
    if (sent) sent = pipeline->query("COMMIT", {}, {{}, "COMMIT"});
    if (sent) sent = pipeline->finish();
    return sent;
}

}  // namespace

Status refresh_rows(std::shared_ptr<MoverRun> run,
                    MoverShared& shared,
                    const std::vector<VerifyDifference>& rows,
                    Clock::time_point deadline) {
    if (rows.size() > refresh_keys_max) {
        return Error{
            Errc::too_large,
            "more rows than a refresh mends at once: find out why they differ before mending them"};
    }
    KeysByTable keys;
    for (const VerifyDifference& row : rows) {
        if (!row.key.empty()) keys[row.table].push_back(row.key);
    }
    if (keys.empty()) return Done{};
    std::vector<Table> tables;
    for (const Table& table : run->authority_tables()) {
        if (keys.contains(table.plain_name())) tables.push_back(table);
    }
    Side authority;
    {
        const std::lock_guard lock{shared.mutex};
        authority = shared.authority;
    }
    auto twin = PostgresTwin::open(run, shared);
    if (!twin) return twin.error();
    auto writer = run->link(other(authority), LinkKind::writer);
    if (!writer) return writer.error();
    return (*twin)->at_same_state(
        tables, deadline, [&] { return rewrite(*run, authority, **twin, **writer, tables, keys); });
}

}  // namespace segue::backfill::postgres
