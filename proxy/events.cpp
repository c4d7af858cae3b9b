#include "proxy/events.hpp"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "proxy/status.hpp"

namespace segue::proxy {

using backfill::Event;
using nlohmann::json;

namespace {

bool same(const Event& a, const Event& b) {
    const auto apart = a.at < b.at ? b.at - a.at : a.at - b.at;
    return a.kind == b.kind && a.detail == b.detail && apart <= clocks_apart_max;
}

}  // namespace

std::string_view ToldEvent::where() const {
    switch (on) {
        case KeptOn::both:
            return "both";
        case KeptOn::source:
            return "source";
        case KeptOn::target:
            return "target";
    }
    return "";
}

// Each side has them in the order in which they happened. What stands before the nearest one that
// both have is of one side only.
std::vector<ToldEvent> merged(const std::vector<Event>& source, const std::vector<Event>& target) {
    std::vector<ToldEvent> told;
    std::size_t of_source = 0, of_target = 0;
    // The fewest that must be passed over until both tell the same; all that is left when they
    // never do.
    const auto passed_over = [&]() -> std::pair<std::size_t, std::size_t> {
        const std::size_t left = source.size() - of_source, there = target.size() - of_target;
        for (std::size_t passed = 0; passed + 2 <= left + there; ++passed) {
            for (std::size_t i = passed < there ? 0 : passed - there + 1; i <= passed && i < left;
                 ++i) {
                if (same(source[of_source + i], target[of_target + passed - i]))
                    return {i, passed - i};
            }
        }
        return {left, there};
    };
    while (of_source < source.size() || of_target < target.size()) {
        const auto [first, second] = passed_over();
        for (std::size_t i = 0; i < first; ++i)
            told.push_back({source[of_source++], KeptOn::source});
        for (std::size_t i = 0; i < second; ++i)
            told.push_back({target[of_target++], KeptOn::target});
        if (of_source == source.size() || of_target == target.size()) continue;
        told.push_back({source[of_source++], KeptOn::both});
        ++of_target;
    }
    std::stable_sort(told.begin(), told.end(), [](const ToldEvent& a, const ToldEvent& b) {
        return a.event.at < b.event.at;
    });
    return told;
}

std::string events_text(const std::vector<ToldEvent>& events) {
    std::size_t widest = 0;
    for (const ToldEvent& one : events) widest = std::max(widest, one.event.kind.size());
    std::string text;
    for (const ToldEvent& one : events) {
        std::string kind = one.event.kind;
        kind.resize(widest, ' ');
        text += format_time(one.event.at) + "  " + kind + "  " + one.event.detail;
        if (one.on != KeptOn::both) text += "  (only on the " + std::string{one.where()} + ")";
        text += "\n";
    }
    return text;
}

json events_json(const std::vector<ToldEvent>& events) {
    json list = json::array();
    for (const ToldEvent& one : events) {
        list.push_back({{"at", format_time(one.event.at)},
                        {"kind", one.event.kind},
                        {"detail", one.event.detail},
                        {"on", one.where()}});
    }
    return list;
}

int run_events(const Invocation& invocation, const Config& config) {
    const auto limit = invocation.arguments.value("limit", std::size_t{0});
    const auto log =
        backfill::make_postgres_event_log(config.source.connection, config.target.connection);
    std::vector<Event> events[2];
    int unreachable = 0;
    for (const Side side : {Side::source, Side::target}) {
        auto last = log->last(side, limit);
        if (!last) {
            ++unreachable;
            std::cerr << "segue events: the " << name(side) << ": " << last.error().detail << "\n";
            continue;
        }
        events[index(side)] = std::move(*last);
    }
    if (unreachable == 2) return 1;
    auto told = merged(events[index(Side::source)], events[index(Side::target)]);
    if (told.size() > limit)
        told.erase(told.begin(), told.end() - static_cast<std::ptrdiff_t>(limit));
    if (invocation.json) {
        std::cout << events_json(told).dump(2, ' ', false, json::error_handler_t::replace) << "\n";
    } else {
        std::cout << events_text(told);
    }
    return 0;
}

}  // namespace segue::proxy
