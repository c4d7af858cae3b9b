#pragma once
// What a verification is told as: text for people, details for scripts, and the certificate, a JSON
// document that carries a digest of itself, so that nobody changes it unseen.

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

#include "backfill/mover.hpp"
#include "protocol/result.hpp"

namespace segue::proxy {

struct Migrating {
    std::string name, id;
};

// Listed in a text and in details; a certificate has all that are kept.
inline constexpr std::size_t differences_shown_max = 50, differences_detailed_max = 1000;

// Of this program: version, compiler, and the SHA-256 of the executable.
std::string build_text();

std::string verification_text(const backfill::Verification& verification);
nlohmann::json verification_details(const backfill::Verification& verification,
                                    const std::vector<backfill::RepairRecord>& repairs,
                                    const Migrating& migration);
std::string repair_text(const backfill::RepairReport& report);
nlohmann::json repair_json(const std::vector<backfill::RepairRecord>& repairs);

// With its digest.
nlohmann::json certificate(const backfill::Verification& verification,
                           const std::vector<backfill::RepairRecord>& repairs,
                           const Migrating& migration);
// SHA-256, in hex, of the document without its member `digest`: keys sorted, no white space, UTF-8.
std::string certificate_digest(nlohmann::json certificate);
// Whether the document is as it was issued; the Error says what is not.
Status check_certificate(const nlohmann::json& certificate);
// The same for people.
std::string certificate_text(const nlohmann::json& certificate);

}  // namespace segue::proxy
