#pragma once
// Every live session: takes them from login, spreads them over the relay threads, and carries out what the
// conductor asks of all of them (Sessions). What happens to one session is relay.hpp (bytes) and
// move_session.hpp (its state).

#include <boost/asio/any_io_executor.hpp>

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "backfill/applied_position.hpp"
#include "proxy/gate_status.hpp"
#include "proxy/move_session.hpp"
#include "proxy/positions.hpp"
#include "proxy/session_sink.hpp"
#include "proxy/sessions.hpp"
#include "proxy/traffic.hpp"

namespace segue::proxy {

class RelayThread;
class SessionDirectory;

struct RegistrySettings {
    int relay_threads = 1;
    GatePolicy gate;
};

// What the registry uses and does not own; all of it outlives the registry.
struct RegistryPeers {
    boost::asio::any_io_executor control;  // The control plane's single thread.
    Traffic* traffic = nullptr;            // hold and release set `holding`, set_gate sets `gate_closed`.
    BackendOpener* opener = nullptr;
    Positions* positions = nullptr;                          // Null: no gate.
    backfill::AppliedPosition* applied[2] = {nullptr, nullptr};  // By index(side) of the stream; null: no gate.
};

class SessionRegistry : public Sessions, public SessionSink, public CancelTargets {
public:
    SessionRegistry(RegistrySettings settings, RegistryPeers peers);
    ~SessionRegistry() override;  // stop()

    void start();  // Starts the relay threads.
    // Ends every session with 57P01 and joins the threads. The control plane must still run.
    void stop();

    const GateStatus& gate_status() const;

    Handover adopt(std::unique_ptr<Session>& session, std::uint64_t epoch, std::string& greeting) override;
    std::optional<CancelTarget> cancel(std::int32_t client_pid, std::string_view key) override;

    SessionsReport report() const override;
    ShadowReport shadow_report() const override;
    ShiftReport shift_report() const override;
    std::vector<int> backend_pids(Side side) const override;
    Status prestage(Side side, Clock::time_point deadline) override;
    Status hold(Side side, Clock::time_point drain_deadline) override;
    Status drain_notifications(const std::string& channel, Clock::time_point deadline) override;
    bool any_listening() const override;
    void swap(Side side) override;
    WaitReport release() override;
    void set_gate(bool closed) override;
    void drop_other_connections() override;

private:
    RegistrySettings settings_;
    RegistryPeers peers_;
    std::unique_ptr<GateStatus> gate_status_;
    std::unique_ptr<SessionDirectory> directory_;
    std::vector<std::unique_ptr<RelayThread>> threads_;
};

}  // namespace segue::proxy
