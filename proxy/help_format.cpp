#include "proxy/help_format.hpp"

#include <algorithm>

namespace segue::proxy {

namespace {

constexpr std::size_t name_indent = 2;
constexpr std::size_t text_column = 19;

// A name, and beside it what it means; below it when the name is too long.
std::string entry(const std::string& name, const std::string& text) {
    std::string line = std::string(name_indent, ' ') + name;
    if (line.size() + 2 > text_column) {
        line += "\n" + std::string(text_column, ' ');
    } else {
        line.resize(text_column, ' ');
    }
    return line + wrapped(text, text_column, text_column) + "\n";
}

std::string first_sentence(const std::string& text) {
    const std::size_t end = text.find(". ");
    return end == std::string::npos ? text : text.substr(0, end + 1);
}

}  // namespace

std::string wrapped(const std::string& text, std::size_t first, std::size_t indent) {
    std::string result;
    std::size_t column = first;
    bool line_begins = true;
    std::size_t at = 0;
    while (at < text.size()) {
        const char c = text[at];
        if (c == '\n') {
            result += c;
            column = 0;
            line_begins = true;
            ++at;
            continue;
        }
        if (c == ' ') {
            ++at;
            continue;
        }
        const std::size_t end = std::min(text.find_first_of(" \n", at), text.size());
        if (!line_begins && column + 1 + (end - at) > help_width) {
            result += "\n" + std::string(indent, ' ');
            column = indent;
        } else if (!line_begins) {
            result += ' ';
            ++column;
        }
        result.append(text, at, end - at);
        column += end - at;
        line_begins = false;
        at = end;
    }
    return result;
}

std::string HelpFormat::make_description(const CLI::App* app) const {
    return wrapped(app->get_description(), 0, 0) + "\n";
}

std::string HelpFormat::make_usage(const CLI::App* app, std::string) const {
    const bool is_verb = app->get_parent() != nullptr;
    const std::string verb = is_verb ? app->get_name() : "VERB";
    std::string usage = "\nUsage: segue --config FILE [--json] " + verb;
    for (const CLI::Option* option : app->get_options()) {
        if (option->get_positional()) usage += " " + option->get_name(true, false);
    }
    // Each verb has --help.
    const bool has_options = is_verb && app->get_options([](const CLI::Option* option) {
                                               return option->nonpositional();
                                           }).size() > 1;
    if (has_options) usage += " [OPTIONS]";
    return usage + "\n";
}

std::string HelpFormat::make_subcommand(const CLI::App* verb) const {
    return entry(verb->get_name(), first_sentence(verb->get_description()));
}

std::string HelpFormat::make_option(const CLI::Option* option, bool is_positional) const {
    std::string name =
        is_positional ? option->get_name(true, false) : option->get_name(false, true);
    // The type's name without what CLI11 says of the checks: the text does.
    const std::string type = option->get_type_name();
    if (!is_positional && option->get_type_size() != 0)
        name += " " + type.substr(0, type.find(':'));
    return entry(name, option->get_description());
}

std::string HelpFormat::make_footer(const CLI::App* app) const {
    if (app->get_parent() != nullptr)
        return "--config FILE and --json may stand before or after the verb. See also `segue "
               "--help`.\n";
    return wrapped(app->get_footer(), 0, 0) + "\n";
}

}  // namespace segue::proxy
