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
#include "protocol/postgres/same_print.hpp"

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
      -- A foreign key to a partitioned table has one more for each partition, which the server numbers
      -- in the order in which it meets them.
      AND (o.conparentid = 0 OR (SELECT p.confrelid FROM pg_constraint p WHERE p.oid = o.conparentid)
           IS NOT DISTINCT FROM o.confrelid)
    UNION ALL
    SELECT m.name, 'index', x.relname,
           pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
    FROM moved m JOIN pg_index i ON i.indrelid = m.oid JOIN pg_class x ON x.oid = i.indexrelid)sql";

// What concerns the application after a change of authority, and not the mover. Triggers of
// partitions come of their table's, are internal up to PostgreSQL 14, and may be disabled by
// themselves. Of policies what they ask is left out: with whole queries in it, every version prints
// it anew.
constexpr const char* for_writers = R"sql(
    UNION ALL
    SELECT m.name, 'trigger', t.tgname,
           CASE WHEN t.tgparentid = 0 THEN pg_get_triggerdef(t.oid) ELSE 'the partitioned table''s' END ||
           CASE t.tgenabled WHEN 'O' THEN '' WHEN 'D' THEN ' DISABLED'
                            WHEN 'A' THEN ' ENABLE ALWAYS' ELSE ' ENABLE REPLICA' END
    FROM moved m JOIN pg_trigger t ON t.tgrelid = m.oid
    WHERE (NOT t.tgisinternal OR t.tgparentid <> 0)
      AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.oid = t.tgconstraint AND o.contype <> 't')
      AND t.tgfoid IS DISTINCT FROM to_regprocedure('segue.fence_guard()')
    UNION ALL
    -- By ALTER TABLE ... DISABLE TRIGGER ALL, of a foreign key on either table.
    SELECT m.name, 'disabled constraint', o.conname, string_agg(DISTINCT p.proname, ', ')
    FROM moved m JOIN pg_constraint o ON o.conrelid = m.oid AND (o.contype = 'f' OR o.contype <> 't' AND o.condeferrable)
    JOIN pg_trigger t ON t.tgconstraint = o.oid AND t.tgenabled = 'D' JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE o.conparentid = 0 OR (SELECT p.confrelid FROM pg_constraint p WHERE p.oid = o.conparentid)
          IS NOT DISTINCT FROM o.confrelid
    GROUP BY m.name, o.oid, o.conname
    UNION ALL
    SELECT m.name, 'policy', p.polname, concat_ws(' ', CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END,
           p.polcmd, (SELECT string_agg(coalesce(r.rolname, 'PUBLIC'), ' ' ORDER BY r.rolname)
                      FROM unnest(p.polroles) x LEFT JOIN pg_roles r ON r.oid = x))
    FROM moved m JOIN pg_policy p ON p.polrelid = m.oid
    UNION ALL
    SELECT m.name, 'row security', '', CASE WHEN c.relrowsecurity THEN 'enabled' ELSE 'disabled' END
           || CASE WHEN c.relforcerowsecurity THEN ', forced' ELSE '' END
    FROM moved m JOIN pg_class c USING (oid) WHERE c.relrowsecurity OR c.relforcerowsecurity
    UNION ALL
    SELECT m.name, 'statistics', n.nspname || '.' || s.stxname, pg_get_statisticsobjdef(s.oid)
    FROM moved m JOIN pg_statistic_ext s ON s.stxrelid = m.oid JOIN pg_namespace n ON n.oid = s.stxnamespace)sql";

std::string label(const SchemaObject& object) {
    return object.kind == "table"
               ? object.table
               : object.table + ": " + object.kind + (object.name.empty() ? "" : " ") + object.name;
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

constexpr std::string_view invalid = " INVALID", disabled = " DISABLED", only = " ON ONLY ",
                           forced = ", forced", always = " ENABLE ALWAYS",
                           replica = " ENABLE REPLICA";
constexpr std::string_view inherited = "the partitioned table's";  // A trigger.

// A trigger's arguments may be an address with its secret: they are compared, and not told.
std::string told(const SchemaObject& object) {
    return object.kind == "trigger" ? protocol::postgres::without_strings(object.definition)
                                    : object.definition;
}

// Of an index of a partitioned table: as it makes those of the partitions too, or takes them where
// they are there already.
std::string with_partitions(std::string definition) {
    bool quoted = false;
    for (std::size_t at = 0; at < definition.size(); ++at) {
        if (definition[at] == '"') quoted = !quoted;
        if (quoted || !std::string_view{definition}.substr(at).starts_with(only)) continue;
        return definition.replace(at, only.size(), " ON ");
    }
    return definition;
}

// How to make it, where one command does. A constraint makes its index itself.
std::string command(const SchemaObject& object, const std::vector<SchemaObject>& there) {
    const std::string& whole = object.definition;
    if (object.kind == "trigger") {
        if (whole.starts_with(inherited)) return "";
        if (told(object) != whole) return " (its text is not told: it has constants)";
        if (!whole.ends_with(disabled)) return ": " + whole;
        return ": " + whole.substr(0, whole.size() - disabled.size()) + ", and disable it";
    }
    if (object.kind == "statistics") return ": " + whole;
    if (object.kind == "disabled constraint")
        return ", where it is enabled: ALTER TABLE ... ENABLE TRIGGER ALL on the source";
    if (object.kind != "index" || find(there, {object.table, "constraint", object.name, ""}))
        return "";
    if (whole.ends_with(invalid)) return ", and invalid where it is: drop it there";
    if (const std::string all = with_partitions(whole); all != whole)
        return ": " + all + " (after those of its partitions, which it takes)";
    return ": " + whole;
}

// How to mend an index there.
std::string mending(const SchemaObject& wanted,
                    const SchemaObject& found,
                    const std::vector<SchemaObject>& there) {
    if (wanted.kind != "index" || wanted.definition.ends_with(invalid) ||
        find(there, {wanted.table, "constraint", wanted.name, ""}))
        return "";
    const bool partitioned = with_partitions(wanted.definition) != wanted.definition;
    if (partitioned && found.definition == wanted.definition + std::string{invalid})
        return ": ALTER INDEX ... ATTACH PARTITION ... there, for the one of each partition";
    // The server drops one that is attached with the one that it is attached to, and not alone.
    const SchemaObject* table = find(there, {wanted.table, "table", "", ""});
    const bool partition =
        table != nullptr && (table->definition.find(" FOR VALUES ") != std::string::npos ||
                             table->definition.ends_with(" DEFAULT"));
    return std::string{": drop it there"} +
           (partition ? " (where it is attached, drop the partitioned table's index)" : "") +
           ", then " + command(wanted, there).substr(2);
}

// Whether a table that is there without it stays so: a dump makes other objects than these.
bool needed(const SchemaObject& object, const std::vector<SchemaObject>& present) {
    if (object.kind == "disabled constraint")
        return find(present, {object.table, "constraint", object.name, ""}) != nullptr;
    return object.kind == "column" ||
           (object.kind == "row security" && object.definition.ends_with(forced));
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

// Behind the literal or quoted name that begins at `at`: each quote inside is doubled.
std::size_t quoted_end(std::string_view text, std::size_t at) {
    const char quote = text[at];
    for (++at; at < text.size(); ++at) {
        if (text[at] != quote) continue;
        if (at + 1 == text.size() || text[at + 1] != quote) return at + 1;
        ++at;
    }
    return text.size();
}

// Where the element of a list that begins at `at` ends: at a comma or bracket of the list's own.
std::size_t element_end(std::string_view text, std::size_t at) {
    int depth = 0;
    while (at < text.size()) {
        const char c = text[at];
        if (c == '\'' || c == '"') {
            at = quoted_end(text, at);
            continue;
        }
        if (depth == 0 && (c == ',' || c == ']' || c == ')')) return at;
        if (c == '(' || c == '[') ++depth;
        if (c == ')' || c == ']') --depth;
        ++at;
    }
    return std::string_view::npos;
}

constexpr std::string_view array_begin = "ARRAY[";

// Of "ARRAY['a'::character varying, b])::text[]", as it follows an opening parenthesis:
// "ARRAY[('a'::character varying)::text, (b)::text]", and how much of the text that was.
std::optional<std::pair<std::string, std::size_t>> cast_list(std::string_view text) {
    std::vector<std::string_view> elements;
    std::size_t at = array_begin.size();
    for (;;) {
        const std::size_t end = element_end(text, at);
        if (end == std::string_view::npos) return std::nullopt;
        elements.push_back(text.substr(at, end - at));
        if (elements.back().empty() || elements.back().starts_with(array_begin))
            return std::nullopt;
        at = end;
        if (text.substr(at).starts_with("])::")) break;
        if (!text.substr(at).starts_with(", ")) return std::nullopt;
        at += 2;
    }
    at += std::string_view{"])::"}.size();
    const std::size_t type_end = element_end(text, at);
    std::string_view type = text.substr(at, type_end - at);
    const std::size_t brackets = type.find("[]");
    if (brackets == std::string_view::npos) return std::nullopt;
    type = type.substr(0, brackets);
    std::string list{array_begin};
    for (std::size_t i = 0; i < elements.size(); ++i) {
        list.append(i > 0 ? ", (" : "(").append(canonical_definition(elements[i]));
        list.append(")::").append(type);
    }
    return std::pair{list + "]", at + brackets + 2};
}

// The part of a definition that holds expressions, as a statement; and the part that does not.
std::pair<std::string, std::string> as_statement(std::string_view kind,
                                                 std::string_view definition) {
    const auto cut = [&](std::size_t at) {
        return definition.substr(std::min(at, definition.size()));
    };
    const auto before = [&](std::size_t at) { return std::string{definition.substr(0, at)}; };
    if (kind == "column") {
        constexpr std::string_view mark = " default ";
        const std::size_t at = definition.find(mark);
        return {"SELECT " + std::string{cut(at == std::string_view::npos ? at : at + mark.size())},
                before(at)};
    }
    if (kind == "table") {
        const std::size_t at = definition.find('(');
        return {"SELECT ROW" + std::string{cut(at)}, before(at)};
    }
    std::size_t end = definition.size();
    for (const std::string_view state : {invalid, disabled, always, replica}) {
        if (definition.ends_with(state)) end = definition.size() - state.size();
    }
    if (kind == "constraint") return {"ALTER TABLE t ADD " + before(end), std::string{cut(end)}};
    return {before(end), std::string{cut(end)}};
}

}  // namespace

std::string canonical_definition(std::string_view definition) {
    std::string text;
    for (std::size_t at = 0; at < definition.size();) {
        const char c = definition[at];
        if (c == '\'' || c == '"') {
            const std::size_t end = quoted_end(definition, at);
            text.append(definition.substr(at, end - at));
            at = end;
            continue;
        }
        const std::string_view rest = definition.substr(at);
        if (text.ends_with('(') && rest.starts_with(array_begin)) {
            if (const auto list = cast_list(rest)) {
                text.pop_back();
                text.append(list->first);
                at += list->second;
                continue;
            }
        }
        text.push_back(c);
        ++at;
    }
    return text;
}

bool same_definition(std::string_view kind, std::string_view one, std::string_view other) {
    // Columns are told in the table's order there, which may be another.
    if (one == other || kind == "statistics") return true;
    const auto [statement, rest] = as_statement(kind, one);
    const auto [other_statement, other_rest] = as_statement(kind, other);
    return rest == other_rest && protocol::postgres::same_print(statement, other_statement);
}

std::string schema_signature_sql(const std::string& which) {
    return signature_begin + which + signature_end;
}

Result<std::vector<SchemaObject>> read_schema_signature(Connection& connection,
                                                        const std::vector<std::string>& exclude,
                                                        std::chrono::milliseconds silence_max) {
    const auto rows = execute_within(
        connection,
        silence_max,
        schema_signature_sql(R"sql(n.nspname || '.' || c.relname <> ALL ($1::text[])
          AND NOT (c.relispartition AND $1::text[] <> '{}' AND EXISTS (
              SELECT FROM pg_partition_ancestors(c.oid) a JOIN pg_class p ON p.oid = a.relid
              JOIN pg_namespace pn ON pn.oid = p.relnamespace
              WHERE pn.nspname || '.' || p.relname = ANY ($1::text[]))))sql") +
            for_writers,
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
            if (!same_definition(s->kind, s->definition, t->definition)) {
                lines.push_back(label(*s) + " differs: source " + told(*s) + "; target " +
                                told(*t) + (told(*s) == told(*t) ? " (in its constants)" : "") +
                                mending(*s, *t, source));
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
        if (!on_source.contains(object.table)) continue;
        const SchemaObject* original = find(*wanted, object);
        if (!original) {
            add(different, object.table, label(object) + " is not on the source");
        } else if (!same_definition(object.kind, original->definition, object.definition)) {
            add(different,
                object.table,
                label(object) + " differs from the source: " + told(object) + " instead of " +
                    told(*original) +
                    (told(object) == told(*original) ? " (in its constants)" : ""));
        }
    }
    for (const SchemaObject& object : *wanted) {
        if (on_target.contains(object.table) && needed(object, *present) && !find(*present, object))
            add(different, object.table, label(object) + " is missing on the target");
    }
    const auto filled = not_empty(target, *quoted);
    if (!filled) return filled.error();
    for (const std::string& table : *filled)
        add(TargetConflict::Kind::filled, table, table + " is not empty");
    return conflicts;
}

}  // namespace segue::backfill::postgres
