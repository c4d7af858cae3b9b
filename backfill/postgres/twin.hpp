#pragma once
// Twin snapshots (DESIGN 5): one of the authority and one of the follower that are provably the
// same state.

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backfill/mover.hpp"
#include "backfill/postgres/mover_run.hpp"

namespace segue::backfill::postgres {

// A twin of some tables that can be taken again and again on the same connections.
class TableTwin : public Twin {
public:
    // Ends the snapshots there were, if any, and takes new ones. Only these tables are locked
    // (ACCESS SHARE, until the next call or the end), and only these may be read. A TRUNCATE or DDL
    // that comes for one of them ends the snapshots: queries then fail, and so does renew where a
    // connection is gone (Errc::closed: open another).
    virtual Status renew(const std::vector<Table>& tables, Clock::time_point deadline) = 0;
    // Ends the snapshots and the locks; the connections stay for the next renew.
    virtual Status release() = 0;
    // Where that side's log stood when the snapshots were taken.
    virtual Position position(Side side) const = 0;
};

// Shares the run, whose interruption breaks its connections. One thread; but the two sides may be
// asked by one each.
class PostgresTwin final : public TableTwin {
public:
    // Connected; shows nothing yet.
    static Result<std::unique_ptr<PostgresTwin>> open(std::shared_ptr<MoverRun> run,
                                                      MoverShared& shared);
    PostgresTwin(std::shared_ptr<MoverRun> run,
                 MoverShared& shared,
                 MoverLink source,
                 MoverLink target);

    Result<std::vector<Row>> query(Side side,
                                   const std::string& sql,
                                   const std::vector<std::optional<std::string>>& parameters,
                                   std::size_t rows_max) override;
    // It is of no role: `RoleTwin` is.
    Result<std::vector<Row>> ask(Side, const SessionRead&, std::size_t) override {
        return Error{Errc::refused, "it was opened for no role"};
    }
    Result<AnswerDigest> digest(Side, const SessionRead&) override {
        return Error{Errc::refused, "it was opened for no role"};
    }
    Status renew(const std::vector<Table>& tables, Clock::time_point deadline) override;
    Status release() override { return end(); }
    Position position(Side side) const override { return positions_[index(side)]; }

    // Calls `then` at a moment when the follower is exactly what the authority's connection shows,
    // before the stream goes on. May call it again where it met a lock.
    Status at_same_state(const std::vector<Table>& tables,
                         Clock::time_point deadline,
                         const std::function<Status()>& then);
    Connection& connection(Side side) { return *links_[index(side)]; }
    // Any thread: what it is asked right now ends with an error.
    void cancel() const {
        for (const MoverLink& link : links_) link->cancel();
    }

private:
    Status try_same_state(const std::vector<Table>& tables,
                          Clock::time_point deadline,
                          const std::function<Status()>& then);
    Status open_prober(Side authority);
    Status end();

    std::shared_ptr<MoverRun> run_;
    MoverShared& shared_;
    MoverLink links_[2];
    std::optional<MoverLink> prober_;  // Of prober_side_.
    Side prober_side_ = Side::source;
    std::optional<TwinGuard::Entry> guard_;
    Position positions_[2];
};

// Copies the rows of these keys anew from the authority (R6), at a moment when the follower is
// exactly what the authority's snapshot shows. Keys as a verification lists them. In the same
// transaction of the follower goes `account`, a statement. `then`, where given, is called once it
// is done, before the stream goes on. Returns how long the stream was held.
Result<std::chrono::microseconds> refresh_rows(std::shared_ptr<MoverRun> run,
                                               MoverShared& shared,
                                               const Table& table,
                                               const std::vector<std::string>& keys,
                                               const std::string& account,
                                               Clock::time_point deadline,
                                               const std::function<void()>& then = {});

}  // namespace segue::backfill::postgres
