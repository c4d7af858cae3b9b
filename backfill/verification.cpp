#include "backfill/verification.hpp"

#include <algorithm>
#include <array>

namespace segue::backfill {

namespace {

constexpr std::array<std::pair<TableVerdict, std::string_view>, 6> table_verdicts = {{
    {TableVerdict::waiting, "waiting"},
    {TableVerdict::comparing, "comparing"},
    {TableVerdict::equal, "equal"},
    {TableVerdict::different, "different"},
    {TableVerdict::unlike, "unlike"},
    {TableVerdict::gone, "gone"},
}};
constexpr std::array<std::pair<Verdict, std::string_view>, 4> verdicts = {{
    {Verdict::running, "running"},
    {Verdict::equal, "equal"},
    {Verdict::different, "different"},
    {Verdict::mended, "mended"},
}};
constexpr std::array<std::pair<VerifyKind, std::string_view>, 2> kinds = {{
    {VerifyKind::asked, "asked"},
    {VerifyKind::background, "background"},
}};

template <class Names, class Value>
std::string_view name_in(const Names& names, Value value) {
    for (const auto& [one, text] : names) {
        if (one == value) return text;
    }
    return "";
}

template <class Value, class Names>
std::optional<Value> value_in(const Names& names, std::string_view wanted) {
    for (const auto& [value, text] : names) {
        if (text == wanted) return value;
    }
    return std::nullopt;
}

bool open(TableVerdict verdict) {
    return verdict == TableVerdict::waiting || verdict == TableVerdict::comparing;
}

}  // namespace

std::string_view name(TableVerdict verdict) { return name_in(table_verdicts, verdict); }
std::string_view name(Verdict verdict) { return name_in(verdicts, verdict); }
std::string_view name(VerifyKind kind) { return name_in(kinds, kind); }

std::optional<TableVerdict> parse_table_verdict(std::string_view text) {
    return value_in<TableVerdict>(table_verdicts, text);
}
std::optional<Verdict> parse_verdict(std::string_view text) {
    return value_in<Verdict>(verdicts, text);
}
std::optional<VerifyKind> parse_verify_kind(std::string_view text) {
    return value_in<VerifyKind>(kinds, text);
}

std::uint64_t Verification::rows() const {
    std::uint64_t sum = 0;
    for (const auto& [name, table] : tables) sum += table.sums[index(authority)].rows;
    return sum;
}

// A table that cannot be compared is one difference, so that nothing takes it for equal.
std::uint64_t Verification::differences() const {
    std::uint64_t sum = 0;
    for (const auto& [name, table] : tables)
        sum += table.differences + (table.verdict == TableVerdict::unlike ? 1 : 0);
    return sum;
}

std::vector<VerifyDifference> Verification::listed() const {
    std::vector<VerifyDifference> all;
    for (const auto& [name, table] : tables)
        all.insert(all.end(), table.listed.begin(), table.listed.end());
    return all;
}

bool Verification::done() const {
    return std::none_of(
        tables.begin(), tables.end(), [](const auto& one) { return open(one.second.verdict); });
}

bool Verification::all_equal() const { return differences() == 0; }

std::optional<WallTime> Verification::every_row_since() const {
    if (!done() || !all_equal()) return std::nullopt;
    std::optional<WallTime> oldest = ended_at;
    for (const auto& [name, table] : tables) {
        if (table.verdict == TableVerdict::equal && table.begun_at)
            oldest = std::min(oldest.value_or(*table.begun_at), *table.begun_at);
    }
    return oldest;
}

bool differs_later(const Verification& one, const Verification& standing) {
    return std::any_of(one.tables.begin(), one.tables.end(), [&](const auto& entry) {
        const auto& [name, table] = entry;
        // Mended, or passed over, and not looked at since.
        const bool unproven = one.verdict == Verdict::mended && open(table.verdict);
        if (table.differences == 0 && table.verdict != TableVerdict::unlike && !unproven)
            return false;
        const auto earlier = standing.tables.find(name);
        return earlier == standing.tables.end() || !earlier->second.begun_at ||
               (unproven ? one.ended_at : table.begun_at) > earlier->second.begun_at;
    });
}

void begin_again(VerifiedTable& table) { table = VerifiedTable{}; }

}  // namespace segue::backfill
