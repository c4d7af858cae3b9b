#pragma once
// Every live session: takes them from login, spreads them over the relay threads, and carries out
// what the conductor asks of all of them (Sessions). What happens to one session is relay.hpp
// (bytes) and move_session.hpp (its state).

#include <boost/asio/any_io_executor.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backfill/applied_position.hpp"
#include "proxy/gate_status.hpp"
#include "proxy/positions.hpp"
#include "proxy/relay_thread.hpp"
#include "proxy/session_directory.hpp"
#include "proxy/session_mover.hpp"
#include "proxy/session_sink.hpp"
#include "proxy/sessions.hpp"
#include "proxy/traffic.hpp"

namespace segue::proxy {

// Index of the thread that takes the next session, of those that have so many: where they have the
// fewest, but see RegistrySettings::sessions_before_last_thread.
std::size_t thread_for_next(std::span<const std::size_t> sessions, std::size_t before_last);

struct RegistrySettings {
    int relay_threads = 1;
    // The last of several threads gets no session before each of the others has as many.
    std::size_t sessions_before_last_thread = 0;
    bool io_uring = true;
    std::chrono::microseconds look{0};  // RelayPeers::look
    GatePolicy gate;
    std::size_t carry_temporary_max = 0;  // Config::carry_temporary_max
    int move_percent = 0;                 // Config::move_percent
};

// What the registry uses and does not own; all of it outlives the registry.
struct RegistryPeers {
    boost::asio::any_io_executor control;  // The control plane's single thread.
    Traffic* traffic = nullptr;  // hold and release set `holding`, set_gate sets `gate_closed`.
    BackendOpener* opener = nullptr;
    Positions* positions = nullptr;  // Null: no gate.
    backfill::AppliedPosition* applied[2] = {
        nullptr, nullptr};                  // By index(side) of the stream; null: no gate.
    Reads* reads = nullptr;                 // Null: no shadow and no shift.
    Shadow* shadow = nullptr;               // Null: no shadow.
    TypeMap* types = nullptr;               // Null: type OIDs are not translated.
    SettingNames* setting_names = nullptr;  // Null: only those that sessions name.
};

class SessionRegistry : public Sessions, public SessionSink, public CancelTargets {
public:
    SessionRegistry(RegistrySettings settings, RegistryPeers peers);
    ~SessionRegistry() override;  // stop()

    void start();  // Starts the relay threads.
    // Ends every session with 57P01 and joins the threads. From then on logins are told `changed`
    // for ever. The registry is destroyed when the control plane has stopped.
    void stop();

    const GateStatus& gate_status() const { return gate_status_; }
    // Sessions that a swap ended because they could not be moved, since the start.
    std::uint64_t sessions_ended() const { return sessions_ended_; }
    std::size_t session_count() const;

    Handover adopt(std::unique_ptr<Session>& session,
                   std::uint64_t epoch,
                   std::string& greeting) override;
    boost::asio::awaitable<std::optional<CancelTarget>> cancel(std::int32_t client_pid,
                                                               std::string key) override;
    void cancel_ended(const CancelTarget& target) override;

    SessionsReport report() const override;
    ShadowReport shadow_report() const override;
    ShiftReport shift_report() const override;
    std::vector<int> backend_pids(Side side) const override;
    Status prestage(Side side,
                    Clock::time_point deadline,
                    std::chrono::milliseconds busy_max) override;
    Status hold(Side side, Clock::time_point drain_deadline) override;
    Status drain_notifications(const std::string& channel, Clock::time_point deadline) override;
    bool any_listening() const override;
    void swap(Side side) override;
    WaitReport release() override;
    void set_gate(bool closed) override;
    void end_superseded() override;
    void drop_other_connections() override;

private:
    // Runs `task` in every relay thread and waits until all have.
    void on_all_threads(const std::function<void(RelayThread&)>& task);
    Status judge(const std::vector<MoveOutcome>& outcomes);
    // Stops the sessions from `first` on and prepares them; an Error where one does not come to
    // rest.
    Status drain(std::uint64_t first,
                 Side side,
                 Clock::time_point deadline,
                 const Meanwhile& meanwhile);
    void admit();
    bool end_admission();

    RegistrySettings settings_;
    RegistryPeers peers_;
    GateStatus gate_status_;
    std::atomic<bool> looking_{false};  // RelayPeers::looking
    SessionDirectory directory_;
    std::vector<std::unique_ptr<RelayThread>> threads_;
    SessionMover mover_;

    std::mutex adopting_;  // Makes a login and a hold, or a swap, see each other.
    bool holding_ = false;
    bool admitting_ = false;  // In a hold: logins are let in while it waits for others.
    std::uint64_t first_admitted_ = 0;
    std::atomic<bool> started_{false}, stopped_{false};
    std::uint64_t next_id_ = 1;
    std::atomic<std::uint64_t> requests_dropped_{0};
    std::atomic<std::uint64_t> sessions_ended_{0};  // By swaps, because they could not be moved.
    Clock::time_point held_at_{};
};

}  // namespace segue::proxy
