#pragma once
// A column that is new has, in every row that was there, the value that the authority computed when
// the command ran: now() is not now() again. The server keeps such a value beside the table, and
// writes no row; so does the follower, where the column is added with that value as a constant and
// gets its default afterwards.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/ddl_record.hpp"
#include "backfill/postgres/follower_tables.hpp"

namespace segue::backfill::postgres {

struct NewValue {
    std::string schema, table, column;
    std::string constant;  // With its type, as SQL.

    friend bool operator==(const NewValue&, const NewValue&) = default;
};

// What the command, which has just been run here too, has computed otherwise there. `before`: the
// tables until then.
Result<std::vector<NewValue>> other_values(Connection& follower,
                                           const DdlRecord& record,
                                           const FollowerTables& before);

// The command with constants for the defaults of those columns, and what gives them their defaults.
struct WithConstants {
    std::string command;
    std::vector<std::string> then;
};
// Only a candidate: what comes of it must be compared. Empty where the text is not understood.
// Pure.
std::optional<WithConstants> with_constants(std::string_view command,
                                            const DdlRecord& record,
                                            const std::vector<NewValue>& values);

// Into every row, where there is no other way.
Status write_values(Connection& follower, const std::vector<NewValue>& values);

}  // namespace segue::backfill::postgres
