// Arguments -> verb -> exit status.

#include <exception>
#include <iostream>
#include <variant>

#include "proxy/app.hpp"
#include "proxy/command_line.hpp"
#include "proxy/config.hpp"
#include "proxy/verbs.hpp"

namespace {

constexpr int failed = 1;
constexpr int configuration_error = 2;

int run(int argc, const char* const* argv) {
    using namespace segue::proxy;
    const auto parsed = parse_command_line(argc, argv);
    if (const int* code = std::get_if<int>(&parsed)) return *code;
    const Invocation& invocation = std::get<Invocation>(parsed);
    if (invocation.verb == "explain") return run_explain(invocation);
    const auto config = load_config(invocation.config_file, config_use(invocation));
    if (!config) {
        std::cerr << config.error().detail << "\n";
        return configuration_error;
    }
    return invocation.verb == "run" ? run_app(*config) : run_verb(invocation, *config);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::cerr << "segue: " << error.what() << "\n";
        return failed;
    }
}
