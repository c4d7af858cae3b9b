#include "proxy/end_log.hpp"

#include <spdlog/spdlog.h>

#include <string_view>

namespace segue::proxy {

namespace {

std::string_view words(EndCause cause) {
    switch (cause) {
        case EndCause::none:
            return "";
        case EndCause::client_gone:
            return "its client closed the connection without ending the session";
        case EndCause::server_gone:
            return "closed, because its server closed the connection and gave no reason";
        case EndCause::server_broken:
            return "closed, because its server took no more and gave no reason";
        case EndCause::answer_cut:
            return "closed without a word, because the follower was lost in the middle of a "
                   "message";
        case EndCause::answer_owed:
            return "closed without a word, because nobody knows how its last request ended";
        case EndCause::being_moved:
            return "closed without a word, because its state was still being moved";
        case EndCause::not_movable:
            return "ended, because it could not be moved with the database";
        case EndCause::lost_in_move:
            return "closed without a word, because an unexpected error ended its move";
    }
    return "";
}

}  // namespace

void EndLog::tell(EndCause cause, std::int32_t pid, Side side, Time now) {
    if (cause == EndCause::none) return;
    constexpr auto line = "session: pid {} on the {}: {}";
    if (cause == EndCause::client_gone) {
        spdlog::debug(line, pid, name(side), words(cause));
        return;
    }
    if (now - since_ >= std::chrono::seconds{1}) {
        if (untold_ > 0) spdlog::warn("sessions: {} more have lost their connection", untold_);
        since_ = now;
        lines_ = 0;
        untold_ = 0;
    }
    if (lines_ == end_lines_per_second_max) {
        ++untold_;
        return;
    }
    ++lines_;
    spdlog::warn(line, pid, name(side), words(cause));
}

}  // namespace segue::proxy
