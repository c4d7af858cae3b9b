#pragma once
// Verifications and repairs in schema segue of one side: written and read, one transaction each.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "backfill/verification.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

using TableNames = std::set<Verification::TableName>;

// A migration that an earlier build has started has no tables for it yet.
Status make_verify_tables(Connection& connection);

// The head, and these of its tables with what is listed of them, as they are now. Older
// verifications of its kind are removed, except the last ones.
Status write_verification(Connection& connection,
                          const Verification& verification,
                          const TableNames& changed);
// The latest ones, the one that was begun last first; without their tables.
Result<std::vector<Verification>> read_verifications(Connection& connection);
// Adds the tables, what is listed of them, and the excluded ones.
Status read_verified_tables(Connection& connection, Verification& verification);

// The repair of one table, for both sides' records.
struct RepairNote {
    std::string id, verification, asked_by;
    Side authority = Side::source;
    std::string schema, table;
    std::uint64_t missing = 0, extra = 0, changed = 0;
};
enum class RepairState : std::uint8_t { begun, done };
// The statement that records it, for whatever transaction it belongs to.
std::string repair_sql(const RepairNote& note, RepairState state);

// A repair as it stands on record, for certificates.
struct Repair {
    RepairNote note;
    std::string role, state, at;  // RFC 3339
};
Result<std::vector<Repair>> read_repairs(Connection& connection, const std::string& verification);

// Of each kind, the unfinished one included.
inline constexpr int verifications_kept_max = 20;
inline constexpr int repairs_read_max = 1000;

}  // namespace segue::backfill::postgres
