#pragma once
// Keeps a verification that goes on in schema segue of both sides, the authority's first: about
// once a second, and at once where a difference was found. A side that does not answer gets all of
// it later.

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "backfill/postgres/mover_run.hpp"
#include "backfill/postgres/verifier.hpp"
#include "backfill/postgres/verify_store.hpp"

namespace segue::backfill::postgres {

using CurrentRun = std::function<std::shared_ptr<MoverRun>()>;

// A connection for the records on one side; shares the run that interrupts it.
class RecordLink {
public:
    RecordLink(CurrentRun current, Side side) : current_(std::move(current)), side_(side) {}
    // Connected, with the tables there. Valid until the next call.
    Result<Connection*> get();

private:
    CurrentRun current_;
    Side side_;
    std::shared_ptr<MoverRun> run_;
    std::optional<MoverLink> link_;
};

inline constexpr std::chrono::milliseconds verify_note_interval{1000};
// Closing waits so long for a side that is away.
inline constexpr std::chrono::seconds verify_close_time_max{30};

class PostgresVerifyBook final : public VerifyBook {
public:
    PostgresVerifyBook(const CurrentRun& current, Side authority, const std::atomic<bool>& stopping)
        : authority_(authority),
          stopping_(stopping),
          sides_{{RecordLink{current, Side::source}, {}}, {RecordLink{current, Side::target}, {}}} {
    }

    // All of it, on both sides, before anything is compared.
    Status open(const Verification& verification);
    Status note(const Verification& verification, const Verification::TableName& table) override;
    Status close(const Verification& verification) override;

private:
    struct SideRecord {
        RecordLink link;
        TableNames unwritten;
    };
    Status write(const Verification& verification);
    Status write_until_done(const Verification& verification);

    Side authority_;
    const std::atomic<bool>& stopping_;
    SideRecord sides_[2];
    std::uint64_t differences_written_ = 0;
    Clock::time_point written_at_;
};

}  // namespace segue::backfill::postgres
