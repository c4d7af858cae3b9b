#pragma once
// What a verification has found so far, and what of it is kept: plain values. A verification goes
// on where it was after a crash, and its verdict is not forgotten, because these values are durable
// on both sides.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/position.hpp"
#include "router/side.hpp"

namespace segue::backfill {

using WallTime = std::chrono::system_clock::time_point;

struct VerifyDifference {
    std::string table;  // schema.table
    // The key's text, the only place where a value leaves the mover; for a table without a key the
    // hash of the row ("#..."), by which it is mended.
    std::string key;
    // missing | extra | changed: what the follower lacks, has too much, has otherwise; behind: a
    // sequence of the follower, which has no key.
    std::string kind;
};
inline constexpr const char* sequence_behind = "behind";

// Of the rows of one side: how many, and two sums of 64-bit hashes of their texts, modulo 2^64.
// They do not depend on the order of the rows or on the ranges they were read in.
struct RowSums {
    std::uint64_t rows = 0, first = 0, second = 0;
    void add(const RowSums& more) {
        rows += more.rows;
        first += more.first;
        second += more.second;
    }
    friend bool operator==(const RowSums&, const RowSums&) = default;
};

enum class TableVerdict : std::uint8_t {
    waiting,    // Not begun.
    comparing,  // Goes on above `low`.
    equal,
    different,
    unlike,  // The sides' definitions differ so that rows cannot be compared: see `problem`.
    gone,    // Dropped, or no longer moved, before it was compared.
};

struct VerifiedTable {
    TableVerdict verdict = TableVerdict::waiting;
    std::string problem;
    RowSums sums[2];  // By index(Side).
    std::uint64_t differences = 0;
    std::vector<VerifyDifference> listed;  // The first of them (verify_differences_max together).
    // Where the logs of both sides stood at the first and the last twin.
    Position from[2], to[2];
    std::optional<WallTime> begun_at, ended_at;
    std::optional<std::vector<std::string>> low;  // Key of the last row compared, while comparing.
    std::string sql;  // What gives the sums on either server; empty before it was begun.
};

enum class Verdict : std::uint8_t {
    running,
    equal,
    different,
    mended,  // Its differences were repaired; until it has compared those tables again it stands
             // for `different`.
};
enum class VerifyKind : std::uint8_t { asked, background };

struct Verification {
    using TableName = std::pair<std::string, std::string>;  // schema, name

    std::string id;
    VerifyKind kind = VerifyKind::asked;
    Verdict verdict = Verdict::running;
    std::string asked_by, build;
    Side authority = Side::source;
    Position since;            // Of the authority's epoch: a later one begins anew.
    std::uint64_t strays = 0;  // On record when it began: what they did has been compared.
    WallTime begun_at;
    std::optional<WallTime> ended_at;
    std::map<TableName, VerifiedTable> tables;
    std::map<TableName, std::string> excluded;  // Why.

    std::uint64_t rows() const;  // Of the authority, compared.
    std::uint64_t differences() const;
    std::vector<VerifyDifference> listed() const;
    bool done() const;       // No table waits.
    bool all_equal() const;  // Of those that are done.
    // Every row was equal at some time since then. Empty: not every table has been compared.
    std::optional<WallTime> every_row_since() const;
};

// Whether `one` has found a table different that `standing` has compared earlier, or not at all.
bool differs_later(const Verification& one, const Verification& standing);

// A table that is begun anew.
void begin_again(VerifiedTable& table);

std::string_view name(TableVerdict verdict);
std::string_view name(Verdict verdict);
std::string_view name(VerifyKind kind);
std::optional<TableVerdict> parse_table_verdict(std::string_view text);
std::optional<Verdict> parse_verdict(std::string_view text);
std::optional<VerifyKind> parse_verify_kind(std::string_view text);

// Listed of one verification, by key and kind. Beyond it differences are only counted.
inline constexpr std::size_t verify_differences_max = 10'000;

}  // namespace segue::backfill
