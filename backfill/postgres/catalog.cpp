#include "backfill/postgres/catalog.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "backfill/postgres/bounded_query.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// Reading a relation's size waits behind ACCESS EXCLUSIVE; a long ALTER TABLE must not hold us up.
constexpr const char* size_lock_timeout = "; SET LOCAL lock_timeout = '2s'";
constexpr const char* lock_not_available = "55P03";

// Sequences whose state is read by one statement.
constexpr std::size_t sequence_batch_max = 500;

// $1: "schema.table" texts. A partition is also left out when one of its parents is.
constexpr const char* moved_tables = R"sql(
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p'
      AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
      AND n.nspname || '.' || c.relname <> ALL ($1::text[])
      AND NOT (c.relispartition AND $1::text[] <> '{}' AND EXISTS (
          SELECT FROM pg_partition_ancestors(c.oid) a JOIN pg_class p ON p.oid = a.relid
          JOIN pg_namespace pn ON pn.oid = p.relnamespace
          WHERE pn.nspname || '.' || p.relname = ANY ($1::text[])))
)sql";

Identity identity_of(std::string_view relreplident, bool has_identity_index) {
    if (relreplident == "f") return Identity::full;
    if (relreplident == "i") return has_identity_index ? Identity::index : Identity::nothing;
    if (relreplident == "d") return has_identity_index ? Identity::primary_key : Identity::nothing;
    return Identity::nothing;
}

// Which of the tables are read: what follows SELECT, and its parameters.
struct Which {
    std::string tables;
    Parameters parameters;
};

Which all_moved(const std::vector<std::string>& exclude) {
    return {moved_tables, {text_array(exclude)}};
}

Which moved_of(const std::vector<std::string>& exclude, const std::vector<std::string>& oids) {
    return {std::string{moved_tables} + " AND c.oid = ANY ($2::oid[])",
            {text_array(exclude), text_array(oids)}};
}

Result<Rows> query_tables_as(Connection& connection, const Which& which, const std::string& rows) {
    return connection.execute(
        "SELECT c.oid, n.nspname, c.relname, c.relreplident, c.relispartition, " + rows +
            which.tables + " ORDER BY n.nspname, c.relname",
        which.parameters);
}

// What the server knows without looking at the files, when they cannot be looked at.
Result<Rows> query_tables(Connection& connection, const Which& which) {
    const auto query = [&](const std::string& bytes) {
        return query_tables_as(
            connection,
            which,
            "greatest(c.reltuples, pg_stat_get_live_tuples(c.oid), 0)::bigint, " + bytes);
    };
    // What is rolled back is the limit: the connection's own one, by which others rely on it not to
    // be in their way, is as it was, and so is the transaction that it may be in.
    const bool inside = PQtransactionStatus(connection.raw()) == PQTRANS_INTRANS;
    const std::string begin = inside ? "SAVEPOINT segue_sizes" : "BEGIN";
    if (auto set = connection.execute(begin + size_lock_timeout); !set) return set.error();
    auto rows = query("coalesce(pg_table_size(c.oid), 0)");
    const auto reset = connection.execute(
        inside ? "ROLLBACK TO SAVEPOINT segue_sizes; RELEASE SAVEPOINT segue_sizes" : "ROLLBACK");
    if (!reset) return rows ? reset.error() : rows.error();
    if (!rows && rows.error().sqlstate == lock_not_available) {
        return query("c.relpages::bigint * current_setting('block_size')::bigint");
    }
    return rows;
}

Result<Rows> query_columns(Connection& connection, const Which& which) {
    return connection.execute(std::string{R"sql(
        WITH moved AS MATERIALIZED (SELECT c.oid )sql"} +
                                  which.tables + R"sql(),
        plain AS MATERIALIZED (
            SELECT l.oid FROM pg_collation l WHERE l.collprovider = 'c' AND l.collcollate IN ('C', 'POSIX')
            UNION ALL SELECT 100 FROM pg_database d  -- From 15 on its order may be ICU's, whatever datcollate says.
            WHERE datname = current_database() AND datcollate IN ('C', 'POSIX')
              AND coalesce(to_jsonb(d)->>'datlocprovider', 'c') = 'c')
        SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid, a.attnum,
               a.attnotnull, a.attgenerated <> '', a.attidentity = 'a',
               a.attcollation IN (SELECT oid FROM plain), a.atttypmod
        FROM pg_attribute a JOIN moved m ON m.oid = a.attrelid
        WHERE a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attrelid, a.attnum)sql",
                              which.parameters);
}

// The index by which the stream names a row: the replica identity index where one is set, else the
// primary key. Only indexes that the server accepts for it: a deferrable primary key identifies
// nothing.
Result<Rows> query_keys(Connection& connection, const Which& which) {
    return connection.execute(std::string{R"sql(
        WITH moved AS MATERIALIZED (SELECT c.oid, c.relreplident )sql"} +
                                  which.tables + R"sql()
        SELECT i.indrelid, x.relname, k.attnum
        FROM moved m JOIN pg_index i ON i.indrelid = m.oid JOIN pg_class x ON x.oid = i.indexrelid
        CROSS JOIN LATERAL unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k(attnum, place)
        WHERE i.indisvalid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL
          AND CASE m.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END
        ORDER BY i.indrelid, k.place)sql",
                              which.parameters);
}

int column_index(const Table& table, int number) {
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
        if (table.columns[i].number == number) return static_cast<int>(i);
    }
    return -1;
}

// Those of `rows`, which are their names and figures.
Result<std::vector<Table>> described(Connection& connection, const Which& which, const Rows& rows) {
    const auto columns = query_columns(connection, which);
    if (!columns) return columns.error();
    const auto keys = query_keys(connection, which);
    if (!keys) return keys.error();

    std::vector<Table> tables;
    std::unordered_map<long long, std::size_t>
        by_oid;  // A table dropped between the queries is in one only.
    for (int row = 0; row < rows.size(); ++row) {
        Table table;
        table.oid = static_cast<std::uint32_t>(rows.number(row, 0));
        table.schema = rows.text(row, 1);
        table.name = rows.text(row, 2);
        table.is_partition = rows.truth(row, 4);
        table.rows_estimate = static_cast<std::uint64_t>(rows.number(row, 5));
        table.bytes = static_cast<std::uint64_t>(rows.number(row, 6));
        by_oid.emplace(rows.number(row, 0), tables.size());
        tables.push_back(std::move(table));
    }
    for (int row = 0; row < columns->size(); ++row) {
        const auto found = by_oid.find(columns->number(row, 0));
        if (found == by_oid.end()) continue;
        tables[found->second].columns.push_back(
            Column{.name = columns->text(row, 1),
                   .type = columns->text(row, 2),
                   .type_oid = static_cast<std::uint32_t>(columns->number(row, 3)),
                   .type_modifier = static_cast<int>(columns->number(row, 9)),
                   .number = static_cast<int>(columns->number(row, 4)),
                   .not_null = columns->truth(row, 5),
                   .generated = columns->truth(row, 6),
                   .identity_always = columns->truth(row, 7),
                   .collation_c = columns->truth(row, 8)});
    }
    for (int row = 0; row < keys->size(); ++row) {
        const auto found = by_oid.find(keys->number(row, 0));
        if (found == by_oid.end()) continue;
        Table& table = tables[found->second];
        const int column = column_index(table, static_cast<int>(keys->number(row, 2)));
        if (column < 0) continue;
        table.identity_index = keys->text(row, 1);
        table.key.push_back(column);
    }
    for (int row = 0; row < rows.size(); ++row) {
        Table& table = tables[static_cast<std::size_t>(row)];
        table.identity = identity_of(rows.at(row, 3), !table.key.empty());
    }
    return tables;
}

}  // namespace

std::string unpublished_tables_sql() {
    return std::string{"SELECT n.nspname || '.' || c.relname"} + moved_tables +
           " AND NOT EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p"
           " ON p.oid = r.prpubid WHERE p.pubname = ANY ($2::text[]) AND r.prrelid = c.oid) ORDER "
           "BY 1";
}

bool same_definition(const Table& one, const Table& other) {
    const auto same_column = [](const Column& a, const Column& b) {
        return a.name == b.name && a.type == b.type && a.generated == b.generated;
    };
    return one.schema == other.schema && one.name == other.name && one.key == other.key &&
           std::equal(one.columns.begin(),
                      one.columns.end(),
                      other.columns.begin(),
                      other.columns.end(),
                      same_column);
}

Result<std::vector<Table>> read_tables(Connection& connection,
                                       const std::vector<std::string>& exclude) {
    const Which which = all_moved(exclude);
    const auto rows = query_tables(connection, which);
    if (!rows) return rows.error();
    return described(connection, which, *rows);
}

Result<std::vector<Table>> read_tables_of(Connection& connection,
                                          const std::vector<std::string>& exclude,
                                          const std::vector<std::string>& oids) {
    const Which which = moved_of(exclude, oids);
    const auto rows = query_tables_as(connection, which, "0, 0");
    if (!rows) return rows.error();
    return described(connection, which, *rows);
}

Result<std::map<std::pair<std::string, std::string>, std::string>> read_tables_left_out(
    Connection& connection, const std::vector<std::string>& exclude) {
    const auto rows = connection.execute(std::string{R"sql(
        WITH moved AS MATERIALIZED (SELECT c.oid )sql"} +
                                             moved_tables + R"sql()
        SELECT n.nspname, c.relname, CASE
            WHEN c.relkind = 'f' THEN 'a foreign table'
            WHEN c.relkind = 'm' THEN 'a materialized view: refreshed, not moved'
            WHEN c.relpersistence = 'u' THEN 'unlogged: its rows are not in the stream'
            WHEN EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                         AND d.objid = c.oid AND d.deptype = 'e') THEN 'belongs to an extension'
            ELSE '[tables] exclude' END
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'f', 'm') AND c.relpersistence <> 't'
          AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue')
          AND c.oid NOT IN (SELECT oid FROM moved))sql",
                                         {text_array(exclude)});
    if (!rows) return rows.error();
    std::map<std::pair<std::string, std::string>, std::string> left_out;
    for (int row = 0; row < rows->size(); ++row)
        left_out[{rows->text(row, 0), rows->text(row, 1)}] = rows->text(row, 2);
    return left_out;
}

namespace {

// A sequence's place is in its own relation; the catalog alone does not tell an unused one from a
// set one.
Status read_places(Connection& connection,
                   std::vector<Sequence>& sequences,
                   std::size_t from,
                   std::size_t to) {
    std::string sql;
    for (std::size_t i = from; i < to; ++i) {
        if (i > from) sql += " UNION ALL ";
        sql += "SELECT " + std::to_string(i) + ", last_value, is_called FROM " +
               qualified(sequences[i].schema, sequences[i].name);
    }
    const auto rows = execute_within(connection, catalog_wait_max, sql);
    if (!rows) return rows.error();
    for (int row = 0; row < rows->size(); ++row) {
        Sequence& sequence = sequences[static_cast<std::size_t>(rows->number(row, 0))];
        sequence.last_value = rows->number(row, 1);
        sequence.is_called = rows->truth(row, 2);
    }
    return Done{};
}

}  // namespace

Result<std::vector<Sequence>> read_sequences(Connection& connection) {
    const auto rows = execute_within(connection, catalog_wait_max, R"sql(
        SELECT n.nspname, c.relname, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
               (SELECT d.refobjid::regclass::text FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                  AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') LIMIT 1),
               s.seqrelid::bigint
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relpersistence <> 't'
          AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue')
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                          AND d.objid = c.oid AND d.deptype = 'e')
        ORDER BY 1, 2)sql");
    if (!rows) return rows.error();
    std::vector<Sequence> sequences;
    for (int row = 0; row < rows->size(); ++row) {
        sequences.push_back(Sequence{.schema = rows->text(row, 0),
                                     .name = rows->text(row, 1),
                                     .increment = rows->number(row, 2),
                                     .min_value = rows->number(row, 3),
                                     .max_value = rows->number(row, 4),
                                     .cache = rows->number(row, 5),
                                     .cycle = rows->truth(row, 6),
                                     .owner = rows->text(row, 7),
                                     .oid = rows->number(row, 8)});
    }
    for (std::size_t from = 0; from < sequences.size(); from += sequence_batch_max) {
        const std::size_t to = std::min(sequences.size(), from + sequence_batch_max);
        if (const Status read = read_places(connection, sequences, from, to); !read) {
            return read.error();
        }
    }
    return sequences;
}

}  // namespace segue::backfill::postgres
