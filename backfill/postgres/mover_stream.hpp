#pragma once
// One side's stream while a run of the mover lasts: its connections, its pipe, its two threads.

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include "backfill/postgres/applier.hpp"
#include "backfill/postgres/mover_link.hpp"
#include "backfill/postgres/stream_reader.hpp"

namespace segue::backfill::postgres {

class MoverStream {
public:
    struct Parts {
        Side side = Side::source;
        StoredProgress progress;
        std::int64_t generation = 0;  // Of the lease on the other side.
        std::uint64_t xid_reference = 0;
        bool alone = false;
        std::vector<std::string> publications;
        Visibility::Open open_authority;  // Another connection to `side`.
    };
    // `tables` are those of the other side. Everything referred to outlives it.
    MoverStream(Parts parts,
                MoverLink replication,
                MoverLink follower,
                const FollowerTables& tables,
                MoverShared& shared,
                TwinGuard& twins);
    ~MoverStream();  // Fails the pipe; the owner has interrupted the connections before.
    MoverStream(const MoverStream&) = delete;
    MoverStream& operator=(const MoverStream&) = delete;

    // Authority: applied from `since` on; else watched.
    void set_role(bool is_authority, Position since);
    void start_threads();
    void join();

    StreamPipe& pipe() { return pipe_; }
    StreamReader& reader() { return *reader_; }
    Applier& applier() { return *applier_; }
    Side side() const { return side_; }
    void set_xid_reference(std::uint64_t xid) { xid_reference_.store(xid); }

    // A position that the stream must carry to the other side to be proven. Never lower than one
    // before.
    void set_probe(Position probe) { probe_.store(std::max(probe_.load(), probe.value)); }
    bool proven() const { return probe_.load() != 0 && applier_->durable().value >= probe_.load(); }
    // Makes the applier write progress when the probe has arrived and that is still missing.
    void push_probe();

private:
    Side side_;
    std::atomic<std::uint64_t> xid_reference_;
    std::atomic<std::uint64_t> probe_{0};
    RelationTable relations_;
    StreamPipe pipe_;
    MoverLink replication_, follower_;
    std::unique_ptr<Applier> applier_;
    std::unique_ptr<StreamReader> reader_;
    std::thread threads_[2];
};

}  // namespace segue::backfill::postgres
