#pragma once
// What `explain` prints: the meaning of a finding's code, or all codes.

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace segue::proxy {

// Every code with its first line.
std::string explain_all();
// What it means, why it matters, what to do, and whether it can be accepted. Empty for no code.
std::string explain(const std::string& code);
// [{code, means, matters, remedy, acceptable}]: of that code, or of all for none. Empty for no
// code.
nlohmann::json explain_json(const std::string& code);
// The code that `code` is most likely a misspelling of; empty when none is near.
std::string nearest_code(const std::string& code);

}  // namespace segue::proxy
