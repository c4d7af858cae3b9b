#include "proxy/rows_found.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "proxy/status.hpp"

namespace segue::proxy {

using backfill::Suspect;
using backfill::TableVerdict;
using nlohmann::json;

namespace {

constexpr double percent_unfinished_max = 99;

std::string plain(const backfill::Verification::TableName& name) {
    return name.first + "." + name.second;
}

std::string joined(const std::vector<std::string>& names, std::size_t count) {
    std::string all;
    for (const std::string& one : names) all += (all.empty() ? "" : ", ") + one;
    if (count > names.size()) all += " and " + std::to_string(count - names.size()) + " more";
    return all;
}

double share(std::uint64_t rows, std::uint64_t of) {
    const double percent = of == 0 ? 0 : 100 * static_cast<double>(rows) / static_cast<double>(of);
    return std::floor(std::min(percent, percent_unfinished_max));
}

// What the tables of one read amount to.
class Account {
public:
    explicit Account(backfill::WallTime since) : since_(since) {}

    void add(const Suspect& one, RowsFound& found) {
        const bool covers = one.begun_at && *one.begun_at >= since_;
        found.differences += one.differences;
        for (const auto& row : one.first) {
            if (found.first.size() < rows_named_max)
                found.first.push_back({row.table, row.key, row.kind});
        }
        if (found.problem.empty() && !one.problem.empty())
            found.problem = plain(one.name) + ": " + one.problem;
        if (one.ended_at) found.at = std::max(found.at.value_or(*one.ended_at), *one.ended_at);
        mended_ |= one.mended;
        const bool unlike = one.verdict == TableVerdict::unlike && covers;
        const bool gone = one.verdict == TableVerdict::gone;
        incomparable_ |= unlike || gone;
        // One whose rows are named already rests before it is compared again.
        const bool named = one.differences > 0;
        const bool over = one.mended || gone || ((covers || named) && one.ended_at);
        again_ |= over && one.wanted_since && !named && !unlike && !gone;
        comparing_ |= one.rows_compared.has_value();
        open_ |= !over;
        rows_of_ += one.rows_estimate;
        rows_ +=
            over ? one.rows_estimate : std::min(one.rows_compared.value_or(0), one.rows_estimate);
    }
    // It is not known yet.
    void miss() { open_ = true; }

    void end(RowsFound& found) const {
        const bool open = open_ || (again_ && mended_);
        if (open) found.percent = share(rows_, rows_of_);
        found.state = found.differences > 0 ? RowsState::different
                      : open          ? (comparing_ ? RowsState::comparing : RowsState::waiting)
                      : incomparable_ ? RowsState::incomparable
                      : mended_       ? RowsState::mended
                                      : RowsState::equal;
        found.again = again_ && found.state == RowsState::equal;
    }

private:
    backfill::WallTime since_;
    std::uint64_t rows_ = 0, rows_of_ = 0;
    bool open_ = false, again_ = false, comparing_ = false, incomparable_ = false, mended_ = false;
};

// "changed app.t key 3, missing app.u key 7"; without the keys each kind of a table stands once.
std::string named_rows(const RowsFound& found, Keys keys) {
    std::vector<std::string> told;
    for (const NamedRow& row : found.first) {
        std::string one = row.kind + " " + row.table;
        if (keys == Keys::shown) one += " key " + row.key;
        if (std::find(told.begin(), told.end(), one) == told.end()) told.push_back(std::move(one));
    }
    std::string all = joined(told, told.size());
    if (found.differences > found.first.size()) all += " ...";
    return all;
}

}  // namespace

RowsFound rows_found(const backfill::ReadTables& read,
                     backfill::WallTime since,
                     const std::vector<Suspect>& suspects) {
    RowsFound found;
    found.tables_count = read.tables.size();
    found.functions = read.functions;
    Account account{since};
    for (const auto& table : read.tables) {
        if (found.tables.size() < row_tables_named_max) found.tables.push_back(plain(table));
        const auto known = std::lower_bound(
            suspects.begin(), suspects.end(), table, [](const Suspect& one, const auto& name) {
                return one.name < name;
            });
        if (known == suspects.end() || known->name != table)
            account.miss();
        else
            account.add(*known, found);
    }
    account.end(found);
    return found;
}

std::string_view name(RowsState state) {
    switch (state) {
        case RowsState::waiting:
            return "waiting";
        case RowsState::comparing:
            return "comparing";
        case RowsState::different:
            return "different";
        case RowsState::equal:
            return "equal";
        case RowsState::incomparable:
            return "incomparable";
        case RowsState::mended:
            return "mended";
    }
    return "";
}

std::string rows_text(const RowsFound& found, Keys keys) {
    const std::string tables = joined(found.tables, found.tables_count);
    const std::string are = found.tables_count == 1 ? " is " : " are ";
    const std::string percent =
        found.percent ? " (" + std::to_string(static_cast<int>(*found.percent)) + " %)" : "";
    const std::string problem = found.problem.empty() ? "" : "; " + found.problem;
    const std::string again =
        found.again ? "; a read has differed since, and they will be compared again" : "";
    const std::string equal = (found.again && found.at ? "the tables that it reads were equal at " +
                                                             format_time(*found.at)
                                                       : "the tables that it reads are equal") +
                              " (" + tables + ")";
    const std::string functions =
        found.functions.empty()
            ? "a function"
            : "a function (it calls " + joined(found.functions, found.functions.size()) + ")";
    switch (found.state) {
        case RowsState::waiting:
            return tables + (found.tables_count == 1 ? " has" : " have") +
                   " not been compared since" + problem;
        case RowsState::comparing:
            return tables + are + "being compared" + percent + problem;
        case RowsState::different:
            return std::to_string(found.differences) +
                   (found.differences == 1 ? " row differs: " : " rows differ: ") +
                   named_rows(found, keys) + (found.percent ? "; still comparing" + percent : "") +
                   problem;
        case RowsState::equal:
            if (!found.confirmed)
                return equal + "; whether its answers differ is not known" + again + problem;
            return (found.tables_count > 0    ? equal
                    : found.functions.empty() ? "it reads no table"
                                              : "no table of it is known") +
                   (found.again ? ": the difference was" : ": the difference is") +
                   " in something else, such as " + functions +
                   ", a setting, a collation or the order of rows, a sequence" + again + problem;
        case RowsState::incomparable:
            return "its tables cannot be compared" + problem;
        case RowsState::mended:
            return "repaired since then: " + tables;
    }
    return "";
}

json rows_json(const std::optional<RowsFound>& found, Keys keys) {
    if (!found) return nullptr;
    json first = json::array();
    for (const NamedRow& row : found->first) {
        json one = {{"table", row.table}, {"kind", row.kind}};
        if (keys == Keys::shown) one["key"] = row.key;
        first.push_back(std::move(one));
    }
    return {{"state", name(found->state)},
            {"text", rows_text(*found, keys)},
            {"tables", found->tables},
            {"tables_count", found->tables_count},
            {"functions", found->functions},
            {"percent", found->percent ? json(*found->percent) : json(nullptr)},
            {"differences", found->differences},
            {"again", found->again},
            {"first", std::move(first)},
            {"at", found->at ? json(format_time(*found->at)) : json(nullptr)}};
}

json suspects_json(const std::vector<Suspect>& suspects) {
    json list = json::array();
    for (const Suspect& one : suspects) {
        const bool comparing = one.rows_compared.has_value();
        list.push_back(
            {{"schema", one.name.first},
             {"name", one.name.second},
             {"state", one.mended ? "mended" : std::string{backfill::name(one.verdict)}},
             {"comparing", comparing},
             {"percent",
              comparing ? json(share(*one.rows_compared, one.rows_estimate)) : json(nullptr)},
             {"differences", one.differences},
             {"problem", one.problem.empty() ? json(nullptr) : json(one.problem)},
             {"at", one.ended_at ? json(format_time(*one.ended_at)) : json(nullptr)}});
    }
    return list;
}

}  // namespace segue::proxy
