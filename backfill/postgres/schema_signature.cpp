#include "backfill/postgres/schema_signature.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "backfill/postgres/text_array.hpp"
#include "protocol/postgres/redacted.hpp"

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
                     -- From 17 on partitions have the identity of their table, before they have none.
                     CASE WHEN NOT m.relispartition THEN 'identity ' || nullif(a.attidentity::text, '') END,
                     'generated ' || nullif(a.attgenerated::text, ''),
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

// They fire again for whoever writes there after a change of authority. Those of partitions come of
// their table's, and are internal up to PostgreSQL 14.
constexpr const char* triggers = R"sql(
    UNION ALL
    SELECT m.name, 'trigger', t.tgname,
           pg_get_triggerdef(t.oid) || CASE t.tgenabled WHEN 'O' THEN '' WHEN 'D' THEN ' DISABLED'
                                       WHEN 'A' THEN ' ENABLE ALWAYS' ELSE ' ENABLE REPLICA' END
    FROM moved m JOIN pg_trigger t ON t.tgrelid = m.oid WHERE NOT t.tgisinternal AND t.tgparentid = 0
      AND t.tgfoid IS DISTINCT FROM to_regprocedure('segue.fence_guard()'))sql";

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

const SchemaObject* find(const std::vector<SchemaObject>& objects, const SchemaObject& wanted) {
    const auto found = std::lower_bound(objects.begin(), objects.end(), wanted, before);
    return found != objects.end() && same_object(*found, wanted) ? &*found : nullptr;
}

constexpr std::string_view invalid = " INVALID", disabled = " DISABLED";

// A trigger's arguments may be an address with its secret: they are compared, and not told.
std::string told(const SchemaObject& object) {
    return object.kind == "trigger" ? protocol::postgres::without_strings(object.definition)
                                    : object.definition;
}

// How to make it, where one command does. A constraint makes its index itself.
std::string command(const SchemaObject& object, const std::vector<SchemaObject>& there) {
    const std::string& whole = object.definition;
    if (object.kind == "trigger") {
        if (told(object) != whole) return " (its text is not told: it has constants)";
        if (!whole.ends_with(disabled)) return ": " + whole;
        return ": " + whole.substr(0, whole.size() - disabled.size()) + ", and disable it";
    }
    if (object.kind != "index" || find(there, {object.table, "constraint", object.name, ""}))
        return "";
    if (whole.ends_with(invalid)) return ", and invalid where it is: drop it there";
    return ": " + whole;
}

// Of the target's tables with these names: schema.table, and quoted where it must be.
Result<std::map<std::string, std::string>> quoted_names(Connection& target,
                                                        const std::vector<std::string>& tables) {
    const auto rows = target.execute(R"sql(
        SELECT n.nspname || '.' || c.relname, c.oid::regclass
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname = ANY ($1::text[]))sql",
                                     {text_array(tables)});
    if (!rows) return rows.error();
    std::map<std::string, std::string> names;
    for (int row = 0; row < rows->size(); ++row) names[rows->text(row, 0)] = rows->text(row, 1);
    return names;
}

// Those that hold a row on the target. A partitioned table holds none itself.
Result<std::vector<std::string>> not_empty(Connection& target,
                                           const std::map<std::string, std::string>& quoted) {
    std::vector<std::string> filled;
    for (auto table = quoted.begin(); table != quoted.end();) {
        std::string sql;
        for (std::size_t i = 0; i < emptiness_batch_max && table != quoted.end(); ++i, ++table) {
            sql += (i > 0 ? " UNION ALL SELECT " : "SELECT ") + quote_literal(table->first) +
                   " WHERE EXISTS (SELECT FROM ONLY " + table->second + ")";
        }
        const auto rows = target.execute(sql);
        if (!rows) return rows.error();
        for (int row = 0; row < rows->size(); ++row) filled.push_back(rows->text(row, 0));
    }
    return filled;
}

// The end of the literal that begins at `at`; npos when there is none.
std::size_t literal_end(std::string_view text, std::size_t at) {
    if (text.substr(at).starts_with("E'")) ++at;  // Backslashes are doubled in it, as quotes are.
    if (at >= text.size() || text[at] != '\'') return std::string_view::npos;
    for (++at; at < text.size(); ++at) {
        if (text[at] != '\'') continue;
        if (at + 1 < text.size() && text[at + 1] == '\'') {
            ++at;
            continue;
        }
        return at + 1;
    }
    return std::string_view::npos;
}

constexpr std::string_view array_begin = "ARRAY[", varchar_cast = "::character varying";

// Of "'a'::character varying, 'b'::character varying])::text[]", where the list is nothing else:
// "'a'::text, 'b'::text]", and how much of the text that was.
std::optional<std::pair<std::string, std::size_t>> typed_list(std::string_view text) {
    std::string list;
    for (std::size_t at = 0;;) {
        const std::size_t end = literal_end(text, at);
        if (end == std::string_view::npos || !text.substr(end).starts_with(varchar_cast))
            return std::nullopt;
        list += std::string{text.substr(at, end - at)} + "::text";
        at = end + varchar_cast.size();
        constexpr std::string_view rest = "])::text[]";
        if (text.substr(at).starts_with(rest)) return std::pair{list + "]", at + rest.size()};
        if (!text.substr(at).starts_with(", ")) return std::nullopt;
        list += ", ";
        at += 2;
    }
}

// The same of "('a'::character varying)::text, ('b'::character varying)::text]".
std::optional<std::pair<std::string, std::size_t>> dumped_list(std::string_view text) {
    std::string list;
    for (std::size_t at = 0;;) {
        if (!text.substr(at).starts_with("(")) return std::nullopt;
        const std::size_t end = literal_end(text, ++at);
        constexpr std::string_view cast = "::character varying)::text";
        if (end == std::string_view::npos || !text.substr(end).starts_with(cast))
            return std::nullopt;
        list += std::string{text.substr(at, end - at)} + "::text";
        at = end + cast.size();
        if (text.substr(at).starts_with("]")) return std::pair{list + "]", at + 1};
        if (!text.substr(at).starts_with(", ")) return std::nullopt;
        list += ", ";
        at += 2;
    }
}

}  // namespace

std::string canonical_definition(std::string_view definition) {
    std::string text;
    for (;;) {
        const std::size_t found = definition.find(array_begin);
        if (found == std::string_view::npos) return text.append(definition);
        const std::string_view list = definition.substr(found + array_begin.size());
        text.append(definition.substr(0, found));
        auto known = dumped_list(list);
        if (!known && text.ends_with("(")) {
            known = typed_list(list);
            if (known) text.pop_back();
        }
        text.append(array_begin);
        if (known) text.append(known->first);
        definition = list.substr(known ? known->second : 0);
    }
}

std::string schema_signature_sql(const std::string& which) {
    return signature_begin + which + signature_end;
}

Result<std::vector<SchemaObject>> read_schema_signature(Connection& connection,
                                                        const std::vector<std::string>& exclude) {
    const auto rows = connection.execute(
        schema_signature_sql(R"sql(n.nspname || '.' || c.relname <> ALL ($1::text[])
          AND NOT (c.relispartition AND $1::text[] <> '{}' AND EXISTS (
              SELECT FROM pg_partition_ancestors(c.oid) a JOIN pg_class p ON p.oid = a.relid
              JOIN pg_namespace pn ON pn.oid = p.relnamespace
              WHERE pn.nspname || '.' || p.relname = ANY ($1::text[]))))sql") +
            triggers,
        {text_array(exclude)});
    if (!rows) return rows.error();
    std::vector<SchemaObject> objects;
    for (int row = 0; row < rows->size(); ++row) {
        objects.push_back({rows->text(row, 0),
                           rows->text(row, 1),
                           rows->text(row, 2),
                           canonical_definition(rows->at(row, 3))});
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
            lines.push_back(label(*s) + " is missing on the target" + command(*s, source));
            ++s;
        } else if (s == source.end() || before(*t, *s)) {
            lines.push_back(label(*t++) + " is on the target only");
        } else {
            if (s->definition != t->definition) {
                lines.push_back(label(*s) + " differs: source " + told(*s) + "; target " +
                                told(*t) + (told(*s) == told(*t) ? " (in its constants)" : ""));
            }
            ++s;
            ++t;
        }
    }
    return lines;
}

Result<std::vector<TargetConflict>> target_conflicts(Connection& source,
                                                     Connection& target,
                                                     const std::vector<std::string>& exclude) {
    const auto wanted = read_schema_signature(source, exclude);
    if (!wanted) return wanted.error();
    const auto present = read_schema_signature(target, exclude);
    if (!present) return present.error();

    std::set<std::string> on_source, on_target;
    for (const auto& object : *wanted) on_source.insert(object.table);
    for (const auto& object : *present) on_target.insert(object.table);
    std::vector<std::string> shared;
    std::set_intersection(on_source.begin(),
                          on_source.end(),
                          on_target.begin(),
                          on_target.end(),
                          std::back_inserter(shared));
    const auto quoted = quoted_names(target, shared);
    if (!quoted) return quoted.error();
    std::vector<TargetConflict> conflicts;
    const auto add = [&](TargetConflict::Kind kind, const std::string& table, std::string text) {
        const auto sql = quoted->find(table);
        conflicts.push_back(
            {kind, table, sql == quoted->end() ? table : sql->second, std::move(text)});
    };
    constexpr auto different = TargetConflict::Kind::different;
    for (const SchemaObject& object : *present) {
        if (!on_source.contains(object.table) || object.kind == "trigger") continue;
        const SchemaObject* original = find(*wanted, object);
        if (!original) {
            add(different, object.table, label(object) + " is not on the source");
        } else if (original->definition != object.definition) {
            add(different,
                object.table,
                label(object) + " differs from the source: " + object.definition + " instead of " +
                    original->definition);
        }
    }
    for (const SchemaObject& object : *wanted) {
        const bool needed = on_target.contains(object.table) && object.kind == "column";
        if (needed && !find(*present, object))
            add(different, object.table, label(object) + " is missing on the target");
    }
    const auto filled = not_empty(target, *quoted);
    if (!filled) return filled.error();
    for (const std::string& table : *filled)
        add(TargetConflict::Kind::filled, table, table + " is not empty");
    return conflicts;
}

}  // namespace segue::backfill::postgres
