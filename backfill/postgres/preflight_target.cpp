#include "backfill/postgres/preflight_target.hpp"

#include <map>
#include <string>
#include <utility>

#include "backfill/postgres/schema_signature.hpp"
#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::size_t differences_named_max = 3;

// By name what a type is, as far as it decides which values there are and how they sort: (name,
// that, the name as SQL). Names of constraints, and the path under which a default was written, are
// no part of it.
constexpr const char* types_query = R"sql(
    SELECT n.nspname || '.' || t.typname, CASE t.typtype
        WHEN 'e' THEN 'enum (' || (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
                                   FROM pg_enum e WHERE e.enumtypid = t.oid) || ')'
        WHEN 'd' THEN concat_ws(' ', 'domain of', format_type(t.typbasetype, t.typtypmod), CASE WHEN t.typnotnull THEN 'NOT NULL' END,
                                'default ' || pg_get_expr(t.typdefaultbin, 0),
                                (SELECT 'collate ' || t.typcollation::regcollation FROM pg_type b
                                 WHERE b.oid = t.typbasetype AND b.typcollation <> t.typcollation),
                                (SELECT string_agg(x.text, ' ' ORDER BY x.text COLLATE "C")
                                 FROM (SELECT pg_get_constraintdef(o.oid) AS text FROM pg_constraint o
                                       WHERE o.contypid = t.oid AND o.contype = 'c') x))
        WHEN 'r' THEN 'range of ' || (SELECT format_type(r.rngsubtype, NULL) FROM pg_range r WHERE r.rngtypid = t.oid)
        ELSE 'composite (' || (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
                               FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) || ')' END,
        t.oid::regtype
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
      AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue')
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid AND e.deptype = 'e'))sql";

// Whose the schema is.
struct Mark {
    bool schema = false;           // There is a schema segue.
    std::string migration, phase;  // Of its record; empty: none.
};

Result<Mark> read_mark(Connection& connection) {
    const auto exists = connection.execute(
        "SELECT to_regnamespace('segue') IS NOT NULL, to_regclass('segue.control') IS NOT NULL");
    if (!exists) return exists.error();
    Mark mark{exists->truth(0, 0), "", ""};
    if (!exists->truth(0, 1)) return mark;
    const auto rows = connection.execute("SELECT migration, phase FROM segue.control");
    if (!rows) return rows.error();
    if (rows->size() > 0) mark = {true, rows->text(0, 0), rows->text(0, 1)};
    return mark;
}

void unreadable(Side side, const Error& error, std::vector<Finding>& findings) {
    findings.push_back({Severity::fail,
                        "tables",
                        std::string{name(side)},
                        "could not be examined: " + error.detail,
                        "grant what is missing, and check again when nobody changes the schema"});
}

// One finding a table: a table that differs is made anew, however it differs.
void check_tables(const ServerSettings& settings,
                  Connection& source,
                  Connection& target,
                  std::vector<Finding>& findings) {
    const auto conflicts = target_conflicts(source, target, settings.exclude);
    if (!conflicts) return unreadable(Side::target, conflicts.error(), findings);
    std::map<std::string, std::pair<std::string, std::vector<std::string>>> by_table;
    for (const TargetConflict& conflict : *conflicts) {
        if (conflict.kind == TargetConflict::Kind::different) {
            auto& [sql, differences] = by_table[conflict.table];
            sql = conflict.table_sql;
            differences.push_back(conflict.text);
            continue;
        }
        findings.push_back(
            {Severity::fail,
             "table_not_empty",
             "target: " + conflict.table,
             "the table exists there and holds rows that no migration of this name copied",
             "TRUNCATE " + conflict.table_sql +
                 ";  -- on the target; or name it in [tables] exclude"});
    }
    for (const auto& [table, found] : by_table) {
        const auto& [sql, differences] = found;
        std::string reason;
        for (std::size_t i = 0; i < differences.size() && i < differences_named_max; ++i)
            reason += (i == 0 ? "" : "; ") + differences[i];
        if (differences.size() > differences_named_max) reason += "; ...";
        findings.push_back(
            {Severity::fail,
             "table_different",
             "target: " + table,
             reason,
             "DROP TABLE " + sql + ";  -- on the target: Segue creates it; or make it equal"});
    }
}

void check_types_there(Connection& source, Connection& target, std::vector<Finding>& findings) {
    const auto from = source.execute(types_query);
    if (!from) return unreadable(Side::source, from.error(), findings);
    const auto to = target.execute(types_query);
    if (!to) return unreadable(Side::target, to.error(), findings);
    std::map<std::string, std::string> wanted;
    for (int row = 0; row < from->size(); ++row)
        wanted.emplace(from->text(row, 0), canonical_definition(from->text(row, 1)));
    for (int row = 0; row < to->size(); ++row) {
        const auto found = wanted.find(to->text(row, 0));
        const std::string there = canonical_definition(to->text(row, 1));
        if (found == wanted.end() || found->second == there) continue;
        findings.push_back({Severity::fail,
                            "type_different",
                            "target: type " + to->text(row, 0),
                            "it is " + there + " there, on the source " + found->second,
                            "DROP TYPE " + to->text(row, 2) +
                                ";  -- on the target: Segue creates it; or make it equal"});
    }
}

void leftover(Side side,
              const std::string& object,
              const std::string& reason,
              const std::string& remedy,
              std::vector<Finding>& findings) {
    findings.push_back(
        {Severity::fail, "leftover", std::string{name(side)} + ": " + object, reason, remedy});
}

// What is in the schema of that name is never moved, so it must be nobody else's.
void check_foreign_schema(Side side,
                          const Mark& mark,
                          Connection& connection,
                          std::vector<Finding>& findings) {
    if (!mark.schema) return;
    const auto rows = connection.execute(
        "SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class"
        " WHERE relnamespace = to_regnamespace('segue') AND relkind IN ('r', 'p', 'v', 'm', 'f')"
        " AND to_regclass('segue.control') IS NULL");
    if (!rows || rows->null(0, 0)) return;
    leftover(side,
             "schema segue",
             "it is Segue's own by name, and holds what is not Segue's: " + rows->text(0, 0),
             "ALTER SCHEMA segue RENAME TO another_name;",
             findings);
}

}  // namespace

void check_target(const ServerSettings& settings,
                  Connection& source,
                  Connection& target,
                  std::vector<Finding>& findings) {
    const auto mark = read_mark(target);
    if (!mark) return unreadable(Side::target, mark.error(), findings);
    if (mark->migration == settings.migration) return;  // Its tables are ours.
    check_tables(settings, source, target, findings);
    check_types_there(source, target, findings);
}

void check_leftovers(Side side,
                     const ServerSettings& settings,
                     Connection& connection,
                     std::vector<Finding>& findings) {
    const auto mark = read_mark(connection);
    if (!mark) return unreadable(side, mark.error(), findings);
    if (mark->phase == "finished") {
        return leftover(side,
                        "schema segue",
                        "the migration " + mark->migration +
                            " is finished, and its tombstone keeps clients on the right side",
                        "DROP SCHEMA segue CASCADE;  -- on both sides, before another migration",
                        findings);
    }
    if (mark->migration == settings.migration) return;
    if (!mark->migration.empty()) {
        return leftover(
            side,
            "schema segue",
            "it holds the record of another migration, " + mark->migration,
            "segue finish  # with that migration's configuration; then DROP SCHEMA segue"
            " CASCADE;",
            findings);
    }
    check_foreign_schema(side, *mark, connection, findings);
    const std::string slot = slot_name(settings.migration, side);
    const auto slots =
        connection.execute("SELECT FROM pg_replication_slots WHERE slot_name = $1", {slot});
    if (slots && slots->size() > 0 && !mark->schema) {
        leftover(side,
                 "slot " + slot,
                 "a replication slot of that name exists, and is not of this migration",
                 "SELECT pg_drop_replication_slot(" + quote_literal(slot) +
                     ");  -- or choose another [migration] name",
                 findings);
    }
    const std::string publication = publication_name(settings.migration);
    const auto publications =
        connection.execute("SELECT FROM pg_publication WHERE pubname = $1", {publication});
    if (publications && publications->size() > 0 && !mark->schema) {
        leftover(side,
                 "publication " + publication,
                 "a publication of that name exists, and is not of this migration",
                 "DROP PUBLICATION " + quote_identifier(publication) +
                     ";  -- or choose another [migration] name",
                 findings);
    }
}

}  // namespace segue::backfill::postgres
