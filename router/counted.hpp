#pragma once
// Numbers as people are told them.

#include <concepts>
#include <string>
#include <string_view>

namespace segue {

// "1 row", "2 rows"; "1 session is", "2 sessions are".
template <std::integral Number>
std::string counted(Number number, std::string_view one, std::string_view many) {
    return std::to_string(number) + " " + std::string{number == 1 ? one : many};
}

}  // namespace segue
