#pragma once
// The real program under test: writes a configuration, runs `segue run` and its verbs, kills and
// restarts it.

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/process.hpp"

namespace segue::test {

struct SegueOptions {
    std::string source_url, target_url;
    std::string migration = "segue";
    // Further lines by section, e.g. {"cutover", "drain_ms = 500"}.
    std::vector<std::pair<std::string, std::string>> lines = {};
    std::vector<std::pair<std::string, std::string>> environment = {};  // Added to ours.
};

class SegueProcess {
public:
    explicit SegueProcess(const SegueOptions& options);
    ~SegueProcess();  // SIGKILL; prints the end of the log when the test has failed.

    // Starts `segue run` and waits until the admin address answers. `crash_at`: SEGUE_CRASH_AT.
    void run(const std::string& crash_at = "");
    // Starts it without waiting: for programs that are expected to refuse or to die early.
    void launch(const std::string& crash_at = "");
    void kill();  // SIGKILL, and waits.
    int terminate(std::chrono::seconds limit = std::chrono::seconds{
                      20});  // SIGTERM; the exit code, or -1.
    bool running() { return process_.running(); }
    // Waits until it has ended by itself, e.g. at a crash point.
    bool wait_for_end(std::chrono::seconds limit) { return process_.wait(limit) >= 0; }

    // `segue --config FILE verb ...`, ended by force after busy_factor times that.
    CommandResult verb(const std::vector<std::string>& arguments,
                       std::chrono::seconds timeout = std::chrono::seconds{120}) const;
    // As verb; the running test fails unless it ends with 0.
    CommandResult expect_done(const std::vector<std::string>& arguments,
                              std::chrono::seconds timeout = std::chrono::seconds{120}) const;

    // For tests of something else: on a busy machine a hold may have to be given up, a stream may
    // just be away, and an operator would try again. The running test fails when it never succeeds.
    bool until_done(const std::vector<std::string>& arguments) const;
    bool change(const std::string& verb) const { return until_done({verb}); }

    // GET /status; nullopt when nobody answers.
    std::optional<nlohmann::json> status() const;
    // Polls status until backfill.state is "consistent"; a test failure with the last status
    // otherwise.
    bool wait_consistent(std::chrono::seconds limit = std::chrono::seconds{120});
    // Polls status until `path` (a JSON pointer) has that value.
    bool wait_status(const std::string& path,
                     const nlohmann::json& value,
                     std::chrono::seconds limit = std::chrono::seconds{60});

    // Where clients connect.
    std::string url(const std::string& database = "postgres",
                    const std::string& user = "postgres",
                    const std::string& password = "postgres") const;
    int port() const { return port_; }
    int admin_port() const { return admin_port_; }
    pid_t pid() const { return process_.pid(); }
    long memory_peak_kb() const;  // The most that the running process ever had.
    std::size_t open_files() const;
    const std::filesystem::path& config() const { return config_; }
    const std::filesystem::path& folder() const { return folder_; }
    std::string log() const { return read_file(folder_ / "log"); }
    void keep_failure_output() const;  // The end of the log to standard error.

private:
    int port_ = 0, admin_port_ = 0;
    std::filesystem::path folder_, config_;
    std::vector<std::pair<std::string, std::string>> environment_;
    Child process_;
};

// The body of an HTTP answer from 127.0.0.1, nullopt when nobody answers with 200.
std::optional<std::string> http_get(int port, const std::string& path);

}  // namespace segue::test
