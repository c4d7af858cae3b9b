#pragma once
// The statement that applies one change of the stream to the follower, exactly: it must hit one
// row. Pure.

#include <cstddef>
#include <string>
#include <vector>

#include "backfill/change.hpp"
#include "backfill/postgres/follower_tables.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct ChangeStatement {
    struct Parameter {
        bool old_row = false;  // Else of the new row.
        std::size_t column = 0;
    };
    std::string sql;
    std::vector<Parameter> parameters;  // $1 is the first.
};

// For inserts, updates and deletes. All changes of the same shape (relation, kind, kind of old row,
// columns that were left out, whether an ALWAYS identity changed) have the same statement. Refused
// where the stream does not say which row is meant.
Result<ChangeStatement> change_statement(const FollowerTable& table, const Change& change);

// An update that gives an identity column GENERATED ALWAYS another value: only an insert may do
// that.
bool changes_identity(const FollowerTable& table, const Change& change);

// All at once, as on the authority: tables that refer to one another can only be emptied together.
std::string truncate_statement(const FollowerTables& tables, const Change& change);

}  // namespace segue::backfill::postgres
