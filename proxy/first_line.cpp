#include "proxy/first_line.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace segue::proxy {

std::string why_unreadable(const std::string& file) {
    if (access(file.c_str(), R_OK) != 0) return std::generic_category().message(errno);
    std::error_code unknown;
    return std::filesystem::is_directory(file, unknown) ? std::generic_category().message(EISDIR)
                                                        : "";
}

Result<std::string> first_line(const std::string& file) {
    if (std::string why = why_unreadable(file); !why.empty())
        return Error{Errc::io, std::move(why)};
    std::ifstream input{file};
    std::array<char, first_line_max + 1> line{};
    const bool read = static_cast<bool>(input.getline(line.data(), line.size()));
    if (!read && input.gcount() == static_cast<std::streamsize>(first_line_max)) {
        return Error{Errc::too_large,
                     "its first line is longer than " + std::to_string(first_line_max) + " bytes"};
    }
    if (!read && input.bad()) return Error{Errc::io, "it cannot be read"};
    if (line[0] == '\0') return Error{Errc::bad_value, "its first line is empty"};
    return std::string{line.data()};
}

}  // namespace segue::proxy
