#pragma once
// Which reads a shift is about, beside its percentage: of which users, applications, databases and
// tables, and whether the percentage is one of statements or of sessions. A value, part of the
// knobs.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace segue::router {

enum class ShareOf : std::uint8_t {
    statements,
    sessions  // A session that is chosen has all its reads answered by the follower, and stays so.
};

constexpr std::string_view name(ShareOf share) {
    switch (share) {
        case ShareOf::statements:
            return "statements";
        case ShareOf::sessions:
            return "sessions";
    }
    return "";
}

// Names in one list of a scope, and the size of one.
inline constexpr std::size_t scope_names_max = 100;
inline constexpr std::size_t scope_name_size_max = 200;

struct ShiftScope {
    ShareOf by = ShareOf::statements;
    // An empty list limits nothing; else a read must be of one of them, and of every list's.
    std::vector<std::string> users, applications, databases;
    std::vector<std::string> tables;  // "schema.table", or a name in any schema: all that it reads.

    bool limited() const {
        return !users.empty() || !applications.empty() || !databases.empty() || !tables.empty();
    }
    friend bool operator==(const ShiftScope&, const ShiftScope&) = default;
};

// What is wrong with the names; empty when they can be kept.
std::string refused_names(const ShiftScope& scope);

// As one text of lines, for the control record; empty for no limits, by statements.
std::string encode(const ShiftScope& scope);
// Empty for what this version does not know: then nothing is shifted.
std::optional<ShiftScope> decode_shift_scope(std::string_view text);

// For people: "of users app, reports and of table public.orders". Empty when nothing is limited.
std::string describe(const ShiftScope& scope);

// Whether a list, if it limits at all, has the name.
bool admits(const std::vector<std::string>& list, std::string_view name);

}  // namespace segue::router
