#include "proxy/server_watch.hpp"

#include <string>

namespace segue::proxy {

namespace {

// After `finish` the old one may well be gone.
bool concerns_anybody(const BoardState& state) {
    if (!state.authority_known) return false;
    return !state.record || (state.record->phase != router::Phase::finished &&
                             state.record->backfill == router::Backfill::none);
}

}  // namespace

void ServerWatch::look(backfill::ChangeSteps& steps) {
    for (const Side side : {Side::source, Side::target}) {
        const BoardState state = board_.read();
        if (!concerns_anybody(state)) return;
        const auto read = steps.control(side).read();
        // What a server refuses it has answered: a missing permission is `check`'s to tell.
        const bool answered = read || read.error().code == Errc::server;
        const std::string problem = answered ? "" : read.error().detail;
        const std::string& before = state.out_of_reach[index(side)];
        const std::string which = "the " + std::string{name(side)};
        // The words may change: a host that is gone, then a server that starts.
        if (!problem.empty() && before.empty()) {
            journal_.warning(
                "servers",
                which + " cannot be reached: " + problem + "; " + out_of_reach_means(side));
        }
        if (problem.empty() && !before.empty())
            journal_.event("servers", which + " can be reached again");
        board_.update([&](BoardState& board) { board.out_of_reach[index(side)] = problem; });
    }
}

}  // namespace segue::proxy
