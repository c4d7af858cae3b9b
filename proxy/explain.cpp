#include "proxy/explain.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "backfill/finding_code.hpp"
#include "proxy/config_reader.hpp"
#include "proxy/help_format.hpp"

namespace segue::proxy {

using backfill::FindingText;

namespace {

constexpr std::size_t indent = 2;
constexpr std::size_t code_column = 28;

std::string paragraph(const std::string& head, std::string_view text) {
    return head + "\n" + std::string(indent, ' ') + wrapped(std::string{text}, indent, indent) +
           "\n";
}

}  // namespace

std::string explain_all() {
    std::vector<const FindingText*> texts;
    for (const FindingText& text : backfill::finding_texts) texts.push_back(&text);
    std::sort(
        texts.begin(), texts.end(), [](const auto* a, const auto* b) { return a->code < b->code; });
    std::string result;
    for (const FindingText* text : texts) {
        std::string line{text->code};
        line.resize(std::max(code_column, line.size() + 1), ' ');
        result += line + wrapped(std::string{text->means}, code_column, code_column) + "\n";
    }
    return result;
}

std::string explain(const std::string& code) {
    const FindingText* text = backfill::find_finding_text(code);
    if (text == nullptr) return {};
    const bool possible = text->acceptance == backfill::Acceptance::possible;
    return code + "\n\n" + paragraph("What it means", text->means) + "\n" +
           paragraph("Why it matters", text->matters) + "\n" +
           paragraph("What to do", text->remedy) + "\n" +
           paragraph("May it be accepted",
                     possible ? "Yes: by an [[accept]] of the configuration that names code and "
                                "object as `segue check` prints them. It is shown ever after."
                              : "No: the move could not work, or would lose data.");
}

nlohmann::json explain_json(const std::string& code) {
    nlohmann::json list = nlohmann::json::array();
    for (const FindingText& text : backfill::finding_texts) {
        if (!code.empty() && text.code != code) continue;
        list.push_back({{"code", text.code},
                        {"means", text.means},
                        {"matters", text.matters},
                        {"remedy", text.remedy},
                        {"acceptable", text.acceptance == backfill::Acceptance::possible}});
    }
    return list;
}

std::string nearest_code(const std::string& code) {
    std::vector<std::string> names;
    for (const FindingText& text : backfill::finding_texts) names.emplace_back(text.code);
    return nearest(code, names);
}

}  // namespace segue::proxy
