#include "backfill/suspects.hpp"

#include <algorithm>
#include <utility>

namespace segue::backfill {

namespace {

bool is_over(TableVerdict verdict) {
    return verdict != TableVerdict::waiting && verdict != TableVerdict::comparing;
}

bool is_bad(const VerifiedTable& table) {
    return table.differences > 0 || table.verdict == TableVerdict::unlike;
}

Suspects::Clock::duration pause_after(const VerifiedTable& table) {
    const Suspects::Clock::duration least =
        is_bad(table) ? suspect_pause_different : suspect_pause_equal;
    const auto took = std::chrono::duration_cast<Suspects::Clock::duration>(
        table.ended_at.value_or(*table.begun_at) - *table.begun_at);
    constexpr Suspects::Clock::duration most = suspect_pause_max;
    return std::clamp(suspect_pause_factor * std::min(took, most), least, most);
}

}  // namespace

// One that nobody waits for, and that is worth least. Not while it rests: it would come back due.
bool Suspects::make_room(Clock::time_point now) {
    if (tables_.size() < suspects_max) return true;
    const auto spare = std::find_if(tables_.begin(), tables_.end(), [&](const auto& one) {
        const Entry& entry = one.second;
        return !entry.wanted && entry.told.differences == 0 && entry.not_before <= now;
    });
    if (spare == tables_.end()) return false;
    tables_.erase(spare);
    return true;
}

bool Suspects::add(Side authority,
                   const std::vector<Name>& tables,
                   WallTime seen_at,
                   Clock::time_point now) {
    bool due = false;
    const std::lock_guard lock{mutex_};
    if (std::exchange(authority_, authority) != authority) tables_.clear();
    for (const Name& name : tables) {
        const auto known = tables_.find(name);
        if (known == tables_.end()) {
            if (!make_room(now)) continue;
            Entry& entry = tables_[name];
            entry.told.name = name;
            entry.first_seen = entry.last_seen = seen_at;
            due = true;
            continue;
        }
        Entry& entry = known->second;
        const bool shown = entry.told.begun_at && *entry.told.begun_at >= seen_at;
        if (shown) continue;
        entry.told.mended = false;  // It differs again.
        if (!std::exchange(entry.wanted, true)) {
            entry.first_seen = entry.last_seen = seen_at;
            entry.told.problem.clear();
        }
        entry.last_seen = std::max(entry.last_seen, seen_at);
        due |= entry.not_before <= now;
    }
    return due;
}

std::vector<Suspects::Name> Suspects::due(Side authority, Clock::time_point now) const {
    std::vector<Name> names;
    const std::lock_guard lock{mutex_};
    if (authority != authority_) return names;
    for (const auto& [name, entry] : tables_) {
        if (entry.wanted && entry.not_before <= now) names.push_back(name);
    }
    return names;
}

bool Suspects::is_shown_by(const Name& table, WallTime begun_at) const {
    const std::lock_guard lock{mutex_};
    const auto known = tables_.find(table);
    return known != tables_.end() && begun_at >= known->second.first_seen;
}

// A result, or as much of one as counts already.
void Suspects::take(Entry& entry, const VerifiedTable& table, Clock::time_point now) {
    Suspect& told = entry.told;
    told.verdict = is_over(table.verdict) ? table.verdict : TableVerdict::different;
    told.mended = told.mended && !is_bad(table);
    told.differences = table.differences;
    told.first = table.listed;
    if (told.first.size() > suspect_rows_named_max) told.first.resize(suspect_rows_named_max);
    told.begun_at = table.begun_at;
    told.ended_at = table.ended_at;
    told.problem = table.problem;
    if (!is_over(table.verdict)) return;
    told.rows_compared.reset();
    // What was read has come later, or the clock was set back.
    if (*table.begun_at < entry.first_seen) {
        entry.not_before = now + suspect_pause_equal;
        return;
    }
    entry.wanted = entry.last_seen > *table.begun_at;
    entry.first_seen = entry.last_seen;
    entry.not_before = now + pause_after(table);
}

void Suspects::note(const Name& name, const VerifiedTable& table, Clock::time_point now) {
    const std::lock_guard lock{mutex_};
    const auto known = tables_.find(name);
    if (known == tables_.end() || !table.begun_at) return;
    Entry& entry = known->second;
    if (entry.told.begun_at && *table.begun_at < *entry.told.begun_at) return;
    const bool over = is_over(table.verdict);
    if (over || is_bad(table)) take(entry, table, now);
    if (!over) entry.told.rows_compared = std::max(table.sums[0].rows, table.sums[1].rows);
}

void Suspects::failed(const Name& name, const std::string& why, Clock::time_point now) {
    const std::lock_guard lock{mutex_};
    const auto known = tables_.find(name);
    if (known == tables_.end()) return;
    known->second.told.problem = why;
    known->second.told.rows_compared.reset();
    known->second.not_before = now + suspect_pause_failed;
}

void Suspects::gone(const Name& name, Clock::time_point now) {
    const std::lock_guard lock{mutex_};
    const auto known = tables_.find(name);
    if (known == tables_.end()) return;
    known->second.wanted = false;
    known->second.not_before = now + suspect_pause_different;
    known->second.told = Suspect{};
    known->second.told.name = name;
    known->second.told.verdict = TableVerdict::gone;
    known->second.told.problem = "it is not moved";
}

void Suspects::mended(const Name& name) {
    const std::lock_guard lock{mutex_};
    const auto known = tables_.find(name);
    if (known == tables_.end()) return;
    known->second.wanted = false;
    known->second.not_before = {};
    known->second.told = Suspect{};
    known->second.told.name = name;
    known->second.told.mended = true;
}

void Suspects::let_go() {
    const std::lock_guard lock{mutex_};
    for (auto& [name, entry] : tables_) {
        if (!std::exchange(entry.wanted, false)) continue;
        entry.told.rows_compared.reset();
        entry.told.problem = "no reads are compared any more";
    }
}

std::vector<Suspect> Suspects::list(Side authority) const {
    std::vector<Suspect> all;
    const std::lock_guard lock{mutex_};
    if (authority != authority_) return all;
    for (const auto& [name, entry] : tables_) {
        all.push_back(entry.told);
        if (entry.wanted) all.back().wanted_since = entry.first_seen;
    }
    return all;
}

}  // namespace segue::backfill
