#include "backfill/postgres/preflight_types.hpp"

#include <map>
#include <string>

namespace segue::backfill::postgres {

namespace {

constexpr std::size_t types_named_max = 5;

// What somebody has created by name: no arrays, no row types of tables.
constexpr const char* own_types_query = R"sql(
SELECT n.nspname || '.' || t.typname, t.oid
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE t.oid >= 16384 AND t.typisdefined AND n.nspname !~ '^pg_(toast|temp)' AND n.nspname <> 'segue' AND coalesce(c.relkind, 'c') = 'c'
  AND t.typtype <> 'm' AND t.oid NOT IN (SELECT typarray FROM pg_type)
ORDER BY 1)sql";

}  // namespace

void check_types(Connection& source, Connection& target, std::vector<Finding>& findings) {
    const auto from = source.execute(own_types_query);
    const auto to = target.execute(own_types_query);
    if (!from || !to) {
        findings.push_back({Severity::warn,
                            "type_oids",
                            from ? "target" : "source",
                            "the types could not be read: " + (from ? to : from).error().detail,
                            ""});
        return;
    }
    std::map<std::string_view, std::string_view> there;
    for (int row = 0; row < to->size(); ++row) there.emplace(to->at(row, 0), to->at(row, 1));
    std::string named;
    std::size_t count = 0;
    for (int row = 0; row < from->size(); ++row) {
        const auto found = there.find(from->at(row, 0));
        if (found != there.end() && found->second == from->at(row, 1)) continue;
        if (++count <= types_named_max) named += (named.empty() ? "" : ", ") + from->text(row, 0);
    }
    if (count == 0) return;
    if (count > types_named_max) named += " ...";
    findings.push_back({Severity::information,
                        "type_oids",
                        "target",
                        std::to_string(count) + " types of the database's own (" + named +
                            ") have other OIDs there, or will: for"
                            " sessions that move they are translated; connections that are opened "
                            "after the cutover have the new ones",
                        "after the cutover have drivers that keep OIDs for a whole process "
                        "(Npgsql, psycopg's global adapters) load them"
                        " again"});
}

}  // namespace segue::backfill::postgres
