#pragma once
// What other threads may know of the sessions that relay threads own: for cancel requests, reports
// and the conductor. Updated when a session comes, goes, moves or is held; never on the hot path.
// Thread-safe.

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "proxy/session.hpp"
#include "proxy/sessions.hpp"

namespace segue::proxy {

inline constexpr std::size_t pins_reported_max = 100;

class SessionDirectory {
public:
    struct Entry {
        std::size_t thread = 0;  // Of the relay thread that owns it.
        std::int32_t client_pid = 0;
        std::string client_cancel_key;
        bool client_tls = false;
        bool passed_through = false;
        Side side = Side::source;
        std::int32_t pid = 0;        // Of the backend that answers.
        std::int32_t other_pid = 0;  // On the other side; 0: none.
        bool held = false;
        bool listening = false;
        std::string pin;  // Why it cannot be moved; empty: nothing known against it.
    };

    void add(const Session& session, std::size_t thread);
    void remove(std::uint64_t id);
    // After a swap, or when the other connection has come or gone.
    void update_backends(const Session& session);
    void set_held(std::uint64_t id, bool held);
    void set_pin_of_pid(std::int32_t pid, std::string why);  // Of a serving backend.
    void clear_pins();  // But those that hold for ever: sessions that are not movable.

    // By what the client knows; keys are compared in constant time.
    std::optional<std::pair<std::uint64_t, Entry>> find(std::int32_t client_pid,
                                                        std::string_view key) const;
    std::optional<Entry> entry(std::uint64_t id) const;
    // Of sessions that a change of authority concerns: not those passed through. Ids grow with
    // time.
    std::vector<std::uint64_t> ids(std::uint64_t first = 0) const;
    std::vector<int> backend_pids(Side side) const;
    bool any_listening() const;
    SessionsReport report() const;

private:
    mutable std::mutex mutex_;
    std::unordered_map<std::uint64_t, Entry> entries_;
    std::unordered_map<std::uint64_t, std::string> lasting_pins_;
    // Pids of two servers may be equal: the keys decide.
    std::unordered_multimap<std::int32_t, std::uint64_t> by_client_pid_;
};

}  // namespace segue::proxy
