#include "backfill/postgres/tools.hpp"

#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>

extern char** environ;

namespace segue::backfill::postgres {

namespace {

constexpr std::size_t said_size_max = 4096;  // Of a child's error output we keep the end.
constexpr std::chrono::milliseconds look_interval{200};

struct Spawned {
    pid_t pid = 0;
    int errors = -1;  // The read end of the child's standard error.
};

Result<Spawned> spawn(const ToolRun& run) {
    std::vector<std::string> environment;
    for (char** entry = environ; *entry; ++entry) environment.emplace_back(*entry);
    for (const auto& variable : run.environment) {
        const std::string& key = variable.first;
        std::erase_if(environment, [&](const std::string& e) { return e.starts_with(key + "="); });
        environment.push_back(key + "=" + variable.second);
    }
    std::vector<char*> arguments, variables;
    for (const auto& argument : run.arguments)
        arguments.push_back(const_cast<char*>(argument.c_str()));
    for (const auto& variable : environment)
        variables.push_back(const_cast<char*>(variable.c_str()));
    arguments.push_back(nullptr);
    variables.push_back(nullptr);

    std::array<int, 2> pipe_ends{};
    if (pipe2(pipe_ends.data(), O_CLOEXEC) != 0)
        return Error{Errc::io, "no pipe for a child process"};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    const std::string output = run.output_file.empty() ? "/dev/null" : run.output_file;
    posix_spawn_file_actions_addopen(
        &actions, STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDERR_FILENO);
    Spawned child;
    const int failed = posix_spawn(&child.pid,
                                   run.arguments[0].c_str(),
                                   &actions,
                                   nullptr,
                                   arguments.data(),
                                   variables.data());
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_ends[1]);
    if (failed != 0) {
        close(pipe_ends[0]);
        return Error{Errc::io, "cannot run " + run.arguments[0] + ": " + std::strerror(failed)};
    }
    child.errors = pipe_ends[0];
    return child;
}

// What the child says until it closes its standard error; nullopt when it shall be ended.
std::optional<std::string> listen_to(int descriptor, const ToolRun& run) {
    const auto deadline = std::chrono::steady_clock::now() + run.time_max;
    std::string said;
    for (;;) {
        if (std::chrono::steady_clock::now() >= deadline) return std::nullopt;
        pollfd wait{descriptor, POLLIN, 0};
        if (poll(&wait, 1, static_cast<int>(look_interval.count())) <= 0) {
            if (run.in_the_way && run.in_the_way()) return std::nullopt;
            continue;
        }
        std::array<char, 4096> block{};
        const ssize_t size = read(descriptor, block.data(), block.size());
        if (size <= 0) return said;
        said.append(block.data(), static_cast<std::size_t>(size));
        if (said.size() > said_size_max) said.erase(0, said.size() - said_size_max);
    }
}

std::string one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

}  // namespace

Status run_tool(const ToolRun& run) {
    const auto child = spawn(run);
    if (!child) return child.error();
    const auto said = listen_to(child->errors, run);
    close(child->errors);
    if (!said) kill(child->pid, SIGKILL);
    int status = 0;
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!said)
        return Error{Errc::timed_out,
                     run.arguments[0] + " was ended: it took too long, or held up others"};
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Done{};
    return Error{Errc::io, run.arguments[0] + " failed: " + one_line(*said)};
}

Result<ToolUrl> split_password(const std::string& url) {
    char* message = nullptr;
    PQconninfoOption* options = PQconninfoParse(url.c_str(), &message);
    if (!options) {
        PQfreemem(message);  // It may repeat the URL, and with it the password.
        return Error{Errc::bad_value, "a server's URL cannot be read by libpq"};
    }
    ToolUrl split;
    for (const PQconninfoOption* option = options; option->keyword; ++option) {
        if (!option->val) continue;
        if (std::strcmp(option->keyword, "password") == 0) {
            split.password = option->val;
            continue;
        }
        if (!split.without_password.empty()) split.without_password.push_back(' ');
        split.without_password += std::string{option->keyword} + "='";
        for (const char* c = option->val; *c; ++c) {
            if (*c == '\'' || *c == '\\') split.without_password.push_back('\\');
            split.without_password.push_back(*c);
        }
        split.without_password.push_back('\'');
    }
    PQconninfoFree(options);
    return split;
}

Result<PrivateFolder> PrivateFolder::create() {
    std::error_code error;
    const std::filesystem::path base = std::filesystem::temp_directory_path(error);
    std::string path = ((error ? std::filesystem::path{"/tmp"} : base) / "segue-XXXXXX").string();
    if (!mkdtemp(path.data())) {
        return Error{Errc::io,
                     "cannot create a temporary folder " + path + ": " + std::strerror(errno)};
    }
    return PrivateFolder{std::move(path)};
}

PrivateFolder::~PrivateFolder() {
    if (path_.empty()) return;
    std::error_code ignored;  // Nothing can be done about it, and nothing depends on it.
    std::filesystem::remove_all(path_, ignored);
}

}  // namespace segue::backfill::postgres
