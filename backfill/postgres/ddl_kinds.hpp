#pragma once
// Which kinds of commands are carried at all.

#include <cstdint>

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/ddl_record.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// An error for a kind that is not carried. What only its own kind of command is asked is asked
// here.
Status may_be_carried(Connection& follower, const DdlRecord& record);

// Of the types only enums are changed. A command tells them under the names that they have
// afterwards; one that is renamed has none before.
enum class TypesNamed : std::uint8_t { before, after };
Status refuse_other_types(Connection& follower, const DdlRecord& record, TypesNamed when);

// An error, when what a command's text relies on is not there.
Status may_run(Connection& follower, const DdlRecord& record);

}  // namespace segue::backfill::postgres
