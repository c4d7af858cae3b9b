#pragma once
// Prepared statements as a server describes them. One round trip asks for a few: descriptions are
// large, and a server that waits for them to be read does not read either.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/postgres/session_state.hpp"
#include "protocol/result.hpp"

namespace segue::protocol::postgres {

struct DescribedStatement {
    std::string name, text;
    std::vector<std::uint32_t> parameters;  // Their types.
    struct Column {
        std::uint32_t table = 0, type = 0;
        friend bool operator==(const Column&, const Column&) = default;
    };
    std::vector<Column> columns;
    friend bool operator==(const DescribedStatement&, const DescribedStatement&) = default;
};
using DescribedStatements = std::vector<DescribedStatement>;

// So many in one round trip; the request fits into the buffers between two programs.
inline constexpr std::size_t descriptions_max = 64;

// How many there are: the named ones, in the state's order, then the unnamed one if there is one.
std::size_t descriptions_of(const SessionState& state);
// Descriptions [first, first + count), of a connection that `state` was restored on.
std::string describe_request(const SessionState& state, std::size_t first, std::size_t count);
// Complete at ReadyForQuery. The Error carries the first SQLSTATE, or says that less was told than
// was asked for.
Step<DescribedStatements> parse_describe_reply(Bytes reply,
                                               const SessionState& state,
                                               std::size_t first,
                                               std::size_t count);

}  // namespace segue::protocol::postgres
