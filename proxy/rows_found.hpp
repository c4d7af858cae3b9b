#pragma once
// What the comparison of the tables that a differing read reads has come to, as an operator is told
// it: which rows differ, or that the difference is in something else.

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backfill/suspects.hpp"

namespace segue::proxy {

// Of one statement.
inline constexpr std::size_t rows_named_max = 5, row_tables_named_max = 10;

enum class RowsState : std::uint8_t {
    waiting,  // For their comparison to begin.
    comparing,
    different,     // Rows are named.
    equal,         // The difference is in something else.
    incomparable,  // See `problem`.
    mended,        // What differed was repaired since.
};

struct NamedRow {
    std::string table, key, kind;  // As verify lists them. The key is a value of the application's.
    friend bool operator==(const NamedRow&, const NamedRow&) = default;
};

struct RowsFound {
    RowsState state = RowsState::waiting;
    std::vector<std::string> tables;  // "schema.table", the first of them.
    std::size_t tables_count = 0;
    std::vector<std::string> functions;  // Of the database's own, that the read calls.
    std::optional<double> percent;       // Compared, while not all are.
    std::uint64_t differences = 0;
    std::vector<NamedRow> first;
    std::string problem;
    bool confirmed = true;  // That its answers differ; else they were too much to be held together.
    bool again = false;     // All were equal, and a read of one has differed since.
    std::optional<backfill::WallTime> at;  // When the last comparison ended.
    friend bool operator==(const RowsFound&, const RowsFound&) = default;
};

// `since`: when the read has differed first; what was compared before says nothing of it.
// `suspects`: in the order of their names.
RowsFound rows_found(const backfill::ReadTables& read,
                     backfill::WallTime since,
                     const std::vector<backfill::Suspect>& suspects);

std::string_view name(RowsState state);

enum class Keys : std::uint8_t { hidden, shown };
// "2 rows differ: changed app.t, missing app.u", "app.t is being compared (37 %)" ...
std::string rows_text(const RowsFound& found, Keys keys);
nlohmann::json rows_json(const std::optional<RowsFound>& found, Keys keys);
nlohmann::json suspects_json(const std::vector<backfill::Suspect>& suspects);

}  // namespace segue::proxy
