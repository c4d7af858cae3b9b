#pragma once
// One run of the mover: from taking the lease until the first failure or stop. Everything in it is
// derived from what is durable, so whatever goes wrong, the answer is a new run.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backfill/postgres/copy_plan.hpp"
#include "backfill/postgres/mover_authority.hpp"
#include "backfill/postgres/mover_link.hpp"
#include "backfill/postgres/mover_shared.hpp"
#include "backfill/postgres/mover_stream.hpp"
#include "backfill/postgres/store.hpp"
#include "backfill/postgres/twin_guard.hpp"

namespace segue::backfill::postgres {

class MoverRun {
public:
    // `alone`: the last run ended because a group could not be applied.
    MoverRun(MoverShared& shared, bool alone) : shared_(shared), alone_(alone) {}
    ~MoverRun();
    MoverRun(const MoverRun&) = delete;
    MoverRun& operator=(const MoverRun&) = delete;

    // Until it fails or is stopped; every thread has ended when it returns. The error says why.
    Error serve();
    // Any thread.
    void stop();
    void set_role(Side authority, Position since);
    void set_paused(bool paused);
    Status nudge(Side stream_of);
    StreamStatus stream_status(Side stream_of) const;
    // Both streams are live and proven, and everything is copied.
    bool ready() const;
    // The table whose change could not be applied, of the stream that failed. Valid after serve().
    const std::string& stopped_table() const { return stopped_table_; }
    // Likewise; see Applier.
    bool stopped_by_schema() const { return stopped_by_schema_; }
    bool ended_to_begin_anew() const { return begins_anew_; }

    // For twins and refreshes, which belong to a run; they keep it alive by shared ownership with
    // the mover. The stream of the authority; null when it is not there yet or no longer.
    std::shared_ptr<MoverStream> authority_stream() const;
    std::vector<Table> authority_tables() const {
        const std::lock_guard lock{mutex_};
        return authority_tables_;
    }
    // As they are now: read anew where a command has come to both sides since they were. Waits for
    // that; where it fails they are as they were.
    std::vector<Table> current_tables();
    std::int64_t generation(Side side) const { return generations_[index(side)]; }
    Interrupts& interrupts() { return interrupts_; }
    TwinGuard& twins() { return twins_; }
    // One look at all sequences, beside those of the run's own thread (mover_run_sequences.cpp).
    Status look_at_sequences();
    Result<MoverLink> link(Side side, LinkKind kind) {
        return MoverLink::open(shared_.identity, side, kind, interrupts_);
    }

private:
    Status set_up();
    Status take_leases();
    Status take_over();
    // `both`: a side that cannot be read is an error; else it says nothing.
    Result<Claims> read_claims(bool both);
    Status expect_authority(const Told& told, const Claims& claims);
    Status expect_authority_still();
    void note_lease(LeaseState lease);
    Status read_figures(Side side);
    Status check_servers();
    Result<std::shared_ptr<MoverStream>> make_stream(Side side);
    Status set_up_tables(StreamPipe* pipe);  // Null: nothing is copied any more.
    Status set_up_dropped(StreamPipe& pipe, const std::vector<StoredChunk>& stored);
    Result<bool> set_up_chunks(StreamPipe& pipe,
                               const Table& table,
                               const std::vector<StoredChunk>& loaded);
    Status open_reverse_stream();
    Status probe(MoverStream& stream);
    Status keep();
    Status read_changed_tables(bool at_once);
    void forget_stopped_tables();
    bool retained_log_is_over() const;
    Status yield_to_waiters(Side authority);
    std::optional<Error> first_failure() const;
    std::shared_ptr<MoverStream> stream(Side side) const;
    void close();
    Status look_at_sequences_once(const Told& told);
    // DDL (mover_run_ddl.cpp).
    Status renew_installed();
    Status know_authoritys_code();
    Status know_followers_code();
    Status keep_code_known();
    void keep_sequences();
    void end_sequences();

    // Copying (mover_run_copy.cpp).
    Status restore_keys();
    void copy_everything();
    Status copy_all();
    Status run_copiers();
    Result<bool> build_the_rest(StreamPipe& pipe);
    Result<Position> log_end(Side side);
    Status complete();
    Status create_reverse_slot();
    Status record_consistent();

    MoverShared& shared_;
    const bool alone_;
    Interrupts interrupts_;
    std::atomic<bool> stopping_{false};
    std::int64_t generations_[2] = {0, 0};
    std::optional<MoverLink> keepers_[2];
    std::mutex keeper_mutex_[2];
    FollowerTables tables_[2];
    std::vector<Table> authority_tables_;  // Guarded by mutex_ once copying is over.
    std::mutex tables_read_mutex_;  // Of these two, while the tables are read.
    std::uint64_t schema_changes_seen_ = 0;
    std::chrono::steady_clock::time_point next_tables_read_;
    bool captures_ddl_ = false;
    std::atomic<bool> followers_code_known_{false};
    TwinGuard twins_;
    std::uint64_t xid_reference_[2] = {0, 0};

    mutable std::mutex mutex_;  // Of streams_.
    std::shared_ptr<MoverStream> streams_[2];
    std::unique_ptr<CopyPlan> plan_;
    std::thread copying_, sequences_;
    std::mutex sequence_links_mutex_;
    std::optional<MoverLink> sequence_links_[2];  // Kept from one look to the next.
    std::mutex sequences_mutex_;
    std::condition_variable sequences_wake_;
    bool sequences_end_ = false;
    std::optional<Error> copy_failure_;  // Guarded by mutex_.
    std::string stopped_table_;
    bool stopped_by_schema_ = false, begins_anew_ = false;
    std::string record_lost_;  // What is known of a record that is older than it was.
};

}  // namespace segue::backfill::postgres
