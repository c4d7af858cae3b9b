#pragma once
// One thread of the data plane: a loop that owns its sessions. In steady state one system call
// waits for a batch of sockets, and nothing is allocated or locked for a message. Where the kernel
// permits, that call is io_uring's and brings the bytes with it (socket_ring.hpp); everything else,
// and all of it elsewhere, is epoll's.
//
// Other threads talk to it by posting tasks; functions marked [own] are for tasks (and for tests,
// which call `turn` themselves instead of `start`).

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "backfill/applied_position.hpp"
#include "proxy/end_log.hpp"
#include "proxy/gate_status.hpp"
#include "proxy/lone_session.hpp"
#include "proxy/positions.hpp"
#include "proxy/relay.hpp"
#include "proxy/session_directory.hpp"
#include "proxy/session_sink.hpp"
#include "proxy/traffic.hpp"

namespace segue::proxy {

class SocketRing;
struct RingCompletion;

inline constexpr int events_per_turn_max = 256;
inline constexpr std::size_t scratch_size = 64 * 1024;
inline constexpr std::size_t releases_per_turn_max = 32;  // Paces the end of a hold.
inline constexpr std::chrono::milliseconds tick{
    20};  // While a hold, or a gate that holds something, needs one.
inline constexpr std::chrono::milliseconds mark_refreshed_after{100};

// What a relay thread uses and does not own.
struct RelayPeers {
    SessionDirectory* directory = nullptr;
    const Traffic* traffic = nullptr;                            // Null: never paced.
    Positions* positions = nullptr;                              // Null: no gate.
    backfill::AppliedPosition* applied[2] = {nullptr, nullptr};  // By index(side) of the stream.
    GateStatus* gate_status = nullptr;
    GatePolicy gate_policy;
    Reads* reads = nullptr;    // Null: no read is shadowed or shifted.
    Shadow* shadow = nullptr;  // Null: none is shadowed.
    // Gets the follower's connection of that session into the session's state, some time.
    std::function<void(std::uint64_t)> prepare;
    bool ring = true;                      // Receive by io_uring where it is to be had.
    std::chrono::microseconds look{0};     // Of LoneSession, with io_uring only.
    std::atomic<bool>* looking = nullptr;  // Likewise; null: never.
    // Development: how often a session is moved at a boundary, and who prepares it.
    int move_percent = 0;
    std::function<void(std::uint64_t)> move;
};

// What a thread's sessions wait for, or let others wait for.
struct ThreadSurvey {
    std::vector<Pin> long_busy;  // Busy for longer than long_busy_min.
    std::size_t answers_waiting = 0;
    std::chrono::milliseconds longest_answer_wait{0};
};

struct ReleaseReport {
    std::chrono::microseconds longest_wait{0};
    std::uint64_t requests_dropped = 0;
};

class RelayThread {
public:
    using Clock = std::chrono::steady_clock;
    using Task = std::packaged_task<void(RelayThread&)>;
    // Gets the session at its boundary, or null when it has gone or may not be lent any more.
    using LendReceiver = std::function<void(std::unique_ptr<Session>)>;

    explicit RelayThread(RelayPeers peers);
    ~RelayThread();  // Stops and joins; closes every session.

    void start();
    void stop();
    // Any thread. Tasks run in order. Those posted after stop() are not run: their futures break.
    void post(Task task);
    std::size_t session_count() const { return session_count_.load(std::memory_order_relaxed); }
    // That have ended in sessions of this thread, as of the last survey. Any thread.
    std::uint64_t transactions() const { return transactions_.load(std::memory_order_relaxed); }
    // The same of the requests that servers answered, and of the errors among the answers.
    std::uint64_t requests() const { return requests_.load(std::memory_order_relaxed); }
    std::uint64_t errors() const { return errors_.load(std::memory_order_relaxed); }

    // [own] One turn of the loop; waits for events up to `timeout`, negative: for ever.
    void turn(std::chrono::milliseconds timeout);

    // [own] Takes a session whose directory entry exists. `greeting` goes to its client.
    void adopt(std::unique_ptr<Session> session, const std::string& greeting);
    // [own] Every session but those passed through stops at its next boundary. Once more: those
    // that have been let in meanwhile, too.
    void hold();
    // [own] During a hold: who comes from now on goes on until `hold` is called once more. What is
    // waited for may be waiting for it.
    void admit() { admitting_ = holding_; }
    // [own] Ends it, in paced steps; `done` hears when the last one is on its way.
    void release(std::promise<ReleaseReport> done);
    // [own] The session is handed over at its next boundary; null when that has not come by
    // `until`, give or take a tick.
    void lend(std::uint64_t id,
              LendReceiver receiver,
              Clock::time_point until = Clock::time_point::max());
    // [own] Who still waits for a session gets null.
    void cancel_lends();
    // [own] Returns a lent session. Null: it has ended with the control plane.
    void take_back(std::uint64_t id,
                   std::unique_ptr<Session> session,
                   const std::string& for_client);
    // [own] The same for a lent session whose server's connection cannot be used any more: its
    // client hears `last_words`.
    void give_up(std::uint64_t id, std::unique_ptr<Session> session, const std::string& last_words);
    // [own] Runs `use` with the session if it is here and alive; for what is not in the way of its
    // bytes.
    void with_session(std::uint64_t id, const std::function<void(Session&)>& use);
    // [own]
    bool is_stopped(std::uint64_t id) const;
    // [own] Tells the directory what with_session has changed.
    void note_backends(std::uint64_t id);
    // [own] All held sessions go on on `side`; one that cannot is ended with 57P01. Returns how
    // many were.
    std::size_t swap(Side side);
    // [own] The end of what RelayPeers::move began: the session goes on, on its other connection if
    // it is `ready`.
    void end_forced_move(std::uint64_t id, bool ready);
    // [own] Closes what is connected to the side that does not answer.
    void drop_others();
    // [own] A cancel request of its client. Empty: the request that waits in Segue, or runs at the
    // follower, was answered with 57014 here. Else who is to be told, and until cancel_ended the
    // session is lent to nobody.
    std::optional<CancelTarget> cancel(std::uint64_t id);
    // [own]
    void cancel_ended(std::uint64_t id);
    enum class Whom : std::uint8_t { everyone, those_of_the_migration };
    // [own] They hear `last_words`, and their connections are closed.
    void end_all(const std::string& last_words, Whom whom);
    // [own]
    void set_gate(bool closed);
    // [own] Sessions of this thread that the change concerns and that shall be held and are not, by
    // pid.
    std::vector<Pin> not_held() const;
    // [own] What keeps this session from its boundary, and for how long already.
    Pin busy(std::uint64_t id) const;
    // [own]
    ThreadSurvey survey();

private:
    struct Slot;
    // One socket: what epoll watches (-1 and 0 when nothing), and whether the ring reads it.
    struct Watched {
        int fd = -1;
        std::uint32_t events = 0;
        bool once = false;  // Edge-triggered. Not with TLS, which does not say when it has emptied
                            // the socket.
        bool receiving = false;
        bool cancelling = false;  // `receiving` is about to end.
    };
    // What was asked of Positions at the end of a turn.
    struct Asked {
        std::uint64_t turn = 0;
        std::uint64_t request = 0;
    };

    void run();
    void begin_turn();
    void take_events(std::chrono::milliseconds timeout);
    void take_epoll_events(std::chrono::milliseconds timeout);
    void take_completion(const RingCompletion& completion);
    void tell(Slot& slot, bool server, std::uint32_t events);
    std::uint32_t watch_by_ring(Watched& watched,
                                Transport* transport,
                                std::uint32_t wanted,
                                std::uint64_t key);
    void leave_ring(Slot& slot);
    void cancel_server_receive(Slot& slot);
    void remove_away(Slot& slot);
    void forget_in_ring(Slot& slot);
    void bury();
    void open_ring();
    void use_ring(Slot& slot);
    void close_ring();
    void drain_wake_ups();
    void settle(Slot& slot);
    void end_lend(Slot& slot);
    Pin busy(const Slot& slot) const;
    void watch(Slot& slot);
    void change_server(Slot& slot);
    void on_stopped(Slot& slot);
    bool is_held(const Slot& slot) const;
    void stop_if_wanted(Slot& slot);
    void force_move_sometimes(Slot& slot);
    void count_transactions(Slot& slot);
    void tell_end(const Slot& slot, EndCause cause);
    void remove(Slot& slot);
    void resume_buffered();
    void release_some();
    void on_tick();
    bool needs_tick() const;
    void pace() const;
    Slot* find(std::uint64_t id);

    void refresh_reads();
    void subscribe_if_needed();
    void give_up_waiting_reads();
    void end_turn();
    void take_tokens();
    void apply_gate();
    void watch_bound();
    void refresh_mark();
    bool gate_holds() const;

    RelayPeers peers_;
    int epoll_fd_ = -1;
    int wake_fd_ = -1;
    std::unique_ptr<SocketRing> ring_;  // Null: epoll alone.
    bool ring_asked_for_ = false;
    LoneSession lone_;
    EndLog end_log_;
    std::thread thread_;
    std::atomic<std::size_t> session_count_{0};

    std::mutex inbox_mutex_;
    std::vector<Task> inbox_;
    bool stopped_ = false;  // Guarded by inbox_mutex_; set by stop().

    std::vector<std::byte> scratch_;
    Turn turn_;
    std::unordered_map<std::uint64_t, std::unique_ptr<Slot>> slots_;
    std::vector<std::unique_ptr<Slot>>
        graveyard_;                // Gone in this turn; later events of it may still name them.
    std::vector<Slot*> buffered_;  // TLS input without readiness.
    std::size_t lends_waiting_ = 0;
    std::minstd_rand dice_;  // Of forced moves.
    Clock::time_point ticked_at_{};
    bool holding_ = false;
    bool admitting_ = false;  // In a hold.

    std::vector<std::uint64_t> releasing_;
    std::promise<ReleaseReport> release_done_;
    ReleaseReport release_report_;
    bool release_pending_ = false;
    std::uint64_t requests_dropped_ = 0;  // In this hold.
    std::atomic<std::uint64_t> transactions_{0}, requests_{0}, errors_{0};

    std::optional<ThreadReads> reads_;
    bool shift_wanted_ = false;
    bool subscribed_ = false;  // To positions and the follower's progress.
    bool gate_wanted_ = false;
    bool gate_applied_ = false;
    std::vector<Asked> asked_[2];  // By index(side), oldest first.
    std::vector<Slot*> gated_;     // Sessions with held answers.
    std::uint64_t recovery_request_ =
        0;  // Of a degraded gate: the token that tells that the follower has caught up.
    Side recovery_side_ = Side::source;
    Side last_gated_side_ = Side::source;
    Clock::time_point mark_asked_at_{};
};

}  // namespace segue::proxy
