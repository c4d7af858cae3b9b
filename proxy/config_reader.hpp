#pragma once
// Reads typed values out of a parsed TOML file and remembers everything that is wrong, each with
// file, line, key and what was expected. For config.cpp and plan_file.cpp.

#include <toml++/toml.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace segue::proxy {

class ConfigReader {
public:
    ConfigReader(const toml::table& root, std::string file) : root_(root), file_(std::move(file)) {}

    // Keys read from now on are this section's.
    void enter(std::string_view section);
    // The same for a section that may be there several times, [[section]]: how many there are, and
    // one of them.
    std::size_t list_size(std::string_view section);
    void enter_item(std::string_view section, std::size_t item);
    // Complains about the keys of the section that nobody asked for. After the last key.
    void leave();
    // Complains about sections that were never entered.
    void check_sections();

    // The value, or nothing when the key is absent or not of the type (then a complaint is on
    // record).
    std::optional<std::string> string(std::string_view key);
    std::optional<bool> boolean(std::string_view key);
    std::optional<std::int64_t> whole(std::string_view key,
                                      std::int64_t lowest,
                                      std::int64_t highest);
    // Whole ones too.
    std::optional<double> number(std::string_view key, double lowest, double highest);
    std::vector<std::string> strings(std::string_view key, bool one_is_enough);
    // Index into `names`.
    std::optional<std::size_t> choice(std::string_view key,
                                      const std::vector<std::string_view>& names);

    // "FILE:LINE: [SECTION] KEY: TEXT". The line is that of the key, else of the section, else 1.
    void complain(std::string_view section, std::string_view key, const std::string& text);
    void expected(std::string_view key, const std::string& what) {
        complain(section_, key, "expected " + what);
    }

    const std::vector<std::string>& complaints() const { return complaints_; }

private:
    const toml::node* find(std::string_view key);
    std::uint32_t line_of(std::string_view section, std::string_view key) const;

    const toml::table& root_;
    std::string file_;
    std::string section_;
    const toml::table* table_ = nullptr;  // Null when the section is absent.
    std::vector<std::string> known_sections_, known_keys_;
    std::vector<std::string> complaints_;
};

// The name that `word` is most likely a misspelling of; empty when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& names);

}  // namespace segue::proxy
