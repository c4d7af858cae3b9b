#pragma once
// Child processes of tests: commands that end by themselves, and long-running ones with a log file.
// Every child gets a death signal, so that a test that crashes leaves nothing running.

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace segue::test {

struct Account {  // Who a child runs as. Negative: as we do.
    int uid = -1;
    int gid = -1;
};

struct CommandResult {
    int exit_code = -1;  // 128 + signal when a signal ended it; -1 when it could not be run.
    std::string out;
    std::string err;
    bool timed_out = false;
};

struct Command {
    std::vector<std::string> arguments;  // The first is the program; searched in PATH.
    std::vector<std::pair<std::string, std::string>> environment = {};  // Added to ours.
    std::chrono::milliseconds timeout{60000};  // Times busy_factor; then SIGKILL.
    Account account = {};
};

CommandResult run_command(const Command& command);

// A child that runs until it is told to end. Standard output and error go to `log`, appended.
class Child {
public:
    Child() = default;
    Child(const Command& command, const std::filesystem::path& log, int death_signal);
    Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
    Child& operator=(Child&& other) noexcept;
    ~Child();  // SIGKILL.

    pid_t pid() const { return pid_; }
    bool running();
    void signal(int number) const;
    // The exit code as in CommandResult; -1 when it still runs after busy_factor
    // times that.
    int wait(std::chrono::milliseconds timeout);

private:
    pid_t pid_ = 0;
};

// A free port on 127.0.0.1 below the ephemeral range, not handed out before by this process, nor by
// another one that still lives and asks here, too.
int free_port();

// A new folder under the system's temporary folder; the caller removes it.
std::filesystem::path make_folder(const std::string& prefix);

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, const std::string& text);

// A limit says what an idle machine needs at most, and ends a test that hangs. A machine with
// twenty others at work has all the same to pass, so limits are so many times as long.
inline constexpr int busy_factor = 5;

void pause_between_polls();

// Polls `condition` every few milliseconds until it is true (then true) or exactly that time is
// over: for pauses. What is expected to become true is waited for by `eventually`.
template <class Condition>
bool within(std::chrono::milliseconds time, Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    for (;;) {
        if (condition()) return true;
        if (std::chrono::steady_clock::now() >= deadline) return false;
        pause_between_polls();
    }
}

// As `within`, with that factor.
template <class Condition>
bool eventually(std::chrono::milliseconds limit, Condition condition) {
    return within(limit * busy_factor, condition);
}

}  // namespace segue::test
