#pragma once
// Commands about what comes with the rest (ddl_record.hpp) while tables are copied. What is made is
// taken from the authority later; what is changed or dropped may be there already: the index of a
// key, or what a run of the copy has made that failed behind it.

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/ddl_record.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// To be tried, because what it changes may be there. By names nobody can tell of all of them: what
// is known of one that was renamed is its new name.
Result<bool> may_change_the_rest(Connection& follower, const DdlRecord& record);
// It was not there, or is so already.
bool is_left_to_the_rest(const Error& error);

}  // namespace segue::backfill::postgres
