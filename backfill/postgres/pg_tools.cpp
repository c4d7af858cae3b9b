#include "backfill/postgres/pg_tools.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <vector>

extern char** environ;

namespace segue::backfill::postgres {

namespace {

constexpr const char* debian_folder = "/usr/lib/postgresql";
constexpr std::size_t version_output_max = 256;

// The first bytes that `program --version` prints; empty when it cannot be run.
std::string version_output(const std::string& program) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return {};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::string flag = "--version";
    std::string path = program;
    char* arguments[] = {path.data(), flag.data(), nullptr};
    pid_t child = 0;
    const int failed = posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    std::string output;
    if (failed == 0) {
        char buffer[version_output_max];
        const ssize_t size = read(ends[0], buffer, sizeof buffer);
        if (size > 0) output.assign(buffer, static_cast<std::size_t>(size));
        waitpid(child, nullptr, 0);
    }
    close(ends[0]);
    return output;
}

// "pg_dump (PostgreSQL) 15.20 (Debian ...)" -> 15; zero when it does not look like that.
int major_version(const std::string& output) {
    const std::size_t at = output.find(") ");
    return at == std::string::npos ? 0 : std::atoi(output.c_str() + at + 2);
}

std::vector<std::string> folders(const std::string& pg_bin) {
    if (!pg_bin.empty()) return {pg_bin};
    std::vector<std::string> found;
    // First, because in Debian's PATH there is only a wrapper, and of equal versions the first is
    // taken.
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator{debian_folder, ignored}) {
        found.push_back((entry.path() / "bin").string());
    }
    if (const char* path = std::getenv("PATH")) {
        std::istringstream parts{path};
        for (std::string part; std::getline(parts, part, ':');) found.push_back(part);
    }
    return found;
}

}  // namespace

Result<PgTools> find_pg_tools(const std::string& pg_bin, int server_version) {
    const int major_min = server_version / 10000;
    PgTools best;
    int newest_seen = 0;
    for (const std::string& folder : folders(pg_bin)) {
        PgTools tools{folder + "/pg_dump", folder + "/pg_restore", 0};
        if (access(tools.dump.c_str(), X_OK) != 0 || access(tools.restore.c_str(), X_OK) != 0)
            continue;
        tools.major = major_version(version_output(tools.dump));
        newest_seen = std::max(newest_seen, tools.major);
        if (tools.major >= major_min && tools.major > best.major) best = tools;
    }
    if (best.major > 0) return best;
    const std::string where =
        pg_bin.empty() ? "in PATH and " + std::string{debian_folder} + "/*/bin" : "in " + pg_bin;
    const std::string found =
        newest_seen == 0 ? "no pg_dump with pg_restore " + where
                         : "pg_dump " + std::to_string(newest_seen) + " is the newest " + where;
    return Error{Errc::refused,
                 found + "; the source needs version " + std::to_string(major_min) +
                     " or newer: install postgresql-client-" + std::to_string(major_min) +
                     ", or set [tools] pg_bin to its folder"};
}

}  // namespace segue::backfill::postgres
