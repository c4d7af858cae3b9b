#pragma once
// Prepares many sessions for the other side at once: for each a coroutine on the control plane,
// which opens the other connection while the client goes on, borrows the session at a boundary for
// one round trip, and restores its state on the other connection. The operator's thread waits.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/move_session.hpp"
#include "proxy/parcel.hpp"
#include "proxy/permits.hpp"
#include "proxy/relay_thread.hpp"
#include "proxy/session_directory.hpp"
#include "proxy/setting_names.hpp"
#include "proxy/type_map.hpp"
#include "router/side.hpp"

namespace segue::proxy {

// A login costs a server milliseconds of CPU: hundreds of sessions are prepared without a storm.
inline constexpr std::size_t moves_opening_max = 16;

// For an answer of a session's own server. Whoever asks has given up long before, and the change of
// authority with him; but a client is not lost because its server is slow: it waits, as it would
// for a statement of its own. Then its connection is ended.
inline constexpr std::chrono::minutes own_answer_wait_max{2};

enum class MoveEnd : std::uint8_t {
    ready,        // The other connection has the session's state as of its last boundary.
    gone,         // The session has ended.
    pinned,       // It holds state that cannot move.
    busy,         // No boundary for as long as was allowed.
    not_stopped,  // No boundary by the deadline, or somebody else prepares it.
    failed,       // The other side refused.
};

struct MoveOutcome {
    std::int32_t pid = 0;
    MoveEnd end = MoveEnd::gone;
    std::string why;
    bool not_restored = false;  // It failed because the other side refused the session's state.
    bool crowded =
        false;  // Nothing was done: too many others' temporary tables are in memory just now.
    bool not_connected = false;  // Nothing was done: the other connection was lost meanwhile.
};

// How often one attempt opens a session's other connection anew that was lost before it was used.
inline constexpr int reconnections_max = 3;

// Sessions whose temporary tables are in our memory at the same time: each may hold four times
// carry_temporary_kb.
inline constexpr std::size_t carrying_max = 16;

// What of a session's prepared statements is put onto the other side.
enum class Statements : std::uint8_t {
    all,
    usable,  // Those that its own server could still execute; the others when the client uses them.
             // To ask costs a round trip more, so only after a refusal.
};
// Temporary tables are carried when the session is to go on there, and pin it where only its reads
// might.
enum class Purpose : std::uint8_t { move, reads };

// Done once by who waits for many sessions, when it has taken so long.
struct Meanwhile {
    std::chrono::milliseconds after{0};
    std::function<void()> act;
};

// What is known of the servers besides their sessions. Null: nothing.
struct KnownOfServers {
    const TypeMap* types = nullptr;               // None are translated.
    const SettingNames* setting_names = nullptr;  // Only those are asked for that a session named.
};

class SessionMover {
public:
    using Clock = std::chrono::steady_clock;
    using Threads = std::vector<std::unique_ptr<RelayThread>>;

    // Coroutines use all until they end, or until `control` has stopped for good. `carry_size_max`:
    // of one session's temporary tables, in bytes; 0: none are carried.
    SessionMover(boost::asio::any_io_executor control,
                 BackendOpener* opener,
                 SessionDirectory& directory,
                 const Threads& threads,
                 std::size_t carry_size_max,
                 KnownOfServers known = {});

    // Operator's thread. Returns when every session is dealt with or the deadline has passed; what
    // is still being opened then goes on behind and is reported as failed. For a session's boundary
    // it waits `busy_max`, once its other connection is open.
    std::vector<MoveOutcome> prepare(const std::vector<std::uint64_t>& ids,
                                     Side side,
                                     Clock::time_point deadline,
                                     std::chrono::milliseconds busy_max,
                                     const Meanwhile& meanwhile = {});
    // Any thread; does not wait. One session, when its next boundary comes; what becomes of it is
    // seen in the session.
    void prepare_soon(std::uint64_t id, Side side, Clock::time_point deadline);
    // Any thread; does not wait. A session that its thread has stopped for a forced move: it is
    // prepared for the side that it is not on, and its thread is told whether it may swap
    // (RelayThread::end_forced_move).
    void move_soon(std::uint64_t id, Clock::time_point deadline);
    // Operator's thread, during a hold: see Sessions::drain_notifications.
    Status read_all_notifications(const std::string& channel, Clock::time_point deadline);

private:
    struct Batch;
    struct Glance;

    struct Attempt {
        Side side = Side::target;
        Clock::time_point deadline;
        std::chrono::milliseconds busy_max;
        Purpose purpose = Purpose::move;
        Statements statements = Statements::all;
    };

    boost::asio::awaitable<MoveOutcome> prepare_one(std::uint64_t id, Attempt wanted);
    boost::asio::awaitable<MoveOutcome> attempt(std::uint64_t id, Attempt wanted);
    boost::asio::awaitable<MoveOutcome> attempt_once(std::uint64_t id, Attempt wanted);
    boost::asio::awaitable<MoveOutcome> prepare_borrowed(std::uint64_t id,
                                                         RelayThread& thread,
                                                         Attempt wanted);
    boost::asio::awaitable<MoveOutcome> prepare_lent(std::unique_ptr<Session> session,
                                                     RelayThread& thread,
                                                     Attempt wanted,
                                                     Permit& carrying);
    boost::asio::awaitable<Probed> ask_state(Session& session, Attempt wanted);
    bool may_carry(const protocol::postgres::SessionState& state, Attempt wanted) const;
    boost::asio::awaitable<bool> carry_tables(Session& session, Probed& probed, Permit& carrying);
    boost::asio::awaitable<MoveOutcome> move(std::uint64_t id, Clock::time_point deadline);
    TypeIdsPointer type_ids() const {
        return known_.types == nullptr ? nullptr : known_.types->current();
    }
    boost::asio::awaitable<MoveOutcome> restore(
        RelayThread& thread,
        std::uint64_t id,
        Backend other,
        std::optional<protocol::postgres::SessionState> restored,
        protocol::postgres::SessionState wanted,
        Clock::time_point deadline);
    boost::asio::awaitable<MoveOutcome> listen_to(std::uint64_t id,
                                                  std::string channel,
                                                  Clock::time_point deadline);
    boost::asio::awaitable<std::unique_ptr<Session>> borrow(RelayThread& thread,
                                                            std::uint64_t id,
                                                            Clock::time_point until);
    boost::asio::awaitable<MoveOutcome> not_borrowed(RelayThread& thread,
                                                     std::uint64_t id,
                                                     Clock::time_point until);
    boost::asio::awaitable<Glance> glance(RelayThread& thread, std::uint64_t id, Side side);
    template <class Start>
    std::vector<MoveOutcome> run(const std::vector<std::uint64_t>& ids,
                                 Clock::time_point deadline,
                                 const Meanwhile& meanwhile,
                                 Start start);

    boost::asio::any_io_executor control_;
    BackendOpener* opener_;
    SessionDirectory& directory_;
    const Threads& threads_;
    std::size_t carry_size_max_;
    KnownOfServers known_;
    std::shared_ptr<Permits> permits_;
    std::shared_ptr<Permits> carrying_;
    std::shared_ptr<Turns> turns_;
};

}  // namespace segue::proxy
