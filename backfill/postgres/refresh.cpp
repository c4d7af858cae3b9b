#include "backfill/postgres/store.hpp"
#include "backfill/postgres/twin.hpp"
#include "backfill/postgres/verify_query.hpp"

namespace segue::backfill::postgres {

namespace {

// Writer number in segue.progress of a refresh.
constexpr int refresh_writer = 1000;

constexpr const char* unique_violation = "23505";
// Rows on their way into the table, on the follower, within one transaction.
constexpr const char* fresh_table = "pg_temp.segue_fresh";
// The stream is held meanwhile. What is still displaced then is missing, and found by the next
// verification: a chain of so many rows, each of which has the unique value of the next, is some
// ten thousand long.
constexpr std::chrono::seconds displaced_time_max{20};

// Those that are written; the others are computed.
std::string column_list(const Table& table) {
    std::string columns;
    for (const Column& column : table.columns) {
        if (column.generated) continue;
        columns += (columns.empty() ? "" : ", ") + quote_identifier(column.name);
    }
    return columns;
}

Status copy_rows(Connection& from,
                 Connection& to,
                 const Table& table,
                 const std::string& condition,
                 const std::string& into) {
    const std::string columns = column_list(table);
    auto reading = from.execute("COPY (SELECT " + columns + " FROM ONLY " + table.qualified_name() +
                                " WHERE " + condition + ") TO STDOUT");
    if (!reading) return reading.error();
    auto writing =
        to.execute("COPY " + into + (columns.empty() ? "" : " (" + columns + ")") + " FROM STDIN");
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

// What else of the follower's rows holds a unique value that the authority has in one of the rows
// that come: they are wrong as well, and beyond those that a verification lists. Returns the keys
// of what was removed; of a table without a key nothing, because nobody knows what such a row
// should have been.
Result<std::vector<std::string>> make_room(const Table& table, Connection& writer) {
    const std::string name = table.qualified_name();
    const auto indexes = writer.execute(
        "SELECT (SELECT string_agg(pg_get_indexdef(i.indexrelid, k, false), ', ' ORDER BY k)"
        " FROM generate_series(1, i.indnkeyatts) k), coalesce(pg_get_expr(i.indpred, i.indrelid), "
        "'true') FROM pg_index i WHERE i.indrelid = " +
        quote_literal(name) + "::regclass AND i.indisunique AND i.indislive");
    if (!indexes) return indexes.error();
    std::vector<std::string> displaced;
    for (int row = 0; row < indexes->size(); ++row) {
        const std::string key = indexes->text(row, 0), which = indexes->text(row, 1);
        const auto removed =
            writer.execute("DELETE FROM ONLY " + name + " WHERE (" + which + ") AND (" + key +
                           ") IN (SELECT " + key + " FROM " + fresh_table + " WHERE " + which +
                           ")" + (table.key.empty() ? "" : " RETURNING " + listed_key(table)));
        if (!removed) return removed.error();
        for (int gone = 0; gone < removed->size(); ++gone)
            displaced.push_back(removed->text(gone, 0));
    }
    return displaced;
}

// The rows that are asked for and those that they displace, until none is displaced any more: the
// application may change any of them next.
Status insert_rows(const Refresh& refresh, PostgresTwin& twin, Connection& writer) {
    const Table& table = refresh.table;
    const std::string columns = column_list(table);
    // With what is computed, or an index over it would be asked of the table's own row.
    const auto made =
        writer.execute("CREATE TEMPORARY TABLE segue_fresh (LIKE " + table.qualified_name() +
                       " INCLUDING GENERATED) ON COMMIT DROP");
    if (!made) return made.error();
    std::string condition = refresh.condition;
    const auto deadline = Clock::now() + displaced_time_max;
    while (Clock::now() < deadline) {
        const Status copied =
            copy_rows(twin.connection(refresh.authority), writer, table, condition, fresh_table);
        if (!copied) return copied;
        const auto displaced = make_room(table, writer);
        if (!displaced) return displaced.error();
        const auto inserted =
            writer.execute("INSERT INTO " + table.qualified_name() + " (" + columns +
                           ") OVERRIDING SYSTEM VALUE SELECT " + columns + " FROM " + fresh_table +
                           "; TRUNCATE " + fresh_table);
        if (!inserted) return inserted.error();
        if (displaced->empty()) break;
        condition = keys_condition(table, *displaced);
    }
    return Done{};
}

enum class Room { is_there, is_made };

// One mover transaction on the follower: removed and inserted, marked as ours.
Status rewrite(const Refresh& refresh, PostgresTwin& twin, Connection& writer, Room room) {
    // An attempt that met a lock may have left its transaction.
    const bool idle = PQtransactionStatus(writer.raw()) == PQTRANS_IDLE;
    auto begun = writer.execute(idle ? "BEGIN" : "ROLLBACK; BEGIN");
    if (!begun) return begun.error();
    auto removed = writer.execute("DELETE FROM ONLY " + refresh.table.qualified_name() + " WHERE " +
                                  refresh.condition);
    if (!removed) return removed.error();
    const Status copied = room == Room::is_made ? insert_rows(refresh, twin, writer)
                                                : copy_rows(twin.connection(refresh.authority),
                                                            writer,
                                                            refresh.table,
                                                            refresh.condition,
                                                            refresh.table.qualified_name());
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

// Under its lock: a column that is not known of would be emptied.
Status expect_as_read(Connection& authority,
                      const std::vector<std::string>& exclude,
                      const Table& table) {
    const auto oid = authority.execute("SELECT to_regclass($1)::oid", {table.qualified_name()});
    if (!oid) return oid.error();
    const auto now = read_tables_of(authority, exclude, {oid->text(0, 0)});
    if (!now) return now.error();
    if (now->size() == 1 && same_definition(now->front(), table)) return Done{};
    return Error{Errc::refused,
                 table.plain_name() + " has been altered in this moment: repair it again"};
}

}  // namespace

Result<std::chrono::microseconds> refresh_rows(std::shared_ptr<MoverRun> run,
                                               MoverShared& shared,
                                               const Table& table,
                                               const std::vector<std::string>& keys,
                                               const std::string& account,
                                               Clock::time_point deadline,
                                               const std::function<void()>& then) {
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
        const Status as_read =
            expect_as_read((*twin)->connection(authority), shared.settings.exclude, table);
        if (!as_read) return as_read;
        Status rewritten = rewrite(refresh, **twin, **writer, Room::is_there);
        if (!rewritten && rewritten.error().sqlstate == unique_violation)
            rewritten = rewrite(refresh, **twin, **writer, Room::is_made);
        took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begun_at);
        if (rewritten && then) then();
        return rewritten;
    });
    if (!done) return done.error();
    return took;
}

}  // namespace segue::backfill::postgres
