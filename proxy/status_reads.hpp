#pragma once
// What `status` says of reads on the follower, and of single statements.

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "proxy/sessions.hpp"
#include "router/shift_scope.hpp"

namespace segue::proxy {

// Sixteen hexadecimal digits, and back; empty for anything else.
std::string fingerprint_text(std::uint64_t fingerprint);
std::optional<std::uint64_t> parse_fingerprint(const std::string& text);

// [{fingerprint, statement, compared, different, unconfirmed, timed, slower, ratio, authority_ms,
// follower_ms, authority, follower {samples, mean_ms, p50_ms, p95_ms, p99_ms, rows}, rows null |
// {state, text, tables, tables_count, functions, percent, differences, first [{table, kind, key}],
// at}}]. Keys are values of the application's: only where they were asked for.
nlohmann::json statements_json(const std::vector<StatementReport>& statements,
                               Keys keys = Keys::hidden);

// `percent`: null while it is not known.
nlohmann::json shadow_json(const ShadowReport& shadow, nlohmann::json percent);

nlohmann::json shift_json(const ShiftReport& shift,
                          const router::ShiftScope& scope,
                          nlohmann::json percent);

// What `segue statements` prints of that list.
std::string statements_text(const nlohmann::json& statements);

// Of one that differs: "DIFFERS 3 of 40: 1 row differs: changed app.t key 7".
std::string differs_text(const nlohmann::json& statement);

// The same of one statement, for a line of `status`: "12.5 times (p50 0.4 -> 5 ms ...)".
std::string slowness_text(const nlohmann::json& statement);

}  // namespace segue::proxy
