#pragma once
// What must be known of the follower's tables to write changes into them.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "backfill/dispatcher.hpp"
#include "backfill/postgres/catalog.hpp"
#include "backfill/postgres/connection.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct FollowerTable {
    Table table;
    // Per key column, where its index needs an operator outside pg_catalog: OPERATOR(schema.=).
    std::map<std::string, std::string> equality;

    const Column* column(const std::string& name) const;
    bool is_key(const std::string& name) const;
    // " = " or the operator that the key's index answers.
    std::string equals(const std::string& column_name) const;
};

inline constexpr const char* definition_was_changed = "its definition was changed on the authority";

// The last line of defence against a change of the schema that nobody has told of: refused unless
// the stream describes the table as the follower has it, column by column.
Status check_described(const FollowerTable& table, const Relation& relation);

using FollowerTables = std::map<TableName, FollowerTable>;

Result<FollowerTables> read_follower_tables(Connection& follower,
                                            const std::vector<std::string>& exclude);
// Those of these names that there are, without their sizes.
Result<FollowerTables> read_follower_tables(Connection& follower,
                                            const std::vector<std::string>& exclude,
                                            const std::vector<TableName>& names);

}  // namespace segue::backfill::postgres
