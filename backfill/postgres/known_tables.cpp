#include "backfill/postgres/known_tables.hpp"

#include <utility>

namespace segue::backfill::postgres {

namespace {

// The tables whose descriptions it takes to apply it.
std::vector<TableName> tables_of(const ApplyItem& item) {
    std::vector<TableName> names;
    if (const auto* change = std::get_if<Change>(&item)) {
        names.emplace_back(change->relation().schema, change->relation().name);
        for (std::size_t i = 0; i < change->truncated_size(); ++i)
            names.emplace_back(change->truncated(i).schema, change->truncated(i).name);
    } else if (const auto* chunk = std::get_if<ForgetChunk>(&item)) {
        names.push_back(chunk->table);
    }
    return names;
}

}  // namespace

void KnownTables::forget() {
    all_known_ = false;
    tables_.clear();
    asked_for_.clear();
    relations_.clear();
}

bool KnownTables::knows(const ApplyItem& item) {
    if (all_known_) return true;
    const auto* const change = std::get_if<Change>(&item);
    const bool one = change && change->truncated_size() == 0;
    if (one && relations_.contains(&change->relation())) return true;
    for (const TableName& name : tables_of(item)) {
        if (!knows(name)) return false;
    }
    if (one) relations_.insert(&change->relation());
    return true;
}

Status KnownTables::learn(Connection& follower,
                          const std::vector<ApplyItem>& items,
                          std::size_t first) {
    std::set<TableName> names;
    for (std::size_t i = first; i < items.size(); ++i) {
        if (std::holds_alternative<SchemaChange>(items[i])) break;
        for (TableName& name : tables_of(items[i])) names.insert(std::move(name));
    }
    return learn(follower, names);
}

Status KnownTables::learn(Connection& follower, const std::set<TableName>& names) {
    std::vector<TableName> unknown;
    for (const TableName& name : names) {
        if (!knows(name)) unknown.push_back(name);
    }
    if (unknown.empty()) return Done{};
    auto read = read_follower_tables(follower, exclude_, unknown);
    if (!read) return read.error();
    tables_.merge(*read);
    asked_for_.insert(unknown.begin(), unknown.end());
    return Done{};
}

}  // namespace segue::backfill::postgres
