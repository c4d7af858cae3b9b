#include "proxy/config_reader.hpp"

#include <algorithm>
#include <cstdio>
#include <numeric>

namespace segue::proxy {

namespace {

// Levenshtein's.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t above = row[j];
            row[j] =
                std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0u : 1u)});
            diagonal = above;
        }
    }
    return row[b.size()];
}

std::string unknown(std::string_view what,
                    std::string_view word,
                    const std::vector<std::string>& known) {
    std::string text = "unknown " + std::string{what};
    if (const std::string near = nearest(word, known); !near.empty())
        return text + "; did you mean " + near + "?";
    text += "; expected one of";
    for (std::size_t i = 0; i < known.size(); ++i) text += (i == 0 ? " " : ", ") + known[i];
    return text;
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& names) {
    std::string best;
    std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
    for (const std::string& candidate : names) {
        const std::size_t d = distance(word, candidate);
        if (d < best_distance && d < candidate.size()) {
            best = candidate;
            best_distance = d;
        }
    }
    return best;
}

void ConfigReader::enter(std::string_view section) {
    section_ = section;
    known_sections_.push_back(section_);
    known_keys_.clear();
    table_ = nullptr;
    const toml::node* node = root_.get(section);
    if (node == nullptr) return;
    table_ = node->as_table();
    if (table_ == nullptr) complain("", section, "expected a section: [" + section_ + "]");
}

std::size_t ConfigReader::list_size(std::string_view section) {
    known_sections_.emplace_back(section);
    const toml::node* node = root_.get(section);
    if (node == nullptr) return 0;
    const toml::array* list = node->as_array();
    const bool good = list != nullptr && list->is_homogeneous(toml::node_type::table);
    if (!good) complain("", section, "expected sections: [[" + std::string{section} + "]]");
    return good ? list->size() : 0;
}

void ConfigReader::enter_item(std::string_view section, std::size_t item) {
    section_ = section;
    known_keys_.clear();
    table_ = root_.get(section)->as_array()->get(item)->as_table();
}

void ConfigReader::leave() {
    if (table_ == nullptr) return;
    for (const auto& [key, node] : *table_) {
        if (std::find(known_keys_.begin(), known_keys_.end(), key.str()) != known_keys_.end())
            continue;
        complain(section_, key.str(), unknown("key", key.str(), known_keys_));
    }
}

void ConfigReader::check_sections() {
    for (const auto& [key, node] : root_) {
        if (std::find(known_sections_.begin(), known_sections_.end(), key.str()) !=
            known_sections_.end())
            continue;
        complain("",
                 key.str(),
                 unknown(node.is_table() ? "section" : "key outside of a section",
                         key.str(),
                         known_sections_));
    }
}

const toml::node* ConfigReader::find(std::string_view key) {
    known_keys_.emplace_back(key);
    return table_ == nullptr ? nullptr : table_->get(key);
}

std::optional<std::string> ConfigReader::string(std::string_view key) {
    const toml::node* node = find(key);
    if (node == nullptr) return std::nullopt;
    if (const auto value = node->value_exact<std::string>()) return value;
    expected(key, "a string in quotes");
    return std::nullopt;
}

std::optional<bool> ConfigReader::boolean(std::string_view key) {
    const toml::node* node = find(key);
    if (node == nullptr) return std::nullopt;
    if (const auto value = node->value_exact<bool>()) return value;
    expected(key, "true or false");
    return std::nullopt;
}

std::optional<std::int64_t> ConfigReader::whole(std::string_view key,
                                                std::int64_t lowest,
                                                std::int64_t highest) {
    const toml::node* node = find(key);
    if (node == nullptr) return std::nullopt;
    const auto value = node->value_exact<std::int64_t>();
    if (value && *value >= lowest && *value <= highest) return value;
    expected(key,
             "a whole number from " + std::to_string(lowest) + " to " + std::to_string(highest));
    return std::nullopt;
}

std::optional<double> ConfigReader::number(std::string_view key, double lowest, double highest) {
    const toml::node* node = find(key);
    if (node == nullptr) return std::nullopt;
    auto value = node->value_exact<double>();
    if (const auto exact = node->value_exact<std::int64_t>()) value = static_cast<double>(*exact);
    if (value && *value >= lowest && *value <= highest) return value;
    char range[80];
    std::snprintf(range, sizeof range, "a number from %g to %.10g", lowest, highest);
    expected(key, range);
    return std::nullopt;
}

std::vector<std::string> ConfigReader::strings(std::string_view key, bool one_is_enough) {
    std::vector<std::string> values;
    const toml::node* node = find(key);
    if (node == nullptr) return values;
    if (one_is_enough) {
        if (const auto value = node->value_exact<std::string>()) return {*value};
    }
    const toml::array* array = node->as_array();
    bool good = array != nullptr;
    if (good) {
        for (const toml::node& element : *array) {
            const auto value = element.value_exact<std::string>();
            good = good && value.has_value();
            if (value) values.push_back(*value);
        }
    }
    if (good) return values;
    expected(key, one_is_enough ? "a string or a list of strings" : "a list of strings");
    return {};
}

std::optional<std::size_t> ConfigReader::choice(std::string_view key,
                                                const std::vector<std::string_view>& names) {
    const auto value = string(key);
    if (!value) return std::nullopt;
    const auto found = std::find(names.begin(), names.end(), *value);
    if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
    std::string what;
    for (std::size_t i = 0; i < names.size(); ++i)
        what += (i == 0 ? "\"" : " or \"") + std::string{names[i]} + "\"";
    expected(key, what);
    return std::nullopt;
}

std::uint32_t ConfigReader::line_of(std::string_view section, std::string_view key) const {
    const toml::node* node = section.empty() ? root_.get(key) : root_.get(section);
    if (!section.empty() && section == section_ && table_ != nullptr) node = table_;
    if (node == nullptr) return 1;
    const std::uint32_t section_line =
        std::max(1u, static_cast<std::uint32_t>(node->source().begin.line));
    if (section.empty() || !node->is_table()) return section_line;
    const toml::table& table = *node->as_table();
    const auto found = table.find(key);
    return found == table.end() ? section_line
                                : static_cast<std::uint32_t>(found->first.source().begin.line);
}

void ConfigReader::complain(std::string_view section,
                            std::string_view key,
                            const std::string& text) {
    std::string where = file_ + ":" + std::to_string(line_of(section, key)) + ": ";
    if (!section.empty()) where += "[" + std::string{section} + "] ";
    complaints_.push_back(where + std::string{key} + ": " + text);
}

}  // namespace segue::proxy
