#pragma once
// Moving the schema with pg_dump and pg_restore, in the three portions that exact copying needs
// (DESIGN 5). Each is idempotent: what stands on the target already, with the same definition, is
// left alone.

#include <string>
#include <vector>

#include "backfill/postgres/catalog.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct SchemaSettings {
    std::string source_url, target_url;
    std::vector<std::string> exclude;
    std::string pg_bin;
    std::string migration_id;  // Set as segue.mover in the restoring sessions.
};

// Types, functions, tables without indexes; everything of pre-data except schema segue.
Status restore_pre_data(const SchemaSettings& settings);
// The index behind each table's key (primary key or replica identity), before its first chunk is
// LOADED.
Status restore_key_indexes(const SchemaSettings& settings);
// Indexes, unique, exclusion and check constraints, foreign keys (NOT VALID stays so), triggers,
// rules, policies, materialized views refreshed. Called when every table is loaded and applied.
Status restore_post_data(const SchemaSettings& settings);
// ANALYZE of every moved table.
Status analyze(Connection& target, const std::vector<Table>& tables);

}  // namespace segue::backfill::postgres
