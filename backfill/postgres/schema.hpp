#pragma once
// Moving the schema with pg_dump and pg_restore, in the three portions that exact copying needs
// (DESIGN 5). Each is idempotent: what stands on the target already, with the same definition, is
// left alone.

#include <cstdint>
#include <string>
#include <vector>

#include "backfill/postgres/catalog.hpp"
#include "backfill/postgres/connection.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct SchemaSettings {
    std::string source_url, target_url;
    std::vector<std::string> exclude;
    std::string pg_bin;
    std::string migration_id;  // Set as segue.mover in the restoring sessions.
};

// Marks in segue.saved of the target of what has been restored: an entry and its mark are one
// transaction, so a restart goes on behind the last entry.
inline constexpr const char* restored_kind = "restored";
// Also there: the entries of the kept description that are of keys, where it is of a moment that
// has been chosen.
inline constexpr const char* key_entries_kind = "schema_keys";

// Describes the source as `snapshot` shows it, which `moment` has exported, and keeps that on the
// target: what is restored from then on is of that moment.
Status keep_description(const SchemaSettings& settings,
                        Connection& moment,
                        const std::string& snapshot);

// Types, functions, tables without indexes; everything of pre-data except schema segue. As it is
// now, or as it was kept.
enum class Description : std::uint8_t { taken_now, kept };
Status restore_pre_data(const SchemaSettings& settings, Description description);
// The index behind each table's key (primary key or replica identity), before its first chunk is
// LOADED.
Status restore_key_indexes(const SchemaSettings& settings);
// Indexes, unique, exclusion and check constraints, foreign keys (NOT VALID stays so), triggers,
// rules, policies, materialized views refreshed. Called when every table is loaded and applied.
Status restore_post_data(const SchemaSettings& settings);
// ANALYZE of every moved table that the target has.
Status analyze(Connection& target, const std::vector<Table>& tables);

}  // namespace segue::backfill::postgres
