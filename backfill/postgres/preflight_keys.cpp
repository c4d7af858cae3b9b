#include "backfill/postgres/preflight_keys.hpp"

#include <map>
#include <set>
#include <string>

#include "backfill/postgres/catalog.hpp"

namespace segue::backfill::postgres {

namespace {

Finding unreadable(const Error& error) {
    return {Severity::fail,
            "tables",
            "source",
            "could not be examined: " + error.detail,
            "grant what is missing and check again"};
}

// Why a table has nothing that names its rows, and what would give it that.
struct Lack {
    std::string reason = "no primary key";
    std::string remedy;
};

// By "schema.table": only those that have some key all the same, or look as if they had.
constexpr const char* lacks_query = R"sql(
    SELECT n.nspname || '.' || c.relname,
           CASE WHEN o.contype = 'p' THEN 'its primary key is DEFERRABLE, and PostgreSQL names no row by such a one'
                WHEN x.index IS NOT NULL THEN 'no primary key'
                WHEN o.contype = 'u' THEN 'its unique key is DEFERRABLE, and PostgreSQL names no row by such a one'
                ELSE 'no primary key of its own, and those of the tables that it inherits from say nothing of its rows' END,
           CASE WHEN x.index IS NOT NULL THEN format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %s;', c.oid::regclass, x.index)
                WHEN o.conname IS NOT NULL THEN format('ALTER TABLE %s DROP CONSTRAINT %I, ADD PRIMARY KEY (%s);',
                                                       c.oid::regclass, o.conname, o.columns)
                ELSE format('ALTER TABLE %s ADD PRIMARY KEY (...);', c.oid::regclass) END
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN LATERAL (
        SELECT quote_ident(r.relname) AS index FROM pg_index i JOIN pg_class r ON r.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
          AND i.indexprs IS NULL AND NOT EXISTS (
              SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attnotnull
                AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
        ORDER BY r.relname LIMIT 1) x ON true
    LEFT JOIN LATERAL (
        SELECT k.contype, k.conname, (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY p.place)
                FROM unnest(k.conkey) WITH ORDINALITY p(number, place) JOIN pg_attribute a
                  ON a.attrelid = c.oid AND a.attnum = p.number) AS columns
        FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u') AND k.condeferrable
        ORDER BY k.contype, k.conname LIMIT 1) o ON true
    WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\_%'
      AND (x.index IS NOT NULL OR o.conname IS NOT NULL OR EXISTS (
          SELECT FROM pg_inherits h JOIN pg_index i ON i.indrelid = h.inhparent AND i.indisprimary
          WHERE h.inhrelid = c.oid AND NOT c.relispartition)))sql";

Result<std::map<std::string, Lack>> read_lacks(Connection& source) {
    const auto rows = source.execute(lacks_query);
    if (!rows) return rows.error();
    std::map<std::string, Lack> lacks;
    for (int row = 0; row < rows->size(); ++row)
        lacks[rows->text(row, 0)] = {rows->text(row, 1), rows->text(row, 2)};
    return lacks;
}

}  // namespace

// Asks what the mover itself will be told. A table with REPLICA IDENTITY NOTHING is said by a rule.
void check_keys(const ServerSettings& settings,
                Connection& source,
                std::vector<Finding>& findings) {
    const auto tables = read_tables(source, settings.exclude);
    if (!tables) return findings.push_back(unreadable(tables.error()));
    const auto mute = source.execute(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.relreplident = 'n'"
        " AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1");
    if (!mute) return findings.push_back(unreadable(mute.error()));
    std::set<std::string> told;
    for (int row = 0; row < mute->size(); ++row) told.insert(mute->text(row, 0));
    const auto lacks = read_lacks(source);
    if (!lacks) return findings.push_back(unreadable(lacks.error()));
    const bool full = settings.full_identity_without_key;
    for (const Table& table : *tables) {
        if (!table.key.empty() || told.contains(table.plain_name())) continue;
        if (!full && table.identity == Identity::full) continue;  // The operator's own choice.
        const std::string object = "source: " + table.plain_name();
        Lack lack{.remedy = "ALTER TABLE " + table.qualified_name() + " ADD PRIMARY KEY (...);"};
        if (const auto known = lacks->find(table.plain_name()); known != lacks->end())
            lack = known->second;
        findings.push_back(
            full ? Finding{Severity::information,
                           "without_key",
                           object,
                           lack.reason +
                               ": REPLICA IDENTITY FULL is set until finish; updates and deletes "
                               "find their row by all its values, one after the other",
                           lack.remedy + "  -- if it is updated often"}
                 : Finding{Severity::fail,
                           "without_key",
                           object,
                           lack.reason + "; and [tables] without_key is \"refuse\"",
                           lack.remedy + "  -- or without_key = \"full\""});
    }
}

}  // namespace segue::backfill::postgres
