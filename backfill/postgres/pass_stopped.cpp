// A stream that stands still before a change that its table does not take. On the operator's word
// it goes on without those changes of that table; what they leave behind is found by comparing the
// table, and mended as every difference is. Intent before action: until that is done the record
// says that the sides differ.

#include <algorithm>

#include "backfill/postgres/bounded_query.hpp"
#include "backfill/postgres/verification_desk.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::milliseconds look_again{50};
// The stream must get on, if only by a little, within that time.
constexpr std::chrono::seconds standstill_max{60};
constexpr std::chrono::seconds answer_max{10};

Result<Position> log_end(const std::string& url) {
    auto connection = Connection::open(url, {});
    if (!connection) return connection.error();
    const auto rows = execute_within(*connection, answer_max, "SELECT pg_current_wal_insert_lsn()");
    if (!rows) return rows.error();
    return parse_lsn(rows->at(0, 0)).value_or(Position{});
}

std::set<TableName> stopped_tables(const MoverShared& shared) {
    std::set<TableName> stopped;
    const std::lock_guard lock{shared.mutex};
    for (const auto& [name, figures] : shared.tables) {
        if (!figures.stopped_because.empty()) stopped.insert(name);
    }
    return stopped;
}

// While it lives, the applier passes changes over that these tables do not take.
class PassingOver {
public:
    explicit PassingOver(MoverShared& shared) : shared_(shared) {}
    ~PassingOver() {
        const std::lock_guard lock{shared_.mutex};
        shared_.passes_over.store(false);
        shared_.passed_over_tables.clear();
        shared_.passed_over_keys.clear();
    }
    PassingOver(const PassingOver&) = delete;
    PassingOver& operator=(const PassingOver&) = delete;
    void add(const std::set<TableName>& tables) {
        const std::lock_guard lock{shared_.mutex};
        shared_.passed_over_tables.insert(tables.begin(), tables.end());
        shared_.passes_over.store(true);
    }
    // Of the rows that can be mended by their keys; none where there are more than are noted.
    std::vector<std::string> keys(const TableName& table) const {
        const std::lock_guard lock{shared_.mutex};
        const auto found = shared_.passed_over_keys.find(table);
        if (found == shared_.passed_over_keys.end() || !found->second.complete()) return {};
        return found->second.keys();
    }
    // False where changes of other rows have been passed over since, or of more than are noted.
    bool end(const TableName& table, const std::vector<std::string>& mended) {
        const std::lock_guard lock{shared_.mutex};
        if (!shared_.passed_over_keys[table].are_all(mended.size())) return false;
        shared_.passed_over_tables.erase(table);
        return true;
    }

private:
    MoverShared& shared_;
};

// A row that is changed all the time would stop the stream again as soon as nothing is passed over
// any more: the rows that were are copied again first, at a moment when the stream is held, and
// from that moment on their table is strict. What cannot be mended so waits for the repair.
constexpr int mending_rounds_max = 10;
constexpr std::chrono::seconds mending_time{30};

Status mend_passed_over(const CurrentRun& current,
                        MoverShared& shared,
                        PassingOver& passing,
                        const TableName& name,
                        RepairNote note) {
    for (int round = 0; round < mending_rounds_max; ++round) {
        const auto run = current();
        if (!run) return not_connected();
        const std::vector<Table> tables = run->current_tables();
        const auto table = std::find_if(tables.begin(), tables.end(), [&](const Table& one) {
            return one.schema == name.first && one.name == name.second;
        });
        const auto keys = passing.keys(name);
        if (table == tables.end() || table->key.empty() || keys.empty()) return Done{};
        note.id = new_id(std::chrono::system_clock::now());
        note.changed = keys.size();
        RecordLink record{current, note.authority};
        const auto tell = [&](RepairState state) -> Status {
            const auto connection = record.get();
            if (!connection) return connection.error();
            const auto told = (*connection)->execute(repair_sql(note, state));
            if (!told) return told.error();
            return Done{};
        };
        if (Status told = tell(RepairState::begun); !told) return told;
        bool ended = false;
        const auto mended = refresh_rows(run,
                                         shared,
                                         *table,
                                         keys,
                                         repair_sql(note, RepairState::done),
                                         Clock::now() + mending_time,
                                         [&] { ended = passing.end(name, keys); });
        if (!mended) return mended.error();
        if (Status told = tell(RepairState::done); !told) return told;
        if (ended) return Done{};
    }
    return Done{};
}

}  // namespace

// What was compared before stays compared, but for these tables.
Status VerificationDesk::try_note_unequal(const std::set<TableName>& tables,
                                          const std::string& asked_by) {
    const Side side = authority();
    RecordLink record{current_, side};
    auto connection = record.get();
    if (!connection) return connection.error();
    auto all = last_ones(**connection);
    if (!all) return all.error();
    Verification noted;
    const auto known = std::find_if(all->begin(), all->end(), [&](const Verification& one) {
        return one.kind == VerifyKind::asked && one.authority == side &&
               one.since.value == shared_.since.load() && one.verdict != Verdict::running;
    });
    if (known != all->end()) {
        noted = std::move(*known);
    } else {
        noted.begun_at = std::chrono::system_clock::now();
        noted.id = new_id(noted.begun_at);
        noted.asked_by = asked_by;
        noted.build = shared_.settings.build;
        noted.authority = side;
        noted.since = Position{shared_.since.load()};
        noted.strays = shared_.strays[index(other(side))].count();  // All is compared after them.
        const std::lock_guard lock{shared_.mutex};
        for (const auto& [name, figures] : shared_.tables) noted.tables[name];
    }
    for (const TableName& name : tables) begin_again(noted.tables[name]);
    noted.verdict = Verdict::mended;  // Stands for different, and is gone on with.
    noted.ended_at = std::chrono::system_clock::now();
    noted_ = noted.id;
    PostgresVerifyBook book{current_, side, stopping_};
    if (Status kept = book.open(noted); !kept) return kept;
    return compare_again(**connection, tables);
}

// One run after another ends at the change, and each ends the sessions of the one before.
Status VerificationDesk::note_unequal(const std::set<TableName>& tables,
                                      const std::string& asked_by) {
    const auto deadline = Clock::now() + verify_close_time_max;
    for (;;) {
        Status noted = try_note_unequal(tables, asked_by);
        if (noted || stopping_.load() || Clock::now() > deadline) return noted;
        std::this_thread::sleep_for(look_again);
    }
}

Result<PassedOver> VerificationDesk::pass_stopped(const std::string& asked_by) {
    PassedOver result;
    std::set<TableName> tables = stopped_tables(shared_);
    if (tables.empty()) return result;
    const Side side = authority();
    AppliedPosition& applied = shared_.applied[index(side)];
    const auto end = log_end(shared_.identity.url[index(side)]);
    if (!end) return end.error();
    if (Status noted = note_unequal(tables, asked_by); !noted) return noted.error();
    shared_.passed_over.store(0);
    PassingOver passing{shared_};
    passing.add(tables);
    Position reached = applied.current();
    auto moved_at = Clock::now();
    while (applied.current() < *end) {
        if (stopping_.load()) return not_connected();
        if (const auto run = current_()) (void)run->nudge(side);
        (void)applied.wait_for(*end, Clock::now() + look_again);
        std::set<TableName> more = stopped_tables(shared_);
        std::erase_if(more, [&](const TableName& name) { return tables.contains(name); });
        if (!more.empty()) {
            if (Status noted = note_unequal(more, asked_by); !noted) return noted.error();
            passing.add(more);
            tables.merge(more);
        }
        if (applied.current() > reached || !more.empty()) moved_at = Clock::now();
        reached = applied.current();
        if (Clock::now() - moved_at < standstill_max) continue;
        const std::lock_guard lock{shared_.mutex};
        return Error{Errc::timed_out,
                     "the stream does not get on: " + shared_.stream_problem[index(side)]};
    }
    for (const TableName& name : tables) {
        result.tables.push_back(name.first + "." + name.second);
        RepairNote note;
        note.verification = noted_;
        note.asked_by = asked_by;
        note.authority = side;
        note.schema = name.first;
        note.table = name.second;
        // What is not mended here is on record as different, and is by the repair.
        (void)mend_passed_over(current_, shared_, passing, name, std::move(note));
    }
    result.changes = shared_.passed_over.load();
    const std::lock_guard lock{shared_.mutex};
    for (auto& [name, figures] : shared_.tables) figures.stopped_because.clear();
    return result;
}

}  // namespace segue::backfill::postgres
