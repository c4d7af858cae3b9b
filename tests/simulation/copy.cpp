// What copies and what compares: each step may be the last.

#include "tests/simulation/run.hpp"

namespace segue::simulation {

using namespace std::chrono_literals;

bool CopyWorker::step() {
    if (stream_.failed()) return false;
    switch (state_) {
        case State::idle:
            return open();
        case State::opened:
            return accept_snapshot();
        case State::reading:
            return read_rows();
        case State::waiting:
            return wait_for_the_end();
        case State::holding:
            return load();
    }
    return false;
}

bool CopyWorker::open() {
    const bool ready = stream_.pipe().with_dispatcher(
        [](const auto& dispatcher) { return dispatcher.at_boundary() && dispatcher.caught_up(); });
    if (!ready) return false;
    for (int table = 0; table < tables; ++table) {
        const auto holes = stream_.pipe().holes(name_of(table));
        if (holes.empty()) continue;
        range_ = holes.front();
        if (table == rows_table) {
            const int low = range_.low ? std::stoi(range_.low->front()) : -1;
            const int cut = low + 1 + static_cast<int>(shared_.dice.below(8));
            if (cut < (range_.high ? std::stoi(range_.high->front()) : 14))
                range_.high = backfill::Key{std::to_string(cut)};
        }
        auto opened = stream_.pipe().open_chunk(name_of(table), range_);
        if (!opened) return false;
        opened_ = std::move(*opened);
        state_ = State::opened;
        return true;
    }
    return false;
}

int CopyWorker::table() const {
    return opened_->name.first == name_of(rows_table) ? rows_table : journal_table;
}

void CopyWorker::unlock() {
    if (std::exchange(locks_, false)) shared_.at(Side::source).unlock(table());
}

// To begin with another chunk, or with the same again.
void CopyWorker::give_up() {
    stream_.pipe().abandon_chunk(opened_->name);
    unlock();
    if (std::exchange(holds_, false)) stream_.pipe().release_hold();
    buffered_.clear();
    state_ = State::idle;
}

bool CopyWorker::accept_snapshot() {
    Database& source = shared_.at(Side::source);
    if (!stream_.pipe().chunk_lives(opened_->name)) {
        give_up();
        return true;
    }
    if ((*shared_.applied)[index(Side::source)].current() < opened_->barrier) return false;
    if (source.truncating(table())) return false;
    snapshot_ = source.snapshot();
    inserted_ = source.inserted();
    flushed_ = source.flushed();
    if (shared_.rules.snapshot_sees_what_was_dispatched &&
        !stream_.pipe().sees_all_dispatched(snapshot_, opened_->opened_at))
        return false;
    stream_.pipe().prune(snapshot_);
    ++source.readers[table()];
    locks_ = true;
    state_ = State::reading;
    if (!stream_.pipe().chunk_read(opened_->name, snapshot_)) give_up();
    return true;
}

bool CopyWorker::read_rows() {
    Database& source = shared_.at(Side::source);
    rows_.clear();
    for (const auto& [key, value] : source.rows_seen(snapshot_)) {
        if (key.first == table() && inside(range_, key.second)) rows_.emplace(key, value);
    }
    unlock();
    if (flushed_ < inserted_) source.commit_ticket();
    state_ = State::waiting;
    return true;
}

bool CopyWorker::wait_for_the_end() {
    const auto take = [&] {
        auto taken = stream_.pipe().take_buffer(opened_->name);
        if (!taken) return false;
        for (auto& one : *taken) buffered_.push_back(std::move(one));
        return true;
    };
    if (!take()) {
        give_up();
        return true;
    }
    const auto reached = stream_.pipe().wait_for_position(inserted_, 0ms);
    const bool there = (reached && *reached) || !shared_.rules.wait_for_the_log_end;
    if (!there) return false;
    const auto held = stream_.pipe().try_hold(0ms);
    if (!held || !*held) return false;
    holds_ = true;
    state_ = State::holding;
    return true;
}

bool CopyWorker::load() {
    backfill::StreamPipe& pipe = stream_.pipe();
    if (!pipe.chunk_lives(opened_->name)) {
        give_up();
        return true;
    }
    const auto boundary = pipe.wait_boundary(0ms);
    if (!boundary || !*boundary) return false;
    const auto drained = pipe.wait_drained(0ms);
    if (!drained || !*drained) return false;
    auto rest = pipe.take_buffer(opened_->name);
    if (!rest) {
        give_up();
        return true;
    }
    for (auto& one : *rest) buffered_.push_back(std::move(one));
    Database& follower = shared_.at(Side::target);
    Rows rows = follower.rows();
    std::vector<RowChange> changes;
    for (const auto& [key, value] : rows_)
        changes.push_back({RowChange::Kind::insert, key.first, key.second, 0, value});
    for (const auto& one : buffered_) {
        for (RowChange& change : row_changes(one.change)) changes.push_back(std::move(change));
    }
    for (const RowChange& change : changes) {
        if (!apply_strictly(rows, change)) shared_.stopped_by_a_miss = true;
    }
    if (shared_.stopped_by_a_miss) {
        pipe.fail(Error{Errc::bad_value, "a chunk does not fit what the follower has"});
        return true;
    }
    Meta meta = follower.meta();
    meta.chunks.push_back({table(), opened_->name.second, range_, pipe.position()});
    follower.commit_ours(std::move(changes), std::move(meta), true);
    if (const auto loaded = pipe.chunk_loaded(opened_->name); !loaded) pipe.fail(loaded.error());
    give_up();  // A chunk that is loaded stays.
    return true;
}

void TwinWorker::unlock() {
    if (!std::exchange(locks_, false)) return;
    for (int table = 0; table < tables; ++table) shared_.at(stream_.side()).unlock(table);
}

void TwinWorker::give_up() {
    unlock();
    if (std::exchange(state_, State::idle) == State::idle) return;
    while (!stream_.failed() && !stream_.at_boundary() && stream_.read()) {
    }
    if (!stream_.failed()) stream_.pipe().release_hold();
}

bool TwinWorker::step() {
    backfill::StreamPipe& pipe = stream_.pipe();
    Database& authority = shared_.at(stream_.side());
    if (stream_.failed()) return false;
    switch (state_) {
        case State::idle: {
            const auto held = pipe.try_hold(0ms);
            if (held && *held) state_ = State::holding;
            return state_ == State::holding;
        }
        case State::holding: {
            const auto boundary = pipe.wait_boundary(0ms);
            if (boundary && *boundary) state_ = State::at_boundary;
            return state_ == State::at_boundary;
        }
        case State::at_boundary: {
            for (int table = 0; table < tables; ++table) {
                if (authority.truncating(table)) return false;
            }
            snapshot_ = authority.snapshot();
            if (shared_.rules.snapshot_sees_what_was_dispatched &&
                !pipe.sees_all_dispatched(snapshot_, pipe.position()))
                return false;
            for (int& readers : authority.readers) ++readers;
            locks_ = true;
            const Position end = authority.inserted();
            if (authority.flushed() < end) authority.commit_ticket();
            backfill::Snapshot parked_by = snapshot_;
            if (!shared_.rules.park_what_the_twin_does_not_see) {
                parked_by = backfill::Snapshot{~0ull, ~0ull, {}};
            }
            pipe.align(std::move(parked_by), end);
            state_ = State::aligning;
            return true;
        }
        case State::aligning: {
            const auto aligned = pipe.wait_aligned(0ms);
            if (aligned && *aligned) state_ = State::draining;
            return state_ == State::draining;
        }
        case State::draining: {
            const auto drained = pipe.wait_drained(0ms);
            if (shared_.rules.drain_before_comparing && !(drained && *drained)) return false;
            const bool same =
                authority.rows_seen(snapshot_) == shared_.at(other(stream_.side())).rows();
            if (!same && !shared_.rogues)
                shared_.violate("a comparison at the same state has found a difference");
            ++shared_.twins;
            give_up();
            return true;
        }
    }
    return false;
}

}  // namespace segue::simulation
