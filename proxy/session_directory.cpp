#include "proxy/session_directory.hpp"

#include <openssl/crypto.h>

namespace segue::proxy {

void SessionDirectory::add(const Session& session, std::size_t thread) {
    Entry entry;
    entry.thread = thread;
    entry.client_pid = session.client_pid;
    entry.client_cancel_key = session.client_cancel_key;
    entry.client_tls = session.client.uses_tls();
    entry.passed_through = session.passed_through;
    entry.side = session.backend.side;
    entry.pid = session.backend.pid;
    const bool named = !session.passed_through || session.replication;
    if (!session.movable && named) entry.pin = session.immovable_because;

    const std::lock_guard lock{mutex_};
    if (!entry.pin.empty()) lasting_pins_.emplace(session.id, entry.pin);
    by_client_pid_.emplace(entry.client_pid, session.id);
    entries_.emplace(session.id, std::move(entry));
}

void SessionDirectory::remove(std::uint64_t id) {
    const std::lock_guard lock{mutex_};
    const auto found = entries_.find(id);
    if (found == entries_.end()) return;
    auto [at, end] = by_client_pid_.equal_range(found->second.client_pid);
    while (at != end && at->second != id) ++at;
    if (at != end) by_client_pid_.erase(at);
    lasting_pins_.erase(id);
    entries_.erase(found);
}

void SessionDirectory::update_backends(const Session& session) {
    const std::lock_guard lock{mutex_};
    const auto found = entries_.find(session.id);
    if (found == entries_.end()) return;
    Entry& entry = found->second;
    entry.side = session.backend.side;
    entry.pid = session.backend.pid;
    entry.other_pid = session.other ? session.other->pid : 0;
    entry.listening = session.other_state && !session.other_state->channels.empty();
}

void SessionDirectory::set_held(std::uint64_t id, bool held) {
    const std::lock_guard lock{mutex_};
    if (const auto found = entries_.find(id); found != entries_.end()) found->second.held = held;
}

void SessionDirectory::set_pin_of_pid(std::int32_t pid, std::string why) {
    const std::lock_guard lock{mutex_};
    for (auto& [id, entry] : entries_) {
        if (entry.pid != pid || entry.passed_through) continue;
        entry.pin = std::move(why);
        return;
    }
}

void SessionDirectory::clear_pins() {
    const std::lock_guard lock{mutex_};
    for (auto& [id, entry] : entries_) {
        const auto lasting = lasting_pins_.find(id);
        entry.pin = lasting == lasting_pins_.end() ? std::string{} : lasting->second;
    }
}

std::optional<std::pair<std::uint64_t, SessionDirectory::Entry>> SessionDirectory::find(
    std::int32_t client_pid, std::string_view key) const {
    const std::lock_guard lock{mutex_};
    const auto [begin, end] = by_client_pid_.equal_range(client_pid);
    for (auto at = begin; at != end; ++at) {
        const Entry& entry = entries_.at(at->second);
        const std::string& known = entry.client_cancel_key;
        if (known.size() == key.size() &&
            CRYPTO_memcmp(known.data(), key.data(), key.size()) == 0) {
            return std::pair{at->second, entry};
        }
    }
    return std::nullopt;
}

std::optional<SessionDirectory::Entry> SessionDirectory::entry(std::uint64_t id) const {
    const std::lock_guard lock{mutex_};
    const auto found = entries_.find(id);
    if (found == entries_.end()) return std::nullopt;
    return found->second;
}

std::vector<std::uint64_t> SessionDirectory::ids(std::uint64_t first) const {
    const std::lock_guard lock{mutex_};
    std::vector<std::uint64_t> ids;
    ids.reserve(entries_.size());
    for (const auto& [id, entry] : entries_) {
        if (!entry.passed_through && id >= first) ids.push_back(id);
    }
    return ids;
}

std::vector<int> SessionDirectory::backend_pids(Side side) const {
    const std::lock_guard lock{mutex_};
    std::vector<int> pids;
    for (const auto& [id, entry] : entries_) {
        if (entry.side == side) {
            pids.push_back(entry.pid);
        } else if (entry.other_pid != 0) {
            pids.push_back(entry.other_pid);
        }
    }
    return pids;
}

bool SessionDirectory::any_listening() const {
    const std::lock_guard lock{mutex_};
    for (const auto& [id, entry] : entries_) {
        if (entry.listening) return true;
    }
    return false;
}

SessionsReport SessionDirectory::report() const {
    const std::lock_guard lock{mutex_};
    SessionsReport report;
    report.total = entries_.size();
    for (const auto& [id, entry] : entries_) {
        if (entry.held) ++report.held;
        if (entry.pin.empty()) continue;
        ++report.pinned;
        if (report.pins.size() < pins_reported_max) report.pins.push_back({entry.pid, entry.pin});
    }
    return report;
}

}  // namespace segue::proxy
