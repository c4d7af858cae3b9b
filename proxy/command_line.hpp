#pragma once
// The command line: arguments -> an invocation, or the exit code with which to end at once. Help
// texts are here.

#include <nlohmann/json.hpp>

#include <string>
#include <variant>

namespace segue::proxy {

struct Invocation {
    std::string verb;
    std::string config_file;
    bool json = false;
    bool watch = false;                        // status
    std::string certificate_file, check_file;  // verify
    nlohmann::json arguments =
        nlohmann::json::object();  // The verb's, as the admin address takes them.
};

// Help and version end with 0, mistakes with 2; what is to be said has been printed then.
std::variant<Invocation, int> parse_command_line(int argc, const char* const* argv);

}  // namespace segue::proxy
