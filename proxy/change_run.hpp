#pragma once
// One change of authority under way: what each action of router::Cutover does, and the little that
// they hand to one another. Used by the conductor only.

#include <chrono>
#include <optional>
#include <string>

#include "backfill/control.hpp"
#include "protocol/position.hpp"
#include "proxy/conductor.hpp"

namespace segue::proxy {

class ChangeRun {
public:
    using Clock = std::chrono::steady_clock;

    ChangeRun(const ChangeParts& parts, const ChangeLimits& limits, Side to)
        : parts_(parts), limits_(limits), from_(other(to)), to_(to) {}

    // Each does one action; blocks. A failure leaves its reason behind, the first one stays.
    router::Outcome perform(const router::Check&);
    router::Outcome perform(const router::RecordIntent&);
    router::Outcome perform(const router::Hold&);
    router::Outcome perform(const router::Fence&);
    router::Outcome perform(const router::CatchUp&);
    router::Outcome perform(const router::SetSequences&);
    router::Outcome perform(const router::RecordDeciding&);
    router::Outcome perform(const router::CommitEpoch&);
    router::Outcome perform(const router::AskEpoch&);
    router::Outcome perform(const router::Become&);
    router::Outcome perform(const router::OpenFence&);
    router::Outcome perform(const router::Swap&);
    router::Outcome perform(const router::Undo&);
    router::Outcome perform(const router::Release&);
    router::Outcome perform(const router::RecordSteady&);
    router::Outcome perform(const router::Finished&);

    // Both tickets, one after the other's stream, until `deadline`: proves both ways.
    Status exchange_tickets(Clock::time_point deadline);
    Status prepare_sessions();

    // Another process has taken the migration over since this change was begun: what is left of it
    // is not ours to do. Waits only for the side without which the change cannot go on: the new one
    // once its epoch may be committed, else the old one. The other one is asked first, for a second
    // at most, and believed when it has answered: clients are held, and it may have died.
    bool overtaken(bool may_be_committed);

    const ChangeReport& report() const { return report_; }
    void interrupted() { report_.interrupted = true; }

private:
    router::Outcome failed(std::string reason);
    router::Outcome outcome(const Status& status);
    router::Outcome outcome(const Result<backfill::Written>& written, const char* what);
    Result<backfill::Written> write(Side side,
                                    const backfill::ControlRecord& expected,
                                    const backfill::ControlRecord& next);
    Status check_records();
    Status check_mover();
    Status check_fence();
    Status catch_up();
    Status commit_tickets();
    Status await_tickets(Clock::time_point deadline);
    void set_pace(std::uint32_t pace);
    std::string not_ready_to_commit();

    const ChangeParts& parts_;
    const ChangeLimits& limits_;
    const Side from_, to_;
    ChangeReport report_;
    Clock::time_point deadline_{};         // Set by Hold.
    Position tickets_[2];                  // The last pair that was committed, by side.
    Clock::time_point paced_at_{};         // When the pace was last set.
    backfill::ControlRecord from_record_;  // The last that we know to be written.
    backfill::ControlRecord to_record_;    // As read before the hold.
    std::uint64_t epoch_ = 0;              // The new one.
    bool intended_ = false;                // The intent is, or may be, on record.
    bool fenced_ = false;                  // Closing was begun.
    Position since_;                       // Of the epoch that is committed, or may be.
};

}  // namespace segue::proxy
