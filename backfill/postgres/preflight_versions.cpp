#include "backfill/postgres/preflight_versions.hpp"

#include <string_view>

#include "backfill/postgres/text_array.hpp"
#include "router/side.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr const char* functions_query =
    "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace";

constexpr const char* gone_functions_query = R"sql(
    SELECT DISTINCT p.proname FROM pg_proc p LEFT JOIN unnest($1::text[]) AS there (name) ON there.name = p.proname
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND there.name IS NULL
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    ORDER BY 1)sql";

// $1: a regular expression for a call. Functions in C or SQL-standard bodies are found when they
// are made there.
constexpr const char* calls_query = R"sql(
    SELECT 'function ' || p.oid::regprocedure, (SELECT string_agg(DISTINCT lower(w[1]), ', ') FROM regexp_matches(p.prosrc, $1, 'gi') w)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue') AND l.lanname NOT IN ('c', 'internal')
      AND p.prosrc ~* $1
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'view ' || v.oid::regclass, (SELECT string_agg(DISTINCT lower(w[1]), ', ') FROM regexp_matches(v.text, $1, 'gi') w)
    FROM (SELECT c.oid, pg_get_viewdef(c.oid) AS text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind IN ('v', 'm') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue')
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')) v
    WHERE v.text ~* $1
    ORDER BY 1 LIMIT 100)sql";

// $1: names that columns, tables and schemas may not have without quotation marks; $2: functions
// and types.
constexpr const char* names_query = R"sql(
    WITH own AS (SELECT oid, nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%' AND nspname NOT IN ('information_schema', 'segue'))
    SELECT format('schema %s', nspname), nspname FROM own WHERE nspname = ANY ($1::text[])
    UNION ALL
    SELECT format('%s.%s', nspname, relname), relname FROM pg_class c JOIN own ON own.oid = relnamespace
    WHERE relname = ANY ($1::text[]) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT format('%s.%s.%s', nspname, relname, attname), attname
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN own ON own.oid = relnamespace
    WHERE attname = ANY ($1::text[]) AND attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND NOT relispartition
    UNION ALL
    SELECT format('function %s', p.oid::regprocedure), proname FROM pg_proc p JOIN own ON own.oid = pronamespace
    WHERE proname = ANY ($2::text[])
    UNION ALL
    SELECT format('type %s.%s', nspname, typname), typname FROM pg_type t JOIN own ON own.oid = typnamespace
    WHERE typname = ANY ($2::text[]) AND typtype IN ('d', 'e', 'r')
    ORDER BY 1 LIMIT 100)sql";

void unreadable(Side side, const Error& error, std::vector<Finding>& findings) {
    findings.push_back({Severity::warn,
                        "function_gone",
                        std::string{name(side)},
                        "what its version has could not be read: " + error.detail,
                        "check again"});
}

void check_functions(Connection& source, Connection& target, std::vector<Finding>& findings) {
    const auto there = target.execute(functions_query);
    if (!there) return unreadable(Side::target, there.error(), findings);
    std::vector<std::string> names;
    for (int row = 0; row < there->size(); ++row) names.push_back(there->text(row, 0));
    const auto gone = source.execute(gone_functions_query, {text_array(names)});
    if (!gone) return unreadable(Side::source, gone.error(), findings);
    if (gone->size() == 0) return;
    std::string any;
    for (int row = 0; row < gone->size(); ++row) any += (row == 0 ? "" : "|") + gone->text(row, 0);
    const auto calls = source.execute(calls_query, {"\\m(" + any + ")\\M\\s*\\("});
    if (!calls) return unreadable(Side::source, calls.error(), findings);
    for (int row = 0; row < calls->size(); ++row) {
        findings.push_back({Severity::warn,
                            "function_gone",
                            "source: " + calls->text(row, 0),
                            "it calls " + calls->text(row, 1) +
                                ", which the target's version does not have: there it fails",
                            "look into the release notes for what takes its place, and change it "
                            "before the cutover"});
    }
}

Result<Keywords> read_keywords(Connection& connection) {
    const auto rows = connection.execute("SELECT word, catcode FROM pg_get_keywords()");
    if (!rows) return rows.error();
    Keywords words;
    for (int row = 0; row < rows->size(); ++row) words[rows->text(row, 0)] = rows->at(row, 1)[0];
    return words;
}

void check_names(Connection& source, Connection& target, std::vector<Finding>& findings) {
    const auto from = read_keywords(source);
    if (!from) return unreadable(Side::source, from.error(), findings);
    const auto to = read_keywords(target);
    if (!to) return unreadable(Side::target, to.error(), findings);
    const LostNames lost = lost_names(*from, *to);
    const auto named =
        source.execute(names_query, {text_array(lost.of_columns), text_array(lost.of_functions)});
    if (!named) return unreadable(Side::source, named.error(), findings);
    for (int row = 0; row < named->size(); ++row) {
        findings.push_back({Severity::warn,
                            "reserved_word",
                            "source: " + named->text(row, 0),
                            named->text(row, 1) +
                                " is a reserved word in the target's version: statements that name "
                                "it without quotation marks fail there",
                            "write \"" + named->text(row, 1) + "\"" +
                                " in the application's statements and functions, or rename it"});
    }
}

bool forbidden_only_there(std::string_view categories, char here, char there) {
    return categories.find(there) != categories.npos && categories.find(here) == categories.npos;
}

}  // namespace

LostNames lost_names(const Keywords& source, const Keywords& target) {
    const auto category = [&source](const std::string& word) {
        const auto found = source.find(word);
        return found == source.end() ? 'U' : found->second;
    };
    constexpr std::string_view not_columns = "RT", not_functions = "RC";
    LostNames lost;
    for (const auto& [word, there] : target) {
        const char here = category(word);
        if (forbidden_only_there(not_columns, here, there)) lost.of_columns.push_back(word);
        if (forbidden_only_there(not_functions, here, there)) lost.of_functions.push_back(word);
    }
    return lost;
}

void check_versions(Connection& source, Connection& target, std::vector<Finding>& findings) {
    check_functions(source, target, findings);
    check_names(source, target, findings);
}

}  // namespace segue::backfill::postgres
