#include "backfill/postgres/schema_signature.hpp"

#include <algorithm>
#include <set>
#include <tuple>

#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::size_t emptiness_batch_max = 200;

constexpr const char* signature_begin = R"sql(
    WITH moved AS MATERIALIZED (
        SELECT c.oid, n.nspname || '.' || c.relname AS name, c.relkind, c.relpersistence, c.relispartition,
               c.relpartbound
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
          AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue')
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                          AND d.objid = c.oid AND d.deptype = 'e')
          AND )sql";

constexpr const char* signature_end = R"sql()
    SELECT name, 'table', '', concat_ws(' ', relkind, relpersistence, pg_get_partkeydef(oid),
               pg_get_expr(relpartbound, oid)) FROM moved
    UNION ALL
    SELECT m.name, 'column', a.attname,
           concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                     'identity ' || nullif(a.attidentity::text, ''), 'generated ' || nullif(a.attgenerated::text, ''),
                     'default ' || pg_get_expr(d.adbin, d.adrelid),
                     CASE WHEN a.attcollation <> t.typcollation
                          THEN 'collate ' || (SELECT collname FROM pg_collation l WHERE l.oid = a.attcollation) END)
    FROM moved m JOIN pg_attribute a ON a.attrelid = m.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    UNION ALL
    SELECT m.name, 'constraint', o.conname, pg_get_constraintdef(o.oid)
    FROM moved m JOIN pg_constraint o ON o.conrelid = m.oid WHERE o.contype NOT IN ('n', 't')
    UNION ALL
    SELECT m.name, 'index', x.relname,
           pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
    FROM moved m JOIN pg_index i ON i.indrelid = m.oid JOIN pg_class x ON x.oid = i.indexrelid)sql";

std::string label(const SchemaObject& object) {
    return object.kind == "table" ? object.table
                                  : object.table + ": " + object.kind + " " + object.name;
}

bool same_object(const SchemaObject& a, const SchemaObject& b) {
    return a.table == b.table && a.kind == b.kind && a.name == b.name;
}

bool before(const SchemaObject& a, const SchemaObject& b) {
    return std::tie(a.table, a.kind, a.name) < std::tie(b.table, b.kind, b.name);
}

// Those of the names (on both sides) that hold a row on the target.
Result<std::vector<std::string>> not_empty(Connection& target,
                                           const std::vector<std::string>& tables) {
    std::vector<std::string> filled;
    for (std::size_t from = 0; from < tables.size(); from += emptiness_batch_max) {
        const std::vector<std::string> batch(
            tables.begin() + static_cast<std::ptrdiff_t>(from),
            tables.begin() +
                static_cast<std::ptrdiff_t>(std::min(tables.size(), from + emptiness_batch_max)));
        const auto names = target.execute(R"sql(
            SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'r' AND n.nspname || '.' || c.relname = ANY ($1::text[]))sql",
                                          {text_array(batch)});
        if (!names) return names.error();
        std::string sql;
        for (int row = 0; row < names->size(); ++row) {
            if (row > 0) sql += " UNION ALL ";
            sql += "SELECT " + quote_literal(names->text(row, 0) + "." + names->text(row, 1)) +
                   " WHERE EXISTS (SELECT FROM ONLY " +
                   qualified(names->text(row, 0), names->text(row, 1)) + ")";
        }
        if (sql.empty()) continue;
        const auto rows = target.execute(sql);
        if (!rows) return rows.error();
        for (int row = 0; row < rows->size(); ++row) filled.push_back(rows->text(row, 0));
    }
    return filled;
}

}  // namespace

std::string schema_signature_sql(const std::string& which) {
    return signature_begin + which + signature_end;
}

Result<std::vector<SchemaObject>> read_schema_signature(Connection& connection,
                                                        const std::vector<std::string>& exclude) {
    const auto rows = connection.execute(
        schema_signature_sql("n.nspname || '.' || c.relname <> ALL ($1::text[])"),
        {text_array(exclude)});
    if (!rows) return rows.error();
    std::vector<SchemaObject> objects;
    for (int row = 0; row < rows->size(); ++row) {
        objects.push_back(
            {rows->text(row, 0), rows->text(row, 1), rows->text(row, 2), rows->text(row, 3)});
    }
    std::sort(objects.begin(), objects.end());
    return objects;
}

std::vector<std::string> schema_differences(const std::vector<SchemaObject>& source,
                                            const std::vector<SchemaObject>& target,
                                            std::size_t lines_max) {
    std::vector<std::string> lines;
    auto s = source.begin(), t = target.begin();
    while ((s != source.end() || t != target.end()) && lines.size() < lines_max) {
        if (t == target.end() || (s != source.end() && before(*s, *t))) {
            lines.push_back(label(*s++) + " is missing on the target");
        } else if (s == source.end() || before(*t, *s)) {
            lines.push_back(label(*t++) + " is on the target only");
        } else {
            if (s->definition != t->definition) {
                lines.push_back(label(*s) + " differs: source " + s->definition + "; target " +
                                t->definition);
            }
            ++s;
            ++t;
        }
    }
    return lines;
}

Result<std::vector<std::string>> target_conflicts(Connection& source,
                                                  Connection& target,
                                                  const std::vector<std::string>& exclude) {
    const auto wanted = read_schema_signature(source, exclude);
    if (!wanted) return wanted.error();
    const auto present = read_schema_signature(target, exclude);
    if (!present) return present.error();

    std::set<std::string> on_source, on_target;
    for (const auto& object : *wanted) on_source.insert(object.table);
    for (const auto& object : *present) on_target.insert(object.table);
    std::vector<std::string> conflicts, shared;
    for (const std::string& table : on_target) {
        if (on_source.contains(table)) shared.push_back(table);
    }
    const auto find = [](const std::vector<SchemaObject>& objects,
                         const SchemaObject& wanted_object) {
        const auto found = std::lower_bound(objects.begin(), objects.end(), wanted_object, before);
        return found != objects.end() && same_object(*found, wanted_object) ? &*found : nullptr;
    };
    for (const SchemaObject& object : *present) {
        if (!on_source.contains(object.table)) continue;
        const SchemaObject* original = find(*wanted, object);
        if (!original) {
            conflicts.push_back(label(object) + " is not on the source");
        } else if (original->definition != object.definition) {
            conflicts.push_back(label(object) + " differs from the source: " + object.definition +
                                " instead of " + original->definition);
        }
    }
    for (const SchemaObject& object : *wanted) {
        const bool needed = on_target.contains(object.table) && object.kind == "column";
        if (needed && !find(*present, object)) {
            conflicts.push_back(label(object) + " is missing on the target");
        }
    }
    const auto filled = not_empty(target, shared);
    if (!filled) return filled.error();
    for (const std::string& table : *filled) conflicts.push_back(table + " is not empty");
    return conflicts;
}

}  // namespace segue::backfill::postgres
