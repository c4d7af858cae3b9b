#include "router/shift_scope.hpp"

#include <algorithm>

namespace segue::router {

namespace {

constexpr std::string_view by_sessions = "by sessions";

struct List {
    std::string_view word;
    std::vector<std::string> ShiftScope::*names;
};
constexpr std::array<List, 4> lists = {{{"user", &ShiftScope::users},
                                        {"application", &ShiftScope::applications},
                                        {"database", &ShiftScope::databases},
                                        {"table", &ShiftScope::tables}}};

bool is_control(char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }

}  // namespace

std::string refused_names(const ShiftScope& scope) {
    for (const List& list : lists) {
        const auto& names = scope.*list.names;
        if (names.size() > scope_names_max)
            return "more than " + std::to_string(scope_names_max) + " names of one kind";
        for (const std::string& one : names) {
            if (one.size() > scope_name_size_max || std::any_of(one.begin(), one.end(), is_control))
                return "a name of a " + std::string{list.word} + " that is too long or has a " +
                       "control character";
            // No application_name is one, too.
            if (one.empty() && list.names != &ShiftScope::applications)
                return "an empty name of a " + std::string{list.word};
        }
    }
    return {};
}

std::string encode(const ShiftScope& scope) {
    std::string text;
    if (scope.by == ShareOf::sessions) text += std::string{by_sessions} + "\n";
    for (const List& list : lists) {
        for (const std::string& one : scope.*list.names)
            text += std::string{list.word} + " " + one + "\n";
    }
    return text;
}

std::optional<ShiftScope> decode_shift_scope(std::string_view text) {
    ShiftScope scope;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        if (end == std::string_view::npos) return std::nullopt;
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(end + 1);
        if (line == by_sessions) {
            scope.by = ShareOf::sessions;
            continue;
        }
        const std::size_t blank = line.find(' ');
        const auto known = std::find_if(lists.begin(), lists.end(), [&](const List& list) {
            return blank != std::string_view::npos && line.substr(0, blank) == list.word;
        });
        if (known == lists.end()) return std::nullopt;
        (scope.*known->names).emplace_back(line.substr(blank + 1));
    }
    return scope;
}

std::string describe(const ShiftScope& scope) {
    std::string text;
    for (const List& list : lists) {
        const auto& names = scope.*list.names;
        if (names.empty()) continue;
        text += (text.empty() ? "of " : " and of ") + std::string{list.word} +
                (names.size() == 1 ? "" : "s");
        for (std::size_t i = 0; i < names.size(); ++i) {
            text += i == 0 ? " " : ", ";
            text += names[i].empty() ? "\"\"" : names[i];
        }
    }
    return text;
}

bool admits(const std::vector<std::string>& list, std::string_view name) {
    return list.empty() || std::find(list.begin(), list.end(), name) != list.end();
}

}  // namespace segue::router
