#include "backfill/crash_point.hpp"

#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string>

namespace segue::backfill {

namespace {

struct Wanted {
    std::string point;
    int times = 1;
};

Wanted parse(std::string_view text) {
    const std::size_t colon = text.find(':');
    Wanted wanted{std::string{text.substr(0, colon)}, 1};
    if (colon != std::string_view::npos) {
        std::from_chars(text.data() + colon + 1, text.data() + text.size(), wanted.times);
    }
    return wanted;
}

void print_once(std::string_view point) {
    static std::mutex mutex;
    static std::set<std::string, std::less<>> printed;
    const std::scoped_lock lock{mutex};
    if (printed.emplace(point).second)
        std::fprintf(stderr, "crash point %s\n", std::string{point}.c_str());
}

}  // namespace

void crash_point(std::string_view point) {
    static const char* const setting = std::getenv("SEGUE_CRASH_AT");
    if (setting == nullptr) return;
    static const Wanted wanted = parse(setting);
    if (wanted.point == "list") return print_once(point);
    if (wanted.point != point) return;
    static std::mutex mutex;
    static int reached = 0;
    const std::scoped_lock lock{mutex};
    if (++reached == wanted.times) kill(getpid(), SIGKILL);
}

}  // namespace segue::backfill
