#pragma once
// The configuration of a running program, and what it takes over from its file when it is told to
// read it again (SIGHUP).

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "proxy/config.hpp"

namespace segue::proxy {

// Any thread. Whoever asks keeps what he got for as long as he needs it in one piece.
class CurrentConfig {
public:
    explicit CurrentConfig(Config config);
    std::shared_ptr<const Config> get() const;
    void set(Config config);

private:
    mutable std::mutex mutex_;
    std::shared_ptr<const Config> config_;
};

struct Reload {
    Config config;                   // The running one with what was taken over.
    std::vector<std::string> taken;  // "[section] key", of those that differ.
    std::vector<std::string> at_next_start;
};

// Pure. Never makes the running program less protected than both files say: the tokens of an admin
// address that is to change stay with the address.
Reload take_over(const Config& running, const Config& read);

// For people: what a reload has done.
std::string tell_reload(const Reload& reload);

}  // namespace segue::proxy
