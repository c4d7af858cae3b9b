#pragma once
// One thread's loop: reads one side's slot, decodes, and feeds the pipe. Tells the server what may
// be forgotten: only what is durable on the other side.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "backfill/postgres/applier.hpp"
#include "backfill/postgres/mover_link.hpp"
#include "backfill/postgres/stream_decoder.hpp"
#include "backfill/stream_pipe.hpp"

namespace segue::backfill::postgres {

class StreamReader {
public:
    struct Settings {
        std::string slot;
        std::vector<std::string> publications;
        Position restart;  // Durable: at or above what the slot was confirmed to.
    };
    // Everything referred to outlives it. `link` is of LinkKind::replication.
    StreamReader(StreamPipe& pipe,
                 MoverLink& link,
                 RelationTable& relations,
                 const std::atomic<std::uint64_t>& xid_reference,
                 const Applier& applier,
                 Settings settings);
    ~StreamReader();
    StreamReader(const StreamReader&) = delete;
    StreamReader& operator=(const StreamReader&) = delete;

    // Until the pipe fails; fails it on an error of its own.
    void run();
    // Any thread: asks the server where its log has been read to, and confirms without delay.
    void nudge();
    bool streaming() const { return streaming_.load(); }
    Position received() const { return Position{received_.load()}; }

private:
    Status loop();
    Status read_available();
    void let_gather();
    Status take(Bytes body);
    Status feed(StreamEvent event);
    Status confirm(bool reply_requested);
    Status wait_for_input();

    StreamPipe& pipe_;
    MoverLink& link_;
    StreamDecoder decoder_;
    const Applier& applier_;
    Settings settings_;
    int wake_fd_;
    std::chrono::steady_clock::time_point confirmed_at_, last_input_;
    std::chrono::microseconds gather_{0};
    Position confirmed_;
    std::atomic<bool> streaming_{false};
    std::atomic<std::uint64_t> received_{0};
};

}  // namespace segue::backfill::postgres
