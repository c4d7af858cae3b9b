#pragma once
// Prepared statements as a server describes them.

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/postgres/session_state.hpp"

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

// From the whole answer to a restore of `state` with Descriptions::wanted. What it does not tell is
// left out.
DescribedStatements described_statements(Bytes reply, const SessionState& state);

}  // namespace segue::protocol::postgres
