#include "tests/support/segue_process.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>

namespace segue::test {

namespace fs = std::filesystem;
using std::chrono::seconds;

namespace {

constexpr std::size_t log_shown_max = 6000;

std::string program() {
    const char* override_path = std::getenv("SEGUE_BINARY");
    return override_path != nullptr ? override_path : SEGUE_BINARY;
}

std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }

}  // namespace

SegueProcess::SegueProcess(const SegueOptions& options)
    : port_(free_port()),
      admin_port_(free_port()),
      folder_(make_folder("segue-run")),
      config_(folder_ / "segue.toml"),
      environment_(options.environment) {
    std::vector<std::pair<std::string, std::string>> lines = {
        {"migration", "name = " + quoted(options.migration)},
        {"listen", "address = \"127.0.0.1:" + std::to_string(port_) + "\""},
        {"admin", "address = \"127.0.0.1:" + std::to_string(admin_port_) + "\""},
        {"source", "url = " + quoted(options.source_url)},
        {"target", "url = " + quoted(options.target_url)},
    };
    lines.insert(lines.end(), options.lines.begin(), options.lines.end());
    std::string text;
    for (const char* section : {"migration",
                                "ddl",
                                "listen",
                                "admin",
                                "source",
                                "target",
                                "[credentials]",
                                "tables",
                                "mirror",
                                "cutover",
                                "shadow",
                                "sessions",
                                "limits",
                                "development",
                                "tools"}) {
        std::string body;
        for (const auto& [of, line] : lines) {
            if (of == section) body += line + "\n";
        }
        if (!body.empty()) text += "[" + std::string{section} + "]\n" + body;
    }
    write_file(config_, text);
}

SegueProcess::~SegueProcess() {
    process_ = Child{};
    if (testing::Test::HasFailure()) {
        keep_failure_output();
        return;  // The folder stays for a look.
    }
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
}

void SegueProcess::launch(const std::string& crash_at) {
    auto environment = environment_;
    if (!crash_at.empty()) environment.emplace_back("SEGUE_CRASH_AT", crash_at);
    process_ =
        Child{{{program(), "--config", config_, "run"}, environment}, folder_ / "log", SIGKILL};
}

void SegueProcess::run(const std::string& crash_at) {
    launch(crash_at);
    const bool ready =
        eventually(seconds{20}, [&] { return !process_.running() || status().has_value(); });
    // With a crash point it may be gone already, as asked for.
    if (!ready || (crash_at.empty() && !process_.running()))
        FAIL() << "segue run does not answer; its log:\n" << log();
}

void SegueProcess::kill() {
    process_.signal(SIGKILL);
    process_.wait(seconds{10});
}

int SegueProcess::terminate(seconds limit) {
    process_.signal(SIGTERM);
    return process_.wait(limit);
}

CommandResult SegueProcess::verb(const std::vector<std::string>& arguments, seconds timeout) const {
    Command command{{program(), "--config", config_}, environment_};
    command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
    command.timeout = timeout;
    return run_command(command);
}

CommandResult SegueProcess::expect_done(const std::vector<std::string>& arguments,
                                        seconds timeout) const {
    CommandResult result = verb(arguments, timeout);
    if (result.exit_code != 0) {
        ADD_FAILURE() << "segue " << arguments[0] << " ended with " << result.exit_code
                      << (result.timed_out ? " (timeout)" : "") << "\n"
                      << result.err << result.out;
    }
    return result;
}

bool SegueProcess::until_done(const std::vector<std::string>& arguments) const {
    CommandResult last;
    const bool done = eventually(seconds{120}, [&] {
        last = verb(arguments);
        return last.exit_code == 0;
    });
    EXPECT_TRUE(done) << "segue " << arguments[0] << ": " << last.err << last.out;
    return done;
}

std::optional<nlohmann::json> SegueProcess::status() const {
    const auto body = http_get(admin_port_, "/status");
    if (!body) return std::nullopt;
    nlohmann::json parsed = nlohmann::json::parse(*body, nullptr, false);
    if (parsed.is_discarded()) return std::nullopt;
    return parsed;
}

bool SegueProcess::wait_status(const std::string& path,
                               const nlohmann::json& value,
                               seconds limit) {
    const nlohmann::json::json_pointer pointer{path};
    nlohmann::json last;
    const bool reached = eventually(limit, [&] {
        const auto now = status();
        if (now) last = *now;
        return now && now->contains(pointer) && (*now)[pointer] == value;
    });
    if (!reached)
        ADD_FAILURE() << path << " is not " << value << "; last status:\n" << last.dump(1);
    return reached;
}

bool SegueProcess::wait_consistent(seconds limit) {
    return wait_status("/backfill/state", "consistent", limit);
}

std::string SegueProcess::url(const std::string& database,
                              const std::string& user,
                              const std::string& password) const {
    return "postgresql://" + user + ":" + password + "@127.0.0.1:" + std::to_string(port_) + "/" +
           database;
}

long SegueProcess::memory_peak_kb() const {
    const std::string status = read_file("/proc/" + std::to_string(pid()) + "/status");
    const std::size_t at = status.find("VmHWM:");
    return at == std::string::npos ? 0 : std::atol(status.c_str() + at + 6);
}

std::size_t SegueProcess::open_files() const {
    std::error_code gone;
    const fs::directory_iterator files{"/proc/" + std::to_string(pid()) + "/fd", gone};
    return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

void SegueProcess::keep_failure_output() const {
    const std::string text = log();
    const std::size_t from = text.size() > log_shown_max ? text.size() - log_shown_max : 0;
    std::cerr << "--- end of " << (folder_ / "log") << "\n" << text.substr(from) << "---\n";
}

std::optional<std::string> http_get(int port, const std::string& path) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit{10 * busy_factor, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    std::string answer;
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
        const std::string request =
            "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(request.size())) {
            char buffer[65536];
            for (ssize_t size = 0; (size = recv(fd, buffer, sizeof buffer, 0)) > 0;) {
                answer.append(buffer, static_cast<std::size_t>(size));
            }
        }
    }
    close(fd);
    const std::size_t body = answer.find("\r\n\r\n");
    const bool good = answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.0 200");
    if (!good || body == std::string::npos) return std::nullopt;
    return answer.substr(body + 4);
}

}  // namespace segue::test
