#include "backfill/postgres/mover_shared.hpp"

#include <algorithm>

#include "backfill/dispatcher.hpp"

namespace segue::backfill::postgres {

void StrayCount::reset(std::uint64_t count, const std::vector<std::string>& tables) {
    const std::lock_guard lock{mutex_};
    count_ = count;
    tables_ = {tables.begin(), tables.end()};
}

void StrayCount::add(const std::vector<std::string>& tables) {
    const std::lock_guard lock{mutex_};
    ++count_;
    for (const std::string& table : tables) {
        if (tables_.size() < stray_tables_max) tables_.insert(table);
    }
}

void StrayCount::mended(std::uint64_t count, const std::vector<std::string>& tables_left) {
    const std::lock_guard lock{mutex_};
    count_ -= std::min(count, count_);
    tables_ = {tables_left.begin(), tables_left.end()};
}

std::uint64_t StrayCount::count() const {
    const std::lock_guard lock{mutex_};
    return count_;
}

std::vector<std::string> StrayCount::tables() const {
    const std::lock_guard lock{mutex_};
    return {tables_.begin(), tables_.end()};
}

}  // namespace segue::backfill::postgres
