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

constexpr std::string_view freeze = "freeze ";

struct Wanted {
    std::string point;
    int times = 1;
    int signal = SIGKILL;
};

Wanted parse(std::string_view text) {
    if (text.starts_with(freeze)) {
        Wanted wanted = parse(text.substr(freeze.size()));
        wanted.signal = SIGSTOP;
        return wanted;
    }
    const std::size_t colon = text.find(':');
    Wanted wanted;
    wanted.point = text.substr(0, colon);
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
    if (++reached == wanted.times) kill(getpid(), wanted.signal);
}

}  // namespace segue::backfill
