#include "tests/support/postgres_versions.hpp"

#include <cstdlib>
#include <vector>

#include "tests/support/process.hpp"

namespace segue::test {

namespace fs = std::filesystem;

namespace {

constexpr const char* debian_folder = "/usr/lib/postgresql";

fs::path versions_folder() {
    const char* named = std::getenv("SEGUE_POSTGRES_VERSIONS");
    return named == nullptr ? fs::path{} : fs::path{named};
}

// "pg_dump (PostgreSQL) 18.1 (Debian ...)" -> 18
int major_of(const fs::path& pg_dump) {
    const CommandResult told = run_command({{pg_dump, "--version"}});
    const std::size_t at = told.out.find(") ");
    return at == std::string::npos ? 0 : std::atoi(told.out.c_str() + at + 2);
}

}  // namespace

fs::path server_binaries(int major) {
    const std::string name = std::to_string(major);
    for (const fs::path& folder : {versions_folder(), fs::path{debian_folder}}) {
        if (folder.empty()) continue;
        const fs::path bin = folder / name / "bin";
        if (fs::exists(bin / "postgres") && fs::exists(bin / "initdb")) return bin;
    }
    return {};
}

fs::path dump_binaries(int major) {
    std::vector<fs::path> folders;
    if (!versions_folder().empty()) folders.push_back(versions_folder() / "tools");
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator{debian_folder, ignored}) {
        folders.push_back(entry.path() / "bin");
    }
    for (const fs::path& folder : folders) {
        if (fs::exists(folder / "pg_dump") && fs::exists(folder / "pg_restore") &&
            major_of(folder / "pg_dump") >= major) {
            return folder;
        }
    }
    return {};
}

std::string missing_for_pair(int source, int target) {
    const std::string remedy =
        "; tests/versions.sh FOLDER brings it, SEGUE_POSTGRES_VERSIONS=FOLDER tells where it is";
    for (const int major : {source, target}) {
        if (server_binaries(major).empty())
            return "no server of PostgreSQL " + std::to_string(major) + remedy;
    }
    if (dump_binaries(source).empty())
        return "no pg_dump that reads PostgreSQL " + std::to_string(source) + remedy;
    return {};
}

}  // namespace segue::test
