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
// follower_ms, authority, follower {samples, mean_ms, p50_ms, p95_ms, p99_ms, rows}}]
nlohmann::json statements_json(const std::vector<StatementReport>& statements);

// `percent`: null while it is not known.
nlohmann::json shadow_json(const ShadowReport& shadow, nlohmann::json percent);

nlohmann::json shift_json(const ShiftReport& shift,
                          const router::ShiftScope& scope,
                          nlohmann::json percent);

// What `segue statements` prints of that list.
std::string statements_text(const nlohmann::json& statements);

// The same of one statement, for a line of `status`: "12.5 times (p50 0.4 -> 5 ms ...)".
std::string slowness_text(const nlohmann::json& statement);

}  // namespace segue::proxy
