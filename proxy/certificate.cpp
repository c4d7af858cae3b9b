#include "proxy/certificate.hpp"

#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

#include "backfill/postgres/connection.hpp"
#include "protocol/crypto.hpp"
#include "proxy/status.hpp"
#include "router/counted.hpp"

namespace segue::proxy {

using backfill::RepairRecord;
using backfill::TableVerdict;
using backfill::Verdict;
using backfill::Verification;
using backfill::VerifiedTable;
using backfill::VerifyDifference;
using nlohmann::json;

namespace {

constexpr const char* method =
    "Each range of each table was read on both servers under one pair of snapshots that are proven "
    "to be the same state; from and to are where the logs of both stood at the first and the last "
    "pair. hash: the sums, modulo 2^64, of two 64-bit hashes of the rows' texts, which depend "
    "neither on the order of the rows nor on the ranges. On a server where nobody writes, query "
    "gives the same rows and hash as here, under the settings.";
constexpr const char* digest_of =
    "this document without the member digest, as JSON with sorted keys, no white space, UTF-8";
constexpr int document_version = 1;

json time_or_null(const std::optional<WallTime>& time) {
    return time ? json(format_time(*time)) : json(nullptr);
}

json side_json(const VerifiedTable& table, Side side) {
    const backfill::RowSums& sums = table.sums[index(side)];
    return {{"rows", sums.rows},
            {"hash", std::to_string(sums.first) + ":" + std::to_string(sums.second)},
            {"from", backfill::postgres::format_lsn(table.from[index(side)])},
            {"to", backfill::postgres::format_lsn(table.to[index(side)])}};
}

json table_json(const Verification::TableName& name, const VerifiedTable& table) {
    json result = {{"schema", name.first},
                   {"name", name.second},
                   {"verdict", backfill::name(table.verdict)},
                   {"differences", table.differences},
                   {"begun_at", time_or_null(table.begun_at)},
                   {"ended_at", time_or_null(table.ended_at)},
                   {"source", side_json(table, Side::source)},
                   {"target", side_json(table, Side::target)},
                   {"query", table.sql}};
    if (!table.problem.empty()) result["problem"] = table.problem;
    return result;
}

json difference_list(const std::vector<VerifyDifference>& differences, std::size_t most) {
    json list = json::array();
    for (const VerifyDifference& one : differences) {
        if (list.size() == most) break;
        list.push_back({{"table", one.table}, {"key", one.key}, {"kind", one.kind}});
    }
    return list;
}

json excluded_json(const Verification& verification) {
    json list = json::array();
    for (const auto& [name, why] : verification.excluded)
        list.push_back({{"schema", name.first}, {"name", name.second}, {"reason", why}});
    return list;
}

std::string hex(std::string_view bytes) {
    std::string text;
    for (const char byte : bytes) {
        constexpr const char* digits = "0123456789abcdef";
        text.push_back(digits[static_cast<unsigned char>(byte) >> 4]);
        text.push_back(digits[static_cast<unsigned char>(byte) & 15]);
    }
    return text;
}

// A server's text may not be UTF-8.
std::string canonical(const json& document) {
    return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

std::string build_text() {
    std::ifstream program{"/proc/self/exe", std::ios::binary};
    const std::string bytes{std::istreambuf_iterator<char>{program}, {}};
    return std::string{"segue "} + SEGUE_VERSION + " (g++ " + __VERSION__ + ", sha256 " +
           hex(crypto::sha256(bytes)) + ")";
}

std::string verification_text(const Verification& verification) {
    std::string text = (verification.verdict == Verdict::equal ? "equal: " : "different: ") +
                       counted(verification.rows(), "row", "rows") + " compared, " +
                       counted(verification.differences(), "difference", "differences");
    if (verification.verdict == Verdict::equal) return text;
    if (verification.verdict == Verdict::mended)
        return text + "; rows were repaired and not compared again yet: run `segue verify`";
    for (const auto& [name, table] : verification.tables) {
        if (table.verdict == TableVerdict::unlike)
            text +=
                "\n  cannot be compared  " + name.first + "." + name.second + ": " + table.problem;
    }
    const auto listed = verification.listed();
    std::size_t shown = 0;
    for (const VerifyDifference& one : listed) {
        if (shown++ == differences_shown_max) break;
        text += "\n  " + one.kind + "  " + one.table + "  " + one.key;
    }
    if (verification.differences() > differences_shown_max) {
        text += "\n  ... `segue verify --last --certificate FILE` writes the first " +
                std::to_string(backfill::verify_differences_max) +
                "; they are in table segue.difference too";
    }
    if (!listed.empty()) text += "\n`segue repair` copies these rows again.";
    return text;
}

json verification_details(const Verification& verification,
                          const std::vector<RepairRecord>& repairs,
                          const Migrating& migration) {
    return {{"rows_compared", verification.rows()},
            {"differences", verification.differences()},
            {"first_differences", difference_list(verification.listed(), differences_detailed_max)},
            {"certificate", certificate(verification, repairs, migration)}};
}

std::string repair_text(const backfill::RepairReport& report) {
    std::string text = "repaired " + counted(report.rows, "row", "rows");
    for (const RepairRecord& one : report.tables) {
        text += "\n  " + one.schema + "." + one.name + ": ";
        // A sequence has no rows.
        if (one.missing + one.extra + one.changed == 0) {
            text += "behind, set ahead";
            continue;
        }
        text += std::to_string(one.missing) + " missing, " + std::to_string(one.extra) +
                " extra, " + std::to_string(one.changed) + " changed";
    }
    for (const std::string& one : report.failed) text += "\n  could not be repaired: " + one;
    if (report.rows > 0) {
        text += "\nThe stream was held " + std::to_string(report.longest_hold.count() / 1000) +
                " ms at most; the account is in table segue.repair on both sides.";
    }
    return text;
}

json repair_json(const std::vector<RepairRecord>& repairs) {
    json list = json::array();
    for (const RepairRecord& one : repairs) {
        list.push_back({{"id", one.id},
                        {"asked_by", one.asked_by},
                        {"role", one.role},
                        {"at", one.at},
                        {"state", one.state},
                        {"from", name(one.authority)},
                        {"schema", one.schema},
                        {"name", one.name},
                        {"missing", one.missing},
                        {"extra", one.extra},
                        {"changed", one.changed}});
    }
    return list;
}

json certificate(const Verification& verification,
                 const std::vector<RepairRecord>& repairs,
                 const Migrating& migration) {
    json tables = json::array();
    for (const auto& [name, table] : verification.tables) tables.push_back(table_json(name, table));
    json document = {
        {"document", "segue certificate"},
        {"version", document_version},
        {"migration", migration.name},
        {"migration_id", migration.id},
        {"verification", verification.id},
        {"build", verification.build},
        {"asked_by", verification.asked_by},
        {"authority", name(verification.authority)},
        {"verdict", backfill::name(verification.verdict)},
        {"begun_at", format_time(verification.begun_at)},
        {"ended_at", time_or_null(verification.ended_at)},
        {"every_row_verified_since", time_or_null(verification.every_row_since())},
        {"rows_compared", verification.rows()},
        {"differences", verification.differences()},
        {"differences_listed",
         difference_list(verification.listed(), backfill::verify_differences_max)},
        {"repairs", repair_json(repairs)},
        {"tables", std::move(tables)},
        {"excluded", excluded_json(verification)},
        {"method", method},
        {"settings", backfill::postgres::normalised_settings_sql()},
    };
    document["digest"] = {
        {"algorithm", "sha256"}, {"of", digest_of}, {"value", certificate_digest(document)}};
    return document;
}

std::string certificate_digest(json certificate) {
    certificate.erase("digest");
    return hex(crypto::sha256(canonical(certificate)));
}

Status check_certificate(const json& certificate) {
    if (!certificate.is_object() || certificate.value("document", json{}) != "segue certificate")
        return Error{Errc::bad_value, "this is not a certificate of Segue"};
    const json digest = certificate.value("digest", json{});
    if (!digest.is_object() || digest.value("value", json{}) != certificate_digest(certificate))
        return Error{Errc::bad_value, "it was changed after it was issued: its digest differs"};
    return Done{};
}

namespace {

// What a document of another version lacks is a question mark.
std::string shown(const json& object, const char* member) {
    const json value = object.is_object() ? object.value(member, json{}) : json{};
    if (value.is_string()) return value.get<std::string>();
    return value.is_null() ? "?" : value.dump(-1, ' ', false, json::error_handler_t::replace);
}

json list_in(const json& object, const char* member) {
    const json value = object.is_object() ? object.value(member, json{}) : json{};
    return value.is_array() ? value : json::array();
}

json object_in(const json& object, const char* member) {
    const json value = object.is_object() ? object.value(member, json{}) : json{};
    return value.is_object() ? value : json::object();
}

std::string table_of(const json& one) { return shown(one, "schema") + "." + shown(one, "name"); }

void write_table(const json& table, std::ostringstream& text) {
    text << "  " << table_of(table) << ": " << shown(table, "verdict");
    if (table.is_object() && table.contains("problem"))
        text << " (" << shown(table, "problem") << ")";
    text << "\n";
    for (const char* name : {"source", "target"}) {
        const json side = object_in(table, name);
        text << "    " << name << "  " << shown(side, "rows") << " rows, hash "
             << shown(side, "hash") << ", " << shown(side, "from") << " to " << shown(side, "to")
             << "\n";
    }
}

void write_repairs(const json& repairs, std::ostringstream& text) {
    text << "\nREPAIRS\n";
    for (const json& one : repairs) {
        text << "  " << shown(one, "at") << "  " << table_of(one) << ": " << shown(one, "missing")
             << " missing, " << shown(one, "extra") << " extra, " << shown(one, "changed")
             << " changed, by " << shown(one, "asked_by") << " (" << shown(one, "state") << ")\n";
    }
    if (repairs.empty()) text << "  none\n";
}

}  // namespace

std::string certificate_text(const json& certificate) {
    std::ostringstream text;
    text << "CERTIFICATE OF EQUALITY: "
         << (shown(certificate, "verdict") == "equal" ? "EQUAL" : "NOT EQUAL") << "\n\n";
    for (const auto& [what, member] : {std::pair{"migration          ", "migration"},
                                       std::pair{"verification       ", "verification"},
                                       std::pair{"asked by           ", "asked_by"},
                                       std::pair{"build              ", "build"},
                                       std::pair{"authority          ", "authority"},
                                       std::pair{"begun              ", "begun_at"},
                                       std::pair{"ended              ", "ended_at"},
                                       std::pair{"every row since    ", "every_row_verified_since"},
                                       std::pair{"rows compared      ", "rows_compared"},
                                       std::pair{"differences        ", "differences"}})
        text << what << shown(certificate, member) << "\n";
    text << "\nTABLES (rows and hash of source and target, positions in their logs)\n";
    for (const json& table : list_in(certificate, "tables")) write_table(table, text);
    text << "\nEXCLUDED\n";
    const json excluded = list_in(certificate, "excluded");
    for (const json& one : excluded)
        text << "  " << table_of(one) << ": " << shown(one, "reason") << "\n";
    if (excluded.empty()) text << "  nothing\n";
    write_repairs(list_in(certificate, "repairs"), text);
    text << "\nsha256 " << shown(object_in(certificate, "digest"), "value") << "\n";
    return text.str();
}

}  // namespace segue::proxy
