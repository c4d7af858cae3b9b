#pragma once
// How `--help` is laid out: nothing is wider than `help_width`, the verbs of the program's own help
// have one sentence each, and what holds for all verbs stands there only.

#include <CLI/CLI.hpp>
#include <cstddef>
#include <string>

namespace segue::proxy {

inline constexpr std::size_t help_width = 100;

// `text` in lines of at most help_width, the first one standing at column `first`, the others at
// `indent`. Line ends in the text stay. A word that is longer than a line gets a line of its own.
std::string wrapped(const std::string& text, std::size_t first, std::size_t indent);

class HelpFormat : public CLI::Formatter {
public:
    std::string make_description(const CLI::App* app) const override;
    std::string make_usage(const CLI::App* app, std::string name) const override;
    std::string make_subcommand(const CLI::App* verb) const override;
    std::string make_option(const CLI::Option* option, bool is_positional) const override;
    std::string make_footer(const CLI::App* app) const override;
};

}  // namespace segue::proxy
