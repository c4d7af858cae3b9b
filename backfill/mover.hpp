#pragma once
// The mover: reads both sides' streams, copies chunks, applies the authority's stream to the
// follower. This is its face towards the program (proxy/) and the verbs. Thread-safe unless said
// otherwise; calls that wait are made from the operator's thread, never from an I/O thread.
//
// Both directions are one code path. For each side X there is one stream:
//   X is the authority: its transactions are applied to the other side.
//   X is the follower:  its stream is watched; every transaction there must be the mover's own (it
//                       touches segue.progress). Others are stray writes. Its progress is recorded
//                       on the other side all the same, so that the way back is live and its slot
//                       moves on.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backfill/applied_position.hpp"
#include "backfill/control.hpp"
#include "backfill/suspects.hpp"
#include "backfill/verification.hpp"
#include "protocol/position.hpp"
#include "protocol/result.hpp"
#include "router/side.hpp"

namespace segue::backfill {

using Clock = std::chrono::steady_clock;

struct TableProgress {
    std::string schema, name;
    std::string state;  // waiting | copying | loaded | indexing | consistent | stopped
    std::uint64_t rows_copied = 0;
    std::optional<std::uint64_t> rows_total_estimate;
    std::string stopped_because;  // Only when stopped; names the table, never a row's values.
};

struct StreamStatus {
    bool connected = false;
    bool reverse_ready =
        false;          // This stream has carried a probe to the other side since connecting.
    Position received;  // End of the last thing read from the stream.
    Position applied;   // Contiguous and durable on the other side.
    std::optional<std::uint64_t> lag_bytes;  // Current end of the side's log minus applied.
    std::optional<double>
        lag_seconds;  // Age of the oldest piece of the log not yet applied; 0 when none.
    std::optional<std::uint64_t> retained_log_bytes;
    std::string problem;  // Empty when healthy; else what stopped it and what to do.
};

struct MoverStatus {
    bool running = false;
    router::Backfill backfill = router::Backfill::none;
    bool paused = false;
    std::uint64_t rows_copied = 0, bytes_copied = 0;
    std::optional<std::uint64_t> rows_total_estimate;
    std::optional<double> eta_seconds;
    std::vector<TableProgress> tables;
    StreamStatus streams[2];  // By index(Side).
    std::uint64_t stray_writes = 0;
    std::vector<std::string> stray_write_tables;  // At most stray_tables_max names.
    std::vector<std::string> problems;            // Each names the thing and the remedy.
    bool invalid = false;  // The copy cannot go on at all; the first problem says why.
    // Why a change of the schema cannot be made on the follower; empty while none is in the way.
    // The stream stands before it until somebody deals with it.
    std::string schema_stop;
    // A change of the schema that is being made on the follower at this moment, what it waits for,
    // and since when: the stream waits as long. Empty: none is.
    std::string schema_work;
    std::optional<Clock::time_point> schema_work_since;
    std::uint64_t runs_failed = 0;  // Since `start`; each is followed by another run.
    std::string last_failure;       // Why the last of them ended; empty when none has.
    bool moved_by_another = false;  // Another process holds the lease.
    // The records are not of the authority that `start` and `become` told, or hold a change that
    // another process has begun and cannot end: that one was at work while this one was frozen or
    // cut off. Nothing moves until it is started anew.
    bool superseded = false;
};

struct VerifyRequest {
    std::string asked_by, build;
    std::uint64_t rows_per_second = 0;  // Zero: no limit.
    bool anew = false;                  // Else one that was not ended is gone on with.
};

// Verification in the background: round after round, at the pace that is set, while no other one
// is asked for.
struct BackgroundVerification {
    std::uint64_t rows_per_second = 0;  // Zero: off.
    std::uint64_t rows = 0;             // Compared since the program began.
    std::uint64_t rounds = 0;           // Ended since then.
    std::uint64_t differences = 0;      // Of the present round, or of the last one.
    // Every row was found equal at some time since then, by rounds and by asked ones.
    std::optional<WallTime> every_row_since;
    std::string problem;  // Why it does not get on; empty when it does.
};

// What a repair has done, table by table.
struct RepairRecord {
    std::string id, verification, asked_by, role, state, at;
    Side authority = Side::source;  // The other side was mended from it.
    std::string schema, name;
    std::uint64_t missing = 0, extra = 0, changed = 0;
};
struct RepairReport {
    std::string id;
    std::vector<RepairRecord> tables;
    std::vector<std::string> failed;  // Tables that could not be mended, each with the reason.
    std::uint64_t rows = 0;
    std::chrono::microseconds longest_hold{0};  // Of the stream, while a table's rows were written.
};

// What a stream that stood still has gone on without.
struct PassedOver {
    std::vector<std::string> tables;
    std::uint64_t changes = 0;
};

// What a session of the application has read, to be asked again.
struct SessionRead {
    std::vector<std::pair<std::string, std::string>> settings;  // In force there, name and value.
    std::string statement;                                      // One; parameters as $1 ...
    std::vector<std::uint32_t> parameter_types;          // As the client has said them; 0: unknown.
    std::vector<std::optional<std::string>> parameters;  // As text.
};

// Of all rows of an answer, whatever their number.
struct AnswerDigest {
    std::string rows;      // How many, and sums of their hashes: the same in any order.
    std::string in_order;  // Of all of them in theirs.
};

// A pair of snapshots proven to be the same state (DESIGN 5). Held open by transactions of the
// mover; closed when destroyed. Statements run on each side in that snapshot, read-only.
class Twin {
public:
    virtual ~Twin() = default;
    // Runs one statement of our own on one side, with the mover's rights, and returns its rows as
    // text, NULL as nullopt. Bounded by rows_max rows: beyond it Errc::too_large.
    using Row = std::vector<std::optional<std::string>>;
    virtual Result<std::vector<Row>> query(
        Side side,
        const std::string& sql,
        const std::vector<std::optional<std::string>>& parameters,
        std::size_t rows_max) = 0;
    // Asks a read of the application's again, with no more rights than the role for which the twin
    // was opened has on that side. Bounded in time. Once a side: afterwards that side is of no use.
    virtual Result<std::vector<Row>> ask(Side side,
                                         const SessionRead& read,
                                         std::size_t rows_max) = 0;
    // The same, of any number of rows, of which none is kept. May stand before an `ask`; after an
    // error that side is of no use.
    virtual Result<AnswerDigest> digest(Side side, const SessionRead& read) = 0;
};

struct MoverSettings {
    std::string migration;  // Names slots and publications.
    std::string url[2];     // libpq connection strings by index(Side), password included.
    std::vector<std::string> exclude;          // "schema.table"
    std::uint64_t retained_log_bytes_max = 0;  // Law 11, per side.
    int copy_workers = 2;
    std::uint64_t background_rows_per_second = 0;  // Verification in the background; zero: none.
    std::uint64_t suspect_rows_per_second = 0;     // Of suspected tables; zero: no limit.
    std::string build;                             // Named by what it verifies.
    std::string pg_bin;                            // Where pg_dump is; empty: searched.
};

class Mover {
public:
    virtual ~Mover() = default;  // Stops and joins every thread.

    // Takes the lease, ends earlier sessions of ours on both sides, reads progress, and goes on
    // from where the records say, in threads of its own: reconnects for ever on loss of a side.
    // Called at `run` (when a record exists) and at `start`.
    virtual Status start(const ControlRecord& authority_record) = 0;
    virtual void stop() = 0;

    virtual void set_paused(bool paused) = 0;
    virtual MoverStatus status() const = 0;

    // How far `stream_of`'s stream is durably on the other side. Lives as long as the mover.
    virtual AppliedPosition& applied(Side stream_of) = 0;

    // Wakes the stream of that side so that its position is reported without delay, and commits a
    // ticket on it where the log end is not flushed (DESIGN 5, "H and quiet servers").
    virtual Status nudge(Side stream_of) = 0;

    // From the stream of `authority`, transactions of applications above `since` are applied to the
    // other side; the other side's stream is watched. Conductor's call after the epoch is committed
    // and before the new authority's fence is opened. Idempotent.
    virtual Status become(Side authority, Position since) = 0;

    // The lease's generation that this process has taken on that side: the right to change the
    // authority's record (ControlStore). Empty while another process has it, and before the first
    // run.
    virtual std::optional<std::int64_t> lease(Side side) const = 0;
    // This process is about to write records of that epoch: they are no surprise. Zero: no more.
    virtual void expect_change(std::uint64_t epoch) = 0;

    // Transactions in `stream_of`'s stream (a follower's) that are not the mover's, since the last
    // change of authority; zero is what a cutover demands.
    virtual std::uint64_t strays(Side stream_of) const = 0;
    // The first `count` of them do no harm any more: a verification that began after them has found
    // all rows equal.
    virtual Status strays_mended(Side stream_of, std::uint64_t count) = 0;

    // `role`: as whom `ask` asks; empty: it will not. Fails where a side lets the role not be used
    // so.
    virtual Result<std::unique_ptr<Twin>> open_twin(const std::string& role,
                                                    Clock::time_point deadline) = 0;

    // Compares every table in chunks under twins. Blocks. Goes on with a verification that was not
    // ended (a crash, a repair), else begins one; kept on both sides as it goes.
    virtual Result<Verification> verify(const VerifyRequest& request) = 0;
    // The one whose verdict stands, from the record: the last that ended, or one that has found a
    // difference already. Empty when there is none.
    virtual Result<std::optional<Verification>> verified() = 0;
    // Key refresh (DESIGN 5, R6) of the rows that it lists, from the authority, with an account on
    // both sides. The tables concerned then wait to be compared again by verify().
    virtual Result<RepairReport> repair(const std::string& asked_by) = 0;
    // On the operator's word only: where the stream stands still before a change that its table
    // does not take, it goes on without it, and so do later ones of those tables, until what the
    // authority has now is applied. The record says first that these tables differ; verify() then
    // compares them. Nothing where no table has stopped it.
    virtual Result<PassedOver> pass_stopped(const std::string& asked_by) = 0;
    // While copying: the tables that have stopped the stream are copied anew. Their names.
    virtual Result<std::vector<std::string>> copy_stopped_again() = 0;
    // What was mended because of that verification.
    virtual Result<std::vector<RepairRecord>> repairs(const std::string& verification) = 0;
    virtual std::uint64_t verify_rows_so_far() const = 0;
    // Zero ends it. Any thread.
    virtual void verify_in_background(std::uint64_t rows_per_second) = 0;
    virtual BackgroundVerification background() const = 0;
    // A read of these tables, which the authority of now has answered, has differed at that time:
    // their rows are compared in the background before the others, whether there are rounds or not.
    // Any thread; does not wait.
    virtual void suspect(const std::vector<Verification::TableName>& tables, WallTime seen_at) = 0;
    // None of them need be compared any more. Any thread; does not wait.
    virtual void suspect_none() = 0;
    // What has come of it.
    virtual std::vector<Suspect> suspects() const = 0;
    // While it is held, nothing of it is at work: no lock, no snapshot, no hold of the stream is
    // its own when this returns. Counted.
    virtual void hold_background(bool held) = 0;
};

// Defined in backfill/postgres/mover.cpp.
std::unique_ptr<Mover> make_postgres_mover(MoverSettings settings);

}  // namespace segue::backfill
