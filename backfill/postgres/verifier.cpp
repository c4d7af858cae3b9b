#include "backfill/postgres/verifier.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "backfill/postgres/table_comparison.hpp"

namespace segue::backfill::postgres {

namespace {

// Tables that are compared one after another under shared twins.
using Group = std::vector<const Table*>;

std::vector<Group> groups_of(const std::vector<Table>& tables) {
    std::vector<Group> groups;
    Group small;
    std::uint64_t rows = 0;
    for (const Table& table : tables) {
        if (table.rows_estimate > verify_shared_rows_max) {
            groups.push_back({&table});
            continue;
        }
        if (small.size() == verify_shared_tables_max ||
            rows + table.rows_estimate > verify_shared_rows_max) {
            groups.push_back(std::exchange(small, {}));
            rows = 0;
        }
        small.push_back(&table);
        rows += table.rows_estimate;
    }
    if (!small.empty()) groups.push_back(std::move(small));
    return groups;
}

// Keeps one twin open for a while and takes it anew when it is old, lost, or of other tables.
class TwinHolder {
public:
    explicit TwinHolder(const OpenTwin& open) : open_(open) {}

    // A twin of `wanted`, the first of `tables`, and of the others if it is a new one.
    Result<Twin*> get(const Group& tables) {
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

class Verification {
public:
    Verification(const OpenTwin& open,
                 std::atomic<std::uint64_t>& rows_so_far,
                 const std::atomic<bool>& stopping,
                 VerifyPauses pauses)
        : twins_(open), rows_so_far_(rows_so_far), stopping_(stopping), pauses_(pauses) {}

    Status verify(Group group) {
        // The others of the group share the twin until it fails: one of them may be what spoils it.
        bool alone = group.size() == 1;
        while (!group.empty()) {
            TableComparison comparison{*group.front()};
            if (Status done = verify_first(group, comparison, alone); !done) return done;
            result_.rows_compared += comparison.rows();
            result_.differences += comparison.differences().size();
            for (VerifyDifference& difference : comparison.differences()) {
                if (result_.first_differences.size() >= verify_differences_max) break;
                result_.first_differences.push_back(std::move(difference));
            }
            group.erase(group.begin());
        }
        return Done{};
    }

    VerifyResult take() { return std::move(result_); }

private:
    Status verify_first(const Group& group, TableComparison& comparison, bool& alone) {
        auto pause = pauses_.min;
        for (int attempts = 0; !comparison.finished();) {
            if (stopping_.load(std::memory_order_relaxed))
                return Error{Errc::closed, "verification was stopped"};
            auto twin = twins_.get(alone ? Group{group.front()} : group);
            const std::uint64_t rows_before = comparison.rows();
            const Status went = twin ? comparison.next(**twin) : Status{twin.error()};
            rows_so_far_.fetch_add(comparison.rows() - rows_before, std::memory_order_relaxed);
            if (went) {
                attempts = 0;
                pause = pauses_.min;
                continue;
            }
            twins_.drop();
            if (twin) comparison.make_smaller();
            if (!std::exchange(alone, true)) continue;
            if (++attempts == verify_attempts_max) return gave_up(*group.front(), went.error());
            std::this_thread::sleep_for(pause);
            pause = std::min(pause * 2, pauses_.max);
        }
        return Done{};
    }

    static Error gave_up(const Table& table, const Error& last) {
        return {last.code,
                table.plain_name() + ": given up after " + std::to_string(verify_attempts_max) +
                    " attempts, of which the last one said: " + last.detail,
                last.sqlstate};
    }

    TwinHolder twins_;
    std::atomic<std::uint64_t>& rows_so_far_;
    const std::atomic<bool>& stopping_;
    VerifyPauses pauses_;
    VerifyResult result_;
};

}  // namespace

Result<VerifyResult> verify_tables(const std::vector<Table>& tables,
                                   const OpenTwin& open_twin,
                                   std::atomic<std::uint64_t>& rows_so_far,
                                   const std::atomic<bool>& stopping,
                                   VerifyPauses pauses) {
    Verification verification{open_twin, rows_so_far, stopping, pauses};
    for (Group& group : groups_of(tables)) {
        if (Status done = verification.verify(std::move(group)); !done) return done.error();
    }
    return verification.take();
}

}  // namespace segue::backfill::postgres
