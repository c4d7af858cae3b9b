#pragma once
// PostgreSQL's own client programs (pg_dump, pg_restore) as child processes: argument vectors,
// never a shell; a password travels in the child's environment, never in its arguments.

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct ToolRun {
    std::vector<std::string> arguments;  // The first is the program's path.
    std::vector<std::pair<std::string, std::string>> environment = {};  // Added to ours.
    std::string output_file =
        {};  // Standard output goes there, readable by us alone. Empty: dropped.
    std::chrono::seconds time_max{6 * 3600};
    // Asked again and again while it runs; true ends it with Errc::timed_out.
    std::function<bool()> in_the_way = {};
};

// Waits for the end. A failure carries the last lines of what the program said.
Status run_tool(const ToolRun& run);

// A connection string split into what may be seen by everybody and the password.
struct ToolUrl {
    std::string without_password;
    std::string password;
};
Result<ToolUrl> split_password(const std::string& url);

// A new folder for us alone, removed with everything in it at the end.
class PrivateFolder {
public:
    static Result<PrivateFolder> create();
    PrivateFolder(PrivateFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    PrivateFolder& operator=(PrivateFolder&& other) noexcept {
        std::swap(path_, other.path_);
        return *this;
    }
    ~PrivateFolder();
    std::string file(const std::string& name) const { return path_ + "/" + name; }

private:
    explicit PrivateFolder(std::string path) : path_(std::move(path)) {}
    std::string path_;
};

}  // namespace segue::backfill::postgres
