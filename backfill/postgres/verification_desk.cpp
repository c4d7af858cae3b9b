#include "backfill/postgres/verification_desk.hpp"

#include <algorithm>
#include <set>

#include "backfill/postgres/verifier.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::seconds refresh_time{30};

RepairRecord repair_record(const Repair& repair) {
    const RepairNote& note = repair.note;
    return {note.id,
            note.verification,
            note.asked_by,
            repair.role,
            repair.state,
            repair.at,
            note.authority,
            note.schema,
            note.table,
            note.missing,
            note.extra,
            note.changed};
}

}  // namespace

std::string new_id(WallTime now) {
    static std::atomic<unsigned> number{0};
    const auto us =
        std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
    return std::to_string(us) + "-" + std::to_string(number.fetch_add(1));
}

Error not_connected() { return {Errc::closed, "the mover is not connected"}; }

Side VerificationDesk::authority() const {
    const std::lock_guard lock{shared_.mutex};
    return shared_.authority;
}

bool VerificationDesk::consistent() const {
    const std::lock_guard lock{shared_.mutex};
    return shared_.backfill == router::Backfill::consistent;
}

Result<std::optional<Verification>> VerificationDesk::unfinished(VerifyKind kind,
                                                                 Connection& connection) {
    auto all = last_ones(connection);
    if (!all) return all.error();
    const auto last = std::find_if(
        all->begin(), all->end(), [&](const Verification& one) { return one.kind == kind; });
    if (last == all->end()) return std::optional<Verification>{};
    const auto oldest = std::chrono::system_clock::now() - verify_resume_age_max;
    const bool open = last->verdict == Verdict::running || last->verdict == Verdict::mended;
    const bool of_now = last->authority == authority() &&
                        last->since.value == shared_.since.load() &&
                        last->ended_at.value_or(last->begun_at) > oldest;
    if (!open || !of_now) return std::optional<Verification>{};
    return std::optional{std::move(*last)};
}

Status VerificationDesk::excluded(Verification& verification, MoverRun& run) {
    auto link = run.link(verification.authority, LinkKind::reader);
    if (!link) return link.error();
    auto left_out = read_tables_left_out(**link, shared_.settings.exclude);
    if (!left_out) return left_out.error();
    verification.excluded = std::move(*left_out);
    return Done{};
}

Result<Verification> VerificationDesk::begin(VerifyKind kind,
                                             const VerifyRequest& request,
                                             MoverRun& run) {
    const Side side = authority();
    RecordLink record{current_, side};
    auto connection = record.get();
    if (!connection) return connection.error();
    if (!request.anew) {
        auto earlier = unfinished(kind, **connection);
        if (!earlier) return earlier.error();
        if (*earlier) return std::move(**earlier);
    }
    Verification verification;
    verification.kind = kind;
    verification.begun_at = std::chrono::system_clock::now();
    verification.id = new_id(verification.begun_at);
    verification.asked_by = request.asked_by;
    verification.build = request.build;
    verification.authority = side;
    verification.since = Position{shared_.since.load()};
    verification.strays = shared_.strays[index(other(side))].count();
    if (Status told = excluded(verification, run); !told) return told.error();
    for (const Table& table : run.current_tables())
        verification.tables[{table.schema, table.name}];
    return verification;
}

namespace {

// Tells as well what each table that is over has come to.
class TellingBook final : public VerifyBook {
public:
    TellingBook(VerifyBook& book,
                EqualSince& equal_since,
                Suspects& suspects,
                std::atomic<std::uint64_t>* differences)
        : book_(book), equal_since_(equal_since), suspects_(suspects), differences_(differences) {}
    Status note(const Verification& verification, const Verification::TableName& table) override {
        equal_since_.note(table, verification.tables.at(table));
        const Status noted = book_.note(verification, table);
        // After it is on record, where whoever hears of it looks.
        suspects_.note(table, verification.tables.at(table), Clock::now());
        if (differences_ != nullptr) differences_->store(verification.differences());
        return noted;
    }
    Status close(const Verification& verification) override { return book_.close(verification); }

private:
    VerifyBook& book_;
    EqualSince& equal_since_;
    Suspects& suspects_;
    std::atomic<std::uint64_t>* differences_;
};

}  // namespace

Status VerificationDesk::compare(Verification& verification,
                                 MoverRun& run,
                                 const Pace& pace,
                                 std::set<TableName> only) {
    PostgresVerifyBook kept{current_, verification.authority, pace.stopping};
    if (Status opened = kept.open(verification); !opened) return opened;
    TellingBook book{kept, equal_since_, suspects_, pace.differences};
    const OpenTwin open = [this]() -> Result<std::unique_ptr<TableTwin>> {
        auto now_running = current_();
        if (!now_running) return not_connected();
        auto twin = PostgresTwin::open(std::move(now_running), shared_);
        if (!twin) return twin.error();
        return twins_.watch(std::move(*twin));
    };
    const auto tables_now = [this]() -> std::vector<Table> {
        const auto now_running = current_();
        return now_running ? now_running->current_tables() : std::vector<Table>{};
    };
    const auto sequences_behind = [this, all = only.empty()]() -> Result<std::set<TableName>> {
        if (!all) return std::set<TableName>{};
        const auto now_running = current_();
        if (!now_running) return not_connected();
        if (const Status looked = now_running->look_at_sequences(); !looked) return looked.error();
        return shared_.sequences.set_back();
    };
    const std::vector<Table> tables = run.current_tables();
    const VerifyWork work{open,
                          book,
                          pace.rows_so_far,
                          pace.rows_per_second,
                          pace.stopping,
                          tables_now,
                          {},
                          sequences_behind,
                          std::move(only)};
    return verify_tables(tables, verification, work);
}

Result<Verification> VerificationDesk::verify(const VerifyRequest& request) {
    const auto run = current_();
    if (!run) return not_connected();
    hold_background();
    rows_so_far_ = 0;
    rows_per_second_ = request.rows_per_second;
    auto verification = begin(VerifyKind::asked, request, *run);
    Status done = Done{};
    if (verification) {
        rows_so_far_ = verification->rows();
        done = compare(*verification, *run, {rows_so_far_, rows_per_second_, stopping_});
    }
    let_background();
    if (!done) return done.error();
    return verification;
}

// The one that was begun or has ended last comes first; each with its tables. Of each kind the last
// that ended, and what goes on.
Result<std::vector<Verification>> VerificationDesk::last_ones(Connection& connection) {
    auto all = read_verifications(connection);
    if (!all) return all.error();
    std::vector<Verification> last;
    std::set<VerifyKind> ended;
    const auto at = [](const Verification& one) { return one.ended_at.value_or(one.begun_at); };
    std::stable_sort(
        all->begin(), all->end(), [&](const auto& a, const auto& b) { return at(a) > at(b); });
    for (Verification& one : *all) {
        if (one.verdict != Verdict::running && !ended.insert(one.kind).second) continue;
        if (Status read = read_verified_tables(connection, one); !read) return read.error();
        equal_since_.note(one);
        last.push_back(std::move(one));
    }
    return last;
}

Result<std::optional<Verification>> VerificationDesk::verified() {
    RecordLink record{current_, authority()};
    auto connection = record.get();
    if (!connection) return connection.error();
    auto all = last_ones(**connection);
    if (!all) return all.error();
    const auto ended = std::find_if(all->begin(), all->end(), [](const Verification& one) {
        return one.verdict != Verdict::running;
    });
    std::optional<Verification> standing;
    if (ended != all->end()) standing = *ended;
    if (standing && standing->verdict != Verdict::equal) return standing;
    // What another one has found since counts, also before that one has ended.
    for (Verification& one : *all) {
        if (!differs_later(one, standing ? *standing : Verification{})) continue;
        one.verdict = Verdict::different;
        return std::optional{std::move(one)};
    }
    return standing;
}

namespace {

std::vector<RepairNote> notes_of(const Verification& verification,
                                 Side authority,
                                 const std::string& asked_by) {
    std::vector<RepairNote> notes;
    const std::string id = new_id(std::chrono::system_clock::now());
    for (const auto& [name, table] : verification.tables) {
        if (table.listed.empty()) continue;
        RepairNote note{.id = id,
                        .verification = verification.id,
                        .asked_by = asked_by,
                        .authority = authority,
                        .schema = name.first,
                        .table = name.second};
        for (const VerifyDifference& one : table.listed) {
            if (one.kind == sequence_behind) continue;  // It has no rows.
            ++(one.kind == "missing" ? note.missing
               : one.kind == "extra" ? note.extra
                                     : note.changed);
        }
        notes.push_back(std::move(note));
    }
    return notes;
}

// On the authority: before the rows are mended, and after.
Status tell(RecordLink& record, const std::vector<RepairNote>& notes, RepairState state) {
    auto connection = record.get();
    if (!connection) return connection.error();
    std::string sql = "BEGIN";
    for (const RepairNote& note : notes) sql += ";" + repair_sql(note, state);
    const auto told = (*connection)->execute(sql + ";COMMIT");
    if (!told) return told.error();
    return Done{};
}

std::vector<std::string> keys_of(const VerifiedTable& table) {
    std::set<std::string> keys;
    for (const VerifyDifference& one : table.listed) keys.insert(one.key);
    return {keys.begin(), keys.end()};
}

}  // namespace

Status VerificationDesk::mend_table(const Verification& verification,
                                    const RepairNote& note,
                                    RepairReport& report) {
    const auto run = current_();
    if (!run) return not_connected();
    const VerifiedTable& found = verification.tables.at({note.schema, note.table});
    if (found.listed.front().kind == sequence_behind) {
        shared_.sequences.forget({note.schema, note.table});
        if (Status ahead = run->look_at_sequences(); !ahead) return ahead;
        report.tables.push_back(repair_record({note, "", "done", ""}));
        return Done{};
    }
    const std::vector<Table> tables = run->current_tables();
    const auto table = std::find_if(tables.begin(), tables.end(), [&](const Table& one) {
        return one.schema == note.schema && one.name == note.table;
    });
    if (table == tables.end()) return Done{};  // Dropped meanwhile.
    const auto keys = keys_of(found);
    const auto held = refresh_rows(run,
                                   shared_,
                                   *table,
                                   keys,
                                   repair_sql(note, RepairState::done),
                                   Clock::now() + refresh_time);
    if (!held) return held.error();
    report.longest_hold = std::max(report.longest_hold, *held);
    report.rows += keys.size();
    report.tables.push_back(repair_record({note, "", "done", ""}));
    return Done{};
}

// One table that cannot be mended keeps no other from it. Returns those that were.
std::vector<RepairNote> VerificationDesk::mend(const Verification& verification,
                                               const std::vector<RepairNote>& notes,
                                               RepairReport& report) {
    std::vector<RepairNote> mended;
    for (const RepairNote& note : notes) {
        if (const Status done = mend_table(verification, note, report); done)
            mended.push_back(note);
        else
            report.failed.push_back(note.schema + "." + note.table + ": " + done.error().detail);
    }
    return mended;
}

// What the background has seen of these tables in its unfinished round is of the past as well.
Status VerificationDesk::compare_again(Connection& connection, const std::set<TableName>& tables) {
    auto all = last_ones(connection);
    if (!all) return all.error();
    for (Verification& one : *all) {
        if (one.verdict != Verdict::running) continue;
        bool touched = false;
        for (auto& [name, table] : one.tables) {
            if (!tables.contains(name)) continue;
            begin_again(table);
            touched = true;
        }
        if (!touched) continue;
        PostgresVerifyBook book{current_, one.authority, stopping_};
        if (Status kept = book.open(one); !kept) return kept;
    }
    return Done{};
}

Result<RepairReport> VerificationDesk::repair(const std::string& asked_by) {
    auto verification = verified();
    if (!verification) return verification.error();
    RepairReport report;
    if (!*verification || (*verification)->verdict != Verdict::different) return report;
    Verification& found = **verification;
    const Side side = authority();
    const auto notes = notes_of(found, side, asked_by);
    report.id = notes.empty() ? "" : notes.front().id;
    RecordLink record{current_, side};
    // Intent before action: who reads the record of a repair that broke off sees that it was begun.
    if (Status told = tell(record, notes, RepairState::begun); !told) return told.error();
    const auto mended = mend(found, notes, report);
    if (Status told = tell(record, mended, RepairState::done); !told) return told.error();
    std::set<TableName> again;
    for (const RepairNote& note : mended) {
        again.insert({note.schema, note.table});
        suspects_.mended({note.schema, note.table});
    }
    for (auto& [name, table] : found.tables) {
        if (table.verdict == TableVerdict::unlike) again.insert(name);
        if (again.contains(name)) begin_again(table);
    }
    if (again.empty()) return report;
    found.kind = VerifyKind::asked;
    found.verdict = Verdict::mended;
    found.ended_at = std::chrono::system_clock::now();
    PostgresVerifyBook book{current_, side, stopping_};
    if (Status kept = book.open(found); !kept) return kept.error();
    auto connection = record.get();
    if (!connection) return connection.error();
    if (Status begun = compare_again(**connection, again); !begun) return begun.error();
    return report;
}

Result<std::vector<RepairRecord>> VerificationDesk::repairs(const std::string& verification) {
    RecordLink record{current_, authority()};
    auto connection = record.get();
    if (!connection) return connection.error();
    auto all = read_repairs(**connection, verification);
    if (!all) return all.error();
    std::vector<RepairRecord> records;
    for (const Repair& one : *all) records.push_back(repair_record(one));
    return records;
}

}  // namespace segue::backfill::postgres
