#pragma once
// The checks that are one query on one side. Each row that a query returns is a finding: (object,
// reason, remedy). Queries read only, and may use $1, the excluded tables as an array of
// "schema.table".

#include <span>
#include <string_view>

#include "backfill/preflight.hpp"

namespace segue::backfill::postgres {

enum class Where : std::uint8_t { source, target, both };

struct Rule {
    Where where = Where::both;
    Severity severity = Severity::fail;
    std::string_view code;
    std::string_view sql;
};

// `moved` in these queries is a relation of (oid, schema, name, relation name as text) of every
// moved table: preflight.cpp puts its definition in front of each.
std::span<const Rule> preflight_rules();

}  // namespace segue::backfill::postgres
