#include "tests/simulation/database.hpp"

#include <algorithm>
#include <cassert>

namespace segue::simulation {

namespace {

constexpr std::uint64_t record_size = 8;

void remove_table(Rows& rows, int table) {
    std::erase_if(rows, [&](const auto& row) { return row.first.first == table; });
}

}  // namespace

bool apply_strictly(Rows& rows, const RowChange& change) {
    const std::pair<int, int> key{change.table, change.key};
    switch (change.kind) {
        case RowChange::Kind::insert:
            return rows.emplace(key, change.value).second;
        case RowChange::Kind::update: {
            const auto row = rows.find(key);
            if (row == rows.end()) return false;
            row->second = change.value;
            return true;
        }
        case RowChange::Kind::rename: {
            const auto row = rows.find(key);
            if (row == rows.end() || rows.contains({change.table, change.new_key})) return false;
            rows.emplace(std::pair{change.table, change.new_key}, row->second);
            rows.erase(row);
            return true;
        }
        case RowChange::Kind::remove:
            return rows.erase(key) == 1;
        case RowChange::Kind::truncate:
            remove_table(rows, change.table);
            return true;
    }
    return false;
}

void apply_somehow(Rows& rows, const RowChange& change) {
    if (apply_strictly(rows, change)) return;
    if (change.kind == RowChange::Kind::insert || change.kind == RowChange::Kind::update)
        rows[{change.table, change.key}] = change.value;
}

Database::Database(bool with_rows) {
    std::vector<RowChange> first;
    for (int key = 0; with_rows && key < 12; key += 2)
        first.push_back({RowChange::Kind::insert, rows_table, key, 0, 1});
    commit_ours(std::move(first), {}, false);
}

Commit& Database::append(std::uint64_t xid, std::vector<RowChange> changes) {
    Commit commit;
    commit.xid = xid;
    commit.start = inserted_;
    inserted_.value += record_size;
    commit.end = inserted_;
    commit.changes = std::move(changes);
    return log_.emplace_back(std::move(commit));
}

std::uint64_t Database::begin() {
    open_[next_xid_] = {};
    return next_xid_++;
}

bool Database::conflicts(const std::vector<RowChange>& held, const RowChange& wanted) const {
    for (const RowChange& one : held) {
        if (one.table != wanted.table) continue;
        const auto touches = [&](const RowChange& change, int key) {
            return change.key == key ||
                   (change.kind == RowChange::Kind::rename && change.new_key == key);
        };
        const bool whole =
            one.kind == RowChange::Kind::truncate || wanted.kind == RowChange::Kind::truncate;
        if (whole || touches(one, wanted.key)) return true;
        if (wanted.kind == RowChange::Kind::rename && touches(one, wanted.new_key)) return true;
    }
    return false;
}

bool Database::locked_by_others(std::uint64_t xid, const RowChange& change) const {
    for (const auto& [other, changes] : open_) {
        if (other != xid && conflicts(changes, change)) return true;
    }
    return std::any_of(invisible_.begin(), invisible_.end(), [&](std::size_t at) {
        return conflicts(log_[at].changes, change);
    });
}

bool Database::write(std::uint64_t xid, const RowChange& change) {
    if (locked_by_others(xid, change)) return false;
    if (change.kind == RowChange::Kind::truncate && readers[change.table] > 0) return false;
    std::vector<RowChange>& own = open_.at(xid);
    Rows seen = latest_;  // Few rows.
    for (const RowChange& earlier : own) apply_strictly(seen, earlier);
    if (!apply_strictly(seen, change)) return false;
    own.push_back(change);
    // The stream tells it.
    if (change.kind == RowChange::Kind::rename)
        own.back().value = seen.at({change.table, change.new_key});
    make_noise();
    return true;
}

void Database::abort(std::uint64_t xid) {
    if (open_.erase(xid) == 1) ended_xid_ = std::max(ended_xid_, xid);
}

Position Database::commit(std::uint64_t xid) {
    const auto found = open_.find(xid);
    assert(found != open_.end());
    for (const RowChange& change : found->second) apply_strictly(latest_, change);
    const Position end = append(xid, std::move(found->second)).end;
    invisible_.push_back(log_.size() - 1);
    open_.erase(found);
    return end;
}

bool Database::show(std::uint64_t xid, bool asynchronous) {
    const auto found = std::find_if(
        invisible_.begin(), invisible_.end(), [&](std::size_t at) { return log_[at].xid == xid; });
    if (found == invisible_.end()) return false;
    Commit& commit = log_[*found];
    if (!asynchronous && commit.end > flushed_) return false;
    commit.visible = true;
    invisible_.erase(found);
    ended_xid_ = std::max(ended_xid_, xid);
    return true;
}

bool Database::writers_open() const { return !open_.empty() || !invisible_.empty(); }

bool Database::truncating(int table) const {
    const auto truncates = [&](const std::vector<RowChange>& changes) {
        return std::any_of(changes.begin(), changes.end(), [&](const RowChange& change) {
            return change.kind == RowChange::Kind::truncate && change.table == table;
        });
    };
    for (const auto& [xid, changes] : open_) {
        if (truncates(changes)) return true;
    }
    return std::any_of(invisible_.begin(), invisible_.end(), [&](std::size_t at) {
        return truncates(log_[at].changes);
    });
}

void Database::commit_ours(std::vector<RowChange> changes, Meta meta, bool is_mover) {
    const std::uint64_t xid = next_xid_++;
    for (const RowChange& change : changes) apply_strictly(latest_, change);
    Commit& commit = append(xid, std::move(changes));
    commit.is_mover = is_mover;
    commit.visible = true;
    meta_ = meta;
    commit.meta = std::move(meta);
    ended_xid_ = std::max(ended_xid_, xid);
    flush();
}

void Database::commit_ticket() { commit_ours({}, meta_, false); }

void Database::crash() {
    ++crashes;
    std::erase_if(log_, [&](const Commit& commit) { return commit.end > flushed_; });
    inserted_ = flushed_;
    open_.clear();
    invisible_.clear();
    latest_.clear();
    meta_ = {};
    next_xid_ = 100;
    for (Commit& commit : log_) {
        commit.visible = true;
        for (const RowChange& change : commit.changes) apply_strictly(latest_, change);
        if (commit.meta) meta_ = *commit.meta;
        next_xid_ = std::max(next_xid_, commit.xid + 1);
    }
    ended_xid_ = next_xid_ - 1;
    if (slot) slot->confirmed = slot->persisted;
    fence_locked = false;
    for (int& count : readers) count = 0;
}

backfill::Snapshot Database::snapshot() const {
    backfill::Snapshot snapshot{ended_xid_ + 1, ended_xid_ + 1, {}};
    const auto running = [&](std::uint64_t xid) {
        if (xid < snapshot.xmax) snapshot.in_progress.push_back(xid);
    };
    for (const auto& [xid, changes] : open_) running(xid);
    for (const std::size_t at : invisible_) running(log_[at].xid);
    std::sort(snapshot.in_progress.begin(), snapshot.in_progress.end());
    if (!snapshot.in_progress.empty()) snapshot.xmin = snapshot.in_progress.front();
    return snapshot;
}

Rows Database::rows_seen(const backfill::Snapshot& snapshot) const {
    Rows rows;
    for (const Commit& commit : log_) {
        if (!snapshot.sees(commit.xid)) continue;
        for (const RowChange& change : commit.changes) apply_strictly(rows, change);
    }
    return rows;
}

}  // namespace segue::simulation
