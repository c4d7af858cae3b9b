// Verification in the background: rounds in a thread of the desk's own, which gives way to whatever
// is asked for and goes on where it was.

#include <algorithm>
#include <utility>

#include "backfill/postgres/verification_desk.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::milliseconds look_again{200};
// A range that is about to end may do so.
constexpr std::chrono::milliseconds give_way_time{100};
constexpr std::chrono::seconds pause_after_round{5};  // Also of one that failed.
constexpr const char* asked_by_background = "background";
constexpr const char* asked_by_reads = "reads that differ";

bool is_over(TableVerdict verdict) {
    return verdict != TableVerdict::waiting && verdict != TableVerdict::comparing;
}

}  // namespace

void EqualSince::note(const Verification::TableName& name, const VerifiedTable& table) {
    // A difference counts when it is found, being equal when the table is over.
    if (!table.begun_at || (!is_over(table.verdict) && table.differences == 0)) return;
    const WallTime known_at = table.ended_at.value_or(*table.begun_at);
    const std::lock_guard lock{mutex_};
    Seen& seen = tables_[name];
    if (known_at < seen.ended_at) return;
    seen = {*table.begun_at, known_at, table.verdict == TableVerdict::equal};
}

void EqualSince::note(const Verification& verification) {
    for (const auto& [name, table] : verification.tables) note(name, table);
}

std::optional<WallTime> EqualSince::of_all(const std::vector<Table>& tables) const {
    const std::lock_guard lock{mutex_};
    std::optional<WallTime> oldest;
    for (const Table& table : tables) {
        const auto seen = tables_.find({table.schema, table.name});
        if (seen == tables_.end() || !seen->second.equal) return std::nullopt;
        oldest = std::min(oldest.value_or(seen->second.begun_at), seen->second.begun_at);
    }
    return oldest;
}

VerificationDesk::~VerificationDesk() {
    stop();
    join();
}

void VerificationDesk::start() {
    stopping_.store(false);
    suspect_rate_.store(shared_.settings.suspect_rows_per_second);
    background_ = std::thread{[this] { serve_background(); }};
}

void VerificationDesk::stop() {
    {
        const std::lock_guard lock{mutex_};
        stopping_.store(true);
        background_yields_.store(true);
    }
    changed_.notify_all();
}

void VerificationDesk::join() {
    if (background_.joinable()) background_.join();
}

void VerificationDesk::verify_in_background(std::uint64_t rows_per_second) {
    {
        const std::lock_guard lock{mutex_};
        background_rate_.store(rows_per_second);
        if (rows_per_second == 0) background_yields_.store(true);
    }
    changed_.notify_all();
}

void VerificationDesk::hold_background() {
    std::unique_lock lock{mutex_};
    ++held_;
    background_yields_.store(true);
    // Again and again: a statement may begin just after it was told to end.
    while (!changed_.wait_for(lock, give_way_time, [&] { return !at_work_; })) {
        lock.unlock();  // A server that does not answer must not keep a status waiting.
        twins_.cancel();
        lock.lock();
    }
}

void VerificationDesk::let_background() {
    {
        const std::lock_guard lock{mutex_};
        --held_;
    }
    changed_.notify_all();
}

BackgroundVerification VerificationDesk::background() const {
    BackgroundVerification result;
    const auto run = current_();
    if (run && consistent()) result.every_row_since = equal_since_.of_all(run->authority_tables());
    result.rows_per_second = background_rate_.load();
    result.rows = background_rows_.load();
    const std::lock_guard lock{mutex_};
    result.rounds = rounds_;
    result.differences = differences_;
    result.problem = problem_;
    return result;
}

void VerificationDesk::suspect(const std::vector<TableName>& tables, WallTime seen_at) {
    if (!suspects_.add(authority(), tables, seen_at, Clock::now())) return;
    {
        const std::lock_guard lock{mutex_};
        if (in_round_) background_yields_.store(true);  // It goes on afterwards.
    }
    changed_.notify_all();
}

void VerificationDesk::suspect_none() {
    suspects_.let_go();
    const std::lock_guard lock{mutex_};
    if (at_work_ && !in_round_) background_yields_.store(true);
}

std::vector<Suspect> VerificationDesk::suspects() const {
    std::vector<Suspect> all = suspects_.list(authority());
    const auto run = all.empty() ? nullptr : current_();
    if (!run) return all;
    std::map<TableName, std::uint64_t> estimates;
    for (const Table& table : run->authority_tables())
        estimates[{table.schema, table.name}] = table.rows_estimate;
    for (Suspect& one : all) one.rows_estimate = estimates[one.name];
    return all;
}

bool VerificationDesk::background_may_work() const {
    return held_ == 0 && !shared_.paused.load() && consistent();
}

void VerificationDesk::serve_background() {
    std::unique_lock lock{mutex_};
    while (!stopping_.load()) {
        const bool may = background_may_work();
        const auto suspects =
            may ? suspects_.due(authority(), Clock::now()) : std::vector<TableName>{};
        if (suspects.empty() && (!may || background_rate_.load() == 0)) {
            changed_.wait_for(lock, look_again);
            continue;
        }
        at_work_ = true;
        in_round_ = suspects.empty();
        background_yields_.store(false);
        lock.unlock();
        const Status went = suspects.empty() ? background_round() : compare_suspects(suspects);
        lock.lock();
        at_work_ = false;
        changed_.notify_all();
        const bool yielded = background_yields_.load();
        const bool in_round = std::exchange(in_round_, false);
        if (in_round) problem_ = went || yielded ? "" : went.error().detail;
        if (went ? in_round : !yielded)
            changed_.wait_for(lock, pause_after_round, [&] { return stopping_.load(); });
    }
}

// Of the unfinished round, or of one that nobody need finish: what is found stands there as what a
// round has found, and what is equal says nothing of the other tables.
Status VerificationDesk::compare_suspects(const std::vector<TableName>& names) {
    const auto run = current_();
    if (!run || !run->authority_stream()) return not_connected();
    auto verification = begin(VerifyKind::background,
                              {.asked_by = asked_by_reads, .build = shared_.settings.build},
                              *run);
    if (!verification) return verification.error();
    std::set<TableName> only = begin_suspects(*verification, *run, names);
    if (only.empty()) return Done{};
    const Status went =
        compare(*verification,
                *run,
                {background_rows_, suspect_rate_, background_yields_, &differences_},
                only);
    if (went || background_yields_.load()) return went;
    // The one that is in the way rests, so that the others have their turn.
    const auto is_named = [&](const TableName& name) {
        return went.error().detail.starts_with(name.first + "." + name.second + ":");
    };
    const bool one_named = std::any_of(only.begin(), only.end(), is_named);
    for (const TableName& name : only) {
        if (!one_named || is_named(name)) suspects_.failed(name, went.error().detail, Clock::now());
    }
    return went;
}

// Makes them wait in `verification`, but for those of which a comparison goes on that is later than
// what was read. Those that are moved.
std::set<TableName> VerificationDesk::begin_suspects(Verification& verification,
                                                     MoverRun& run,
                                                     const std::vector<TableName>& names) {
    std::set<TableName> moved, only, again;
    for (const Table& table : run.current_tables()) moved.emplace(table.schema, table.name);
    bool found_before = false;
    for (const TableName& name : names) {
        if (!moved.contains(name)) {
            suspects_.gone(name, Clock::now());
            continue;
        }
        only.insert(name);
        const VerifiedTable& table = verification.tables[name];
        const bool goes_on = table.verdict == TableVerdict::comparing && table.begun_at &&
                             suspects_.is_shown_by(name, *table.begun_at);
        if (goes_on) continue;
        again.insert(name);
        found_before |= table.differences > 0 || table.verdict == TableVerdict::unlike;
    }
    // What was found stays on record, under the earlier one, until somebody verifies: it refuses a
    // change of authority. The later one goes before it, and is as old.
    if (found_before) {
        verification.id = new_id(std::chrono::system_clock::now());
        verification.begun_at += std::chrono::milliseconds{1};
    }
    for (const TableName& name : again) begin_again(verification.tables[name]);
    return only;
}

Status VerificationDesk::background_round() {
    const auto run = current_();
    if (!run || !run->authority_stream()) return Error{Errc::closed, "the mover is not connected"};
    auto verification = begin(VerifyKind::background,
                              {.asked_by = asked_by_background, .build = shared_.settings.build},
                              *run);
    if (!verification) return verification.error();
    const Status went =
        compare(*verification,
                *run,
                {background_rows_, background_rate_, background_yields_, &differences_});
    if (!went) return went;
    const std::lock_guard lock{mutex_};
    differences_ = verification->differences();
    ++rounds_;
    return went;
}

}  // namespace segue::backfill::postgres
