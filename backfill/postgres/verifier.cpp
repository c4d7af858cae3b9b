#include "backfill/postgres/verifier.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "backfill/postgres/table_comparison.hpp"
#include "backfill/postgres/verify_pace.hpp"

namespace segue::backfill::postgres {

namespace {

// Tables that are compared one after another under shared twins.
using Group = std::vector<const Table*>;

std::vector<Group> groups_of(const std::vector<const Table*>& tables) {
    std::vector<Group> groups;
    Group small;
    std::uint64_t rows = 0;
    for (const Table* table : tables) {
        if (table->rows_estimate > verify_shared_rows_max) {
            groups.push_back({table});
            continue;
        }
        if (small.size() == verify_shared_tables_max ||
            rows + table->rows_estimate > verify_shared_rows_max) {
            groups.push_back(std::exchange(small, {}));
            rows = 0;
        }
        small.push_back(table);
        rows += table->rows_estimate;
    }
    if (!small.empty()) groups.push_back(std::move(small));
    return groups;
}

// Keeps one twin open for a while and takes it anew when it is old, lost, or of other tables.
class TwinHolder {
public:
    explicit TwinHolder(const OpenTwin& open) : open_(open) {}

    // A twin of `wanted`, the first of `tables`, and of the others if it is a new one.
    Result<TableTwin*> get(const Group& tables) {
        if (twin_ && covered_.contains(tables.front()) &&
            Clock::now() - taken_at_ <= verify_twin_age_max) {
            return twin_.get();
        }
        covered_.clear();
        if (!twin_) {
            auto opened = open_();
            if (!opened) return opened.error();
            twin_ = std::move(*opened);
        }
        std::vector<Table> locked;
        for (const Table* table : tables) locked.push_back(*table);
        if (Status taken = twin_->renew(locked, Clock::now() + verify_twin_time); !taken)
            return taken.error();
        covered_.insert(tables.begin(), tables.end());
        taken_at_ = Clock::now();
        return twin_.get();
    }
    // Before a wait: no lock and no snapshot outlasts it.
    void release() {
        covered_.clear();
        if (twin_ && !twin_->release()) twin_.reset();
    }
    void drop() {
        twin_.reset();
        covered_.clear();
    }

private:
    const OpenTwin& open_;
    std::unique_ptr<TableTwin> twin_;
    std::set<const Table*> covered_;
    Clock::time_point taken_at_;
};

// undefined_table, undefined_column, undefined_function (a type without an output or an order)
bool is_unlike(const Error& error) {
    return error.sqlstate == "42P01" || error.sqlstate == "42703" || error.sqlstate == "42883" ||
           error.sqlstate == "3F000";
}

class VerificationRun {
public:
    VerificationRun(Verification& verification, const VerifyWork& work)
        : verification_(verification),
          work_(work),
          twins_(work.open_twin),
          pace_(work.rows_per_second, work.stopping) {}

    Status verify(Group group) {
        // The others of the group share the twin until it fails: one of them may be what spoils it.
        bool alone = group.size() == 1;
        while (!group.empty()) {
            if (Status done = verify_first(group, alone); !done) return done;
            group.erase(group.begin());
        }
        return Done{};
    }

    // No table of those so far is meant any more.
    void release() { twins_.release(); }

private:
    Status verify_first(const Group& group, bool& alone) {
        Table table = *group.front();
        const Verification::TableName name{table.schema, table.name};
        VerifiedTable& found = verification_.tables[name];
        std::size_t listed = 0;
        for (const auto& [other, one] : verification_.tables)
            listed += &one == &found ? 0 : one.listed.size();
        std::optional<TableComparison> comparison;
        const auto begin = [&] {
            comparison.emplace(
                table, verification_.authority, found, verify_differences_max - listed);
        };
        begin();
        auto pause = work_.pauses.min;
        for (int attempts = 0; !comparison->finished();) {
            if (work_.stopping.load(std::memory_order_relaxed)) return stopped();
            if (const auto rows = pace_.range_rows_max()) comparison->limit_range(*rows);
            auto twin = twins_.get(alone ? Group{group.front()} : group);
            const Status went = twin ? next(**twin, *comparison, found) : Status{twin.error()};
            if (went) {
                attempts = 0;
                pause = work_.pauses.min;
                if (comparison->finished()) found.ended_at = std::chrono::system_clock::now();
                if (Status noted = work_.book.note(verification_, name); !noted) return noted;
                continue;
            }
            twins_.drop();
            if (twin) comparison->make_smaller();
            const bool of_the_past = went.error().code == Errc::refused;
            if ((of_the_past || is_unlike(went.error())) && redefined(table)) {
                begin_again(found);
                begin();
            }
            if (!std::exchange(alone, true)) continue;
            ++attempts;
            if (attempts >= verify_unlike_attempts_max && is_unlike(went.error()))
                return unlike(name, found, went.error());
            if (attempts == verify_attempts_max)
                return of_the_past ? unlike(name, found, went.error())
                                   : gave_up(table, went.error());
            std::this_thread::sleep_for(pause);
            pause = std::min(pause * 2, work_.pauses.max);
        }
        return Done{};
    }

    bool dropped(const Verification::TableName& name) const {
        if (!work_.tables_now) return false;
        const std::vector<Table> tables = work_.tables_now();
        // None at all: the mover is between two runs.
        return !tables.empty() &&
               std::none_of(tables.begin(), tables.end(), [&](const Table& table) {
                   return table.schema == name.first && table.name == name.second;
               });
    }

    // Takes the table's definition as it is now. True where that is another one.
    bool redefined(Table& table) const {
        if (!work_.tables_now) return false;
        for (Table& now : work_.tables_now()) {
            if (now.schema != table.schema || now.name != table.name) continue;
            const bool changed = !same_definition(now, table);
            table = std::move(now);
            return changed;
        }
        return false;
    }

    Status next(TableTwin& twin, TableComparison& comparison, VerifiedTable& found) {
        const std::uint64_t before = found.sums[index(verification_.authority)].rows;
        if (Status went = comparison.next(twin); !went) return went;
        const std::uint64_t now = found.sums[index(verification_.authority)].rows;
        for (const Side side : {Side::source, Side::target}) {
            const Position position = twin.position(side);
            if (found.from[index(side)].value == 0) found.from[index(side)] = position;
            found.to[index(side)] = position;
        }
        // Fewer where the table was begun anew.
        work_.rows_so_far.fetch_add(now - before, std::memory_order_relaxed);
        if (now <= before) return Done{};
        if (const auto wait = pace_.owed(now - before)) {
            twins_.release();
            pace_.wait(*wait);
        }
        return Done{};
    }

    Status unlike(const Verification::TableName& name, VerifiedTable& found, const Error& why) {
        begin_again(found);
        found.verdict = dropped(name) ? TableVerdict::gone : TableVerdict::unlike;
        if (found.verdict == TableVerdict::unlike) found.problem = why.detail;
        found.begun_at = found.ended_at = std::chrono::system_clock::now();
        return work_.book.note(verification_, name);
    }

    static Error stopped() { return {Errc::closed, "verification was stopped"}; }
    static Error gave_up(const Table& table, const Error& last) {
        return {last.code,
                table.plain_name() + ": given up after " + std::to_string(verify_attempts_max) +
                    " attempts, of which the last one said: " + last.detail,
                last.sqlstate};
    }

    Verification& verification_;
    const VerifyWork& work_;
    TwinHolder twins_;
    VerifyPace pace_;
};

// What of `tables` is still to be compared; what is no longer among them is gone.
std::vector<const Table*> left_of(const std::vector<Table>& tables,
                                  Verification& verification,
                                  const std::set<Verification::TableName>& only) {
    std::vector<const Table*> left;
    std::set<Verification::TableName> names;
    for (const Table& table : tables) {
        const auto name = *names.emplace(table.schema, table.name).first;
        if (!only.empty() && !only.contains(name)) continue;
        if (verification.tables[name].verdict == TableVerdict::gone)
            begin_again(verification.tables[name]);  // It is back.
        const TableVerdict verdict = verification.tables[name].verdict;
        if (verdict == TableVerdict::waiting || verdict == TableVerdict::comparing)
            left.push_back(&table);
    }
    for (auto& [name, found] : verification.tables) {
        const bool open =
            found.verdict == TableVerdict::waiting || found.verdict == TableVerdict::comparing;
        if (open && !names.contains(name)) found.verdict = TableVerdict::gone;
    }
    return left;
}

// In the place of a table: what is behind is one difference, without a key.
Status compare_sequences(Verification& verification, const VerifyWork& work) {
    if (!work.sequences_behind) return Done{};
    const auto behind = work.sequences_behind();
    if (!behind) return behind.error();
    for (const auto& name : *behind) {
        VerifiedTable& found = verification.tables[name];
        begin_again(found);
        found.verdict = TableVerdict::different;
        found.differences = 1;
        found.listed.push_back({name.first + "." + name.second, "", sequence_behind});
        found.begun_at = found.ended_at = std::chrono::system_clock::now();
        if (Status noted = work.book.note(verification, name); !noted) return noted;
    }
    return Done{};
}

}  // namespace

Status verify_tables(const std::vector<Table>& tables,
                     Verification& verification,
                     const VerifyWork& work) {
    VerificationRun run{verification, work};
    Status went = Done{};
    std::vector<Table> now = tables;
    for (auto left = left_of(now, verification, work.only); went && !left.empty();
         left = left_of(now, verification, work.only)) {
        for (Group& group : groups_of(left)) {
            went = run.verify(std::move(group));
            if (!went) break;
        }
        // Those that were created or renamed meanwhile.
        if (!work.tables_now) break;
        run.release();  // It names the tables by where they stand.
        if (auto known = work.tables_now(); !known.empty()) now = std::move(known);
    }
    if (went) went = compare_sequences(verification, work);
    // Some tables alone say nothing of the whole, of which sequences are a part.
    if (went && work.only.empty() && verification.done()) {
        verification.verdict = verification.all_equal() ? Verdict::equal : Verdict::different;
        verification.ended_at = std::chrono::system_clock::now();
    }
    const Status closed = work.book.close(verification);
    return went ? closed : went;
}

}  // namespace segue::backfill::postgres
