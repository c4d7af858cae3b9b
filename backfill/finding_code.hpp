#pragma once
// The code of a finding. The texts of all codes are one table: `check` may use only what is in it,
// which the compiler checks, and `explain` prints it.

#include <array>
#include <cstddef>
#include <string_view>

#include "backfill/finding_text.hpp"
#include "backfill/finding_texts_objects.hpp"
#include "backfill/finding_texts_roles.hpp"
#include "backfill/finding_texts_servers.hpp"
#include "backfill/finding_texts_traffic.hpp"

namespace segue::backfill {

template <std::size_t... Sizes>
constexpr auto join_finding_texts(const std::array<FindingText, Sizes>&... parts) {
    std::array<FindingText, (Sizes + ...)> all{};
    std::size_t at = 0;
    const auto append = [&](const auto& part) {
        for (const FindingText& text : part) all[at++] = text;
    };
    (append(parts), ...);
    return all;
}

inline constexpr auto finding_texts = join_finding_texts(
    finding_texts_servers, finding_texts_roles, finding_texts_objects, finding_texts_traffic);

// Null for what is no code.
constexpr const FindingText* find_finding_text(std::string_view code) {
    for (const FindingText& text : finding_texts) {
        if (text.code == code) return &text;
    }
    return nullptr;
}

// Made of a literal only. One that is not in the table does not compile: there is no such text.
class FindingCode {
public:
    consteval FindingCode(const char* code) : text_(find_finding_text(code)) {
        if (text_ == nullptr) throw "a code without an explanation";
    }
    constexpr std::string_view name() const { return text_->code; }
    constexpr const FindingText& text() const { return *text_; }

    friend constexpr bool operator==(FindingCode a, std::string_view b) { return a.name() == b; }

private:
    const FindingText* text_;
};

}  // namespace segue::backfill
