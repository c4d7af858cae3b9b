#include "proxy/first_line.hpp"

#include <array>
#include <fstream>

namespace segue::proxy {

std::optional<std::string> first_line(const std::string& file) {
    std::ifstream input{file};
    std::array<char, first_line_max + 1> line{};
    if (!input.getline(line.data(), line.size()) || line[0] == '\0') return std::nullopt;
    return std::string{line.data()};
}

}  // namespace segue::proxy
