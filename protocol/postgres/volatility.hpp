#pragma once
// What the catalog knows of the names in a statement, and what follows for a read: may it run on
// the follower, and may its answers be compared. The facts are plain values, filled from a server's
// catalog by backfill/postgres/volatility_catalog.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "protocol/postgres/classify.hpp"

namespace segue::protocol::postgres {

// In order from harmless to harmful, so that the worst of several is the greatest.
enum class Volatility : std::uint8_t { immutable_, stable, volatile_ };

struct FunctionFacts {
    Volatility worst = Volatility::volatile_;  // Over all overloads in all schemas.
    bool built_in = false;                     // All of them in pg_catalog.
    bool takes_row = false;                    // Some overload can be called as `row.name`.
};

struct RelationFacts {
    std::string schema;
    bool table = false;  // An ordinary or partitioned table whose rows are moved.
    bool view = false;
    // Statements that reading the relation executes as well: a view's definition, the policies of
    // row security. They are judged like the statement itself.
    std::vector<Statement> hidden;
    std::vector<std::vector<std::string>> unique_keys;  // Column names; none of them nullable.
};

struct ReadCatalog {
    std::unordered_map<std::string, FunctionFacts> functions;
    std::unordered_map<std::string, std::vector<RelationFacts>>
        relations;  // By name, over all schemas.
    std::unordered_set<std::string>
        volatile_operators;  // Symbols with a volatile function behind any overload.
    std::unordered_set<std::string>
        volatile_types;  // Names whose input, casts or checks are volatile.
    // Volatile functions that run without being named (implicit casts, operator classes). Nothing
    // is then known to be a read.
    bool hidden_calls = false;
    // Some function of the database's own might change settings or make temporary tables: calls and
    // plain writes (triggers) then change the session.
    bool functions_change_session = true;
};

struct Judgement {
    bool follower = false;    // May run on the follower, read-only.
    bool comparable = false;  // Its two answers may be compared; never without `follower`.
    RowOrder order = RowOrder::any;
    bool limited = false;
    std::string_view why;  // Static text when one of them is false.

    friend bool operator==(const Judgement&, const Judgement&) = default;
};

// Views are followed into each other at most this deep; deeper ones are left to the authority.
inline constexpr int view_depth_max = 16;

Judgement judge(const Statement& statement, const ReadCatalog& catalog);

// Could a later read of the same session mean something else after this statement (a setting, the
// role, a temporary table)? Unsure is yes.
bool changes_session(const Statement& statement, const ReadCatalog& catalog);

}  // namespace segue::protocol::postgres
