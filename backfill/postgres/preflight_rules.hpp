#pragma once
// The checks that are one query on one side. Each row that a query returns is a finding: (object,
// reason, remedy). Queries only read.
//
// preflight.cpp puts relations and parameters in front of each query:
//   all_relations (oid, schema, name, label)  tables, views with rows and foreign tables of users
//   moved         (the same)                  those whose rows are moved
//   ours          (slot, publication, retained_log_bytes, on_source)  of this migration, on this
//   side

#include <span>
#include <string_view>
#include <vector>

#include "backfill/preflight.hpp"

namespace segue::backfill::postgres {

enum class Where : std::uint8_t { source, target, both };

struct Rule {
    Where where = Where::both;
    Severity severity = Severity::fail;
    FindingCode code;
    std::string_view sql;
};

std::span<const Rule> server_rules();   // The server as a whole.
std::span<const Rule> role_rules();     // What our role may do.
std::span<const Rule> table_rules();    // Tables that are not carried, or not exactly.
std::span<const Rule> object_rules();   // Other objects.
std::span<const Rule> traffic_rules();  // What runs now.

std::vector<Rule> preflight_rules();  // All of them.

}  // namespace segue::backfill::postgres
