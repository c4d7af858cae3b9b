#include "backfill/postgres/preflight_keys.hpp"

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
    const bool full = settings.full_identity_without_key;
    for (const Table& table : *tables) {
        if (!table.key.empty() || told.contains(table.plain_name())) continue;
        if (!full && table.identity == Identity::full) continue;  // The operator's own choice.
        const std::string object = "source: " + table.plain_name();
        const std::string add = "ALTER TABLE " + table.qualified_name() + " ADD PRIMARY KEY (...);";
        findings.push_back(
            full ? Finding{Severity::information,
                           "without_key",
                           object,
                           "no primary key: REPLICA IDENTITY FULL is set until finish; updates and "
                           "deletes find their row by all its values, one after the other",
                           add + "  -- if it is updated often"}
                 : Finding{Severity::fail,
                           "without_key",
                           object,
                           "no primary key, and [tables] without_key is \"refuse\"",
                           add + "  -- or without_key = \"full\""});
    }
}

}  // namespace segue::backfill::postgres
