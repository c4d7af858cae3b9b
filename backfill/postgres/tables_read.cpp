#include "backfill/postgres/tables_read.hpp"

#include "backfill/postgres/text_array.hpp"
#include "protocol/postgres/classify.hpp"

namespace segue::backfill::postgres {

namespace {

using protocol::postgres::QualifiedName;
using protocol::postgres::StatementKind;

// $1, $2: schemas (empty: by the search path) and names of relations; $3: the search path; $4, $5:
// of functions. What stands in a function's body as a string is not known to the catalog.
constexpr const char* query = R"sql(
WITH RECURSIVE path AS (
    SELECT coalesce(replace(m[1], '""', '"'), m[2]) AS schema, o
    FROM regexp_matches($3, '"((?:[^"]|"")*)"|([^", ]+)', 'g') WITH ORDINALITY AS p (m, o)),
relation AS (
    SELECT DISTINCT ON (r.schema, r.name) c.oid
    FROM unnest($1::text[], $2::text[]) AS r (schema, name)
    JOIN pg_class c ON c.relname = r.name JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN path ON path.schema = n.nspname
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND CASE r.schema WHEN '' THEN path.o IS NOT NULL ELSE n.nspname = r.schema END
    ORDER BY r.schema, r.name, path.o),
routine AS (
    SELECT p.oid FROM unnest($4::text[], $5::text[]) AS f (schema, name)
    JOIN pg_proc p ON p.proname = f.name JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE CASE f.schema WHEN '' THEN n.nspname IN (SELECT schema FROM path) ELSE n.nspname = f.schema END),
seen (class, oid) AS (
    SELECT 'pg_class'::regclass::oid, oid FROM relation
    UNION SELECT 'pg_proc'::regclass::oid, oid FROM routine
    UNION SELECT used.class, used.oid FROM seen CROSS JOIN LATERAL (
        SELECT d.refclassid, d.refobjid FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        WHERE seen.class = 'pg_class'::regclass AND r.ev_class = seen.oid AND c.relkind = 'v' AND r.ev_type = '1'
        UNION ALL
        SELECT d.refclassid, d.refobjid FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
        JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
        WHERE seen.class = 'pg_class'::regclass AND p.polrelid = seen.oid AND c.relrowsecurity
        UNION ALL
        SELECT 'pg_class'::regclass, i.inhrelid FROM pg_inherits i
        WHERE seen.class = 'pg_class'::regclass AND i.inhparent = seen.oid
        UNION ALL
        SELECT d.refclassid, d.refobjid FROM pg_depend d
        WHERE seen.class = 'pg_proc'::regclass AND d.classid = 'pg_proc'::regclass AND d.objid = seen.oid
    ) AS used (class, oid) WHERE used.class IN ('pg_class'::regclass, 'pg_proc'::regclass))
SELECT 'table', n.nspname, c.relname FROM seen JOIN pg_class c ON c.oid = seen.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE seen.class = 'pg_class'::regclass AND c.relkind = 'r'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'segue')
UNION
SELECT 'function', n.nspname, p.proname FROM seen JOIN pg_proc p ON p.oid = seen.oid
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE seen.class = 'pg_proc'::regclass AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'segue')
ORDER BY 1, 2, 3)sql";

void add(const std::vector<QualifiedName>& names, std::vector<std::optional<std::string>>& into) {
    std::vector<std::string> schemas, plain;
    for (const QualifiedName& one : names) {
        schemas.push_back(one.schema);
        plain.push_back(one.name);
    }
    into.push_back(text_array(schemas));
    into.push_back(text_array(plain));
}

}  // namespace

Result<ReadTables> tables_read(Twin& twin,
                               Side side,
                               const std::string& statement,
                               const std::string& search_path) {
    const auto named = protocol::postgres::classify(statement);
    if (named.kind != StatementKind::read || !named.names_known)
        return Error{Errc::refused, "its text is not understood"};
    std::vector<std::optional<std::string>> parameters;
    add(named.relations, parameters);
    parameters.push_back(search_path);
    add(named.functions, parameters);
    const auto rows = twin.query(side, query, parameters, tables_read_max);
    if (!rows) return rows.error();
    ReadTables read;
    for (const Twin::Row& row : *rows) {
        const std::string schema = row[1].value_or(""), name = row[2].value_or("");
        if (row[0] == "table")
            read.tables.emplace_back(schema, name);
        else
            read.functions.push_back(schema + "." + name);
    }
    return read;
}

}  // namespace segue::backfill::postgres
