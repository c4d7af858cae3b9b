#pragma once
// Verifications as a mover has them: begun, gone on with, read back, and repaired from. One at a
// time.

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "backfill/mover.hpp"
#include "backfill/postgres/mover_run.hpp"
#include "backfill/postgres/twins_in_use.hpp"
#include "backfill/postgres/verify_book.hpp"

namespace segue::backfill::postgres {

// Unique among one migration's, and in the order in which they were made.
std::string new_id(WallTime now);
Error not_connected();

// One that was not ended is gone on with when it was begun within that time.
inline constexpr std::chrono::hours verify_resume_age_max{24};

// Since when each table is known to be equal: the begin of its last comparison.
class EqualSince {
public:
    void note(const Verification::TableName& name, const VerifiedTable& table);
    void note(const Verification& verification);
    // Empty while one of the tables is not known to be equal.
    std::optional<WallTime> of_all(const std::vector<Table>& tables) const;

private:
    struct Seen {
        WallTime begun_at, ended_at;
        bool equal = false;
    };
    mutable std::mutex mutex_;
    std::map<Verification::TableName, Seen> tables_;
};

class VerificationDesk {
public:
    VerificationDesk(MoverShared& shared, CurrentRun current)
        : shared_(shared), current_(std::move(current)) {}
    ~VerificationDesk();

    Result<Verification> verify(const VerifyRequest& request);
    Result<std::optional<Verification>> verified();
    Result<RepairReport> repair(const std::string& asked_by);
    // pass_stopped.cpp
    Result<PassedOver> pass_stopped(const std::string& asked_by);
    Result<std::vector<RepairRecord>> repairs(const std::string& verification);

    // Round after round in a thread of its own, while the mover is started.
    void start();
    void stop();  // Asked ones as well. Does not wait.
    void join();
    void verify_in_background(std::uint64_t rows_per_second);
    void hold_background();  // Returns when it is at rest.
    void let_background();
    BackgroundVerification background() const;
    // Compared by the same thread, before its rounds.
    void suspect(const std::vector<TableName>& tables, WallTime seen_at);
    void suspect_none();
    std::vector<Suspect> suspects() const;

    std::uint64_t rows_so_far() const { return rows_so_far_.load(); }

private:
    struct Pace {
        std::atomic<std::uint64_t>& rows_so_far;
        const std::atomic<std::uint64_t>& rows_per_second;
        const std::atomic<bool>& stopping;
        std::atomic<std::uint64_t>* differences = nullptr;  // Told as they are found.
    };
    Result<Verification> begin(VerifyKind kind, const VerifyRequest& request, MoverRun& run);
    // `only`: nothing but these; empty: everything.
    Status compare(Verification& verification,
                   MoverRun& run,
                   const Pace& pace,
                   std::set<TableName> only = {});
    Result<std::vector<Verification>> last_ones(Connection& connection);
    Result<std::optional<Verification>> unfinished(VerifyKind kind, Connection& connection);
    Status excluded(Verification& verification, MoverRun& run);
    Status try_note_unequal(const std::set<TableName>& tables, const std::string& asked_by);
    Status note_unequal(const std::set<TableName>& tables, const std::string& asked_by);
    Side authority() const;
    bool consistent() const;
    Status mend_table(const Verification& verification,
                      const RepairNote& note,
                      RepairReport& report);
    std::vector<RepairNote> mend(const Verification& verification,
                                 const std::vector<RepairNote>& notes,
                                 RepairReport& report);
    Status compare_again(Connection& connection, const std::set<TableName>& tables);
    void serve_background();
    bool background_may_work() const;  // With the mutex held.
    Status background_round();
    Status compare_suspects(const std::vector<TableName>& names);
    std::set<TableName> begin_suspects(Verification& verification,
                                       MoverRun& run,
                                       const std::vector<TableName>& names);

    MoverShared& shared_;
    CurrentRun current_;
    std::atomic<std::uint64_t> rows_so_far_{0}, rows_per_second_{0};
    std::atomic<bool> stopping_{false};
    EqualSince equal_since_;
    Suspects suspects_;
    std::string noted_;  // The verification that stands for what a stream has passed over.

    // Of the background.
    std::atomic<std::uint64_t> background_rate_{0}, background_rows_{0}, suspect_rate_{0};
    std::atomic<bool> background_yields_{false};
    TwinsInUse twins_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::thread background_;
    int held_ = 0;
    bool at_work_ = false, in_round_ = false;
    std::uint64_t rounds_ = 0;
    std::atomic<std::uint64_t> differences_{0};
    std::string problem_;
};

}  // namespace segue::backfill::postgres
