#include "proxy/pilot_requests.hpp"

#include <algorithm>
#include <utility>

namespace segue::proxy {

namespace {

std::string name(PilotRequest::Ask ask) {
    switch (ask) {
        case PilotRequest::Ask::post:
            return "auto";
        case PilotRequest::Ask::pause:
            return "auto pause";
        case PilotRequest::Ask::resume:
            return "auto resume";
        case PilotRequest::Ask::give_up:
            return "auto stop";
    }
    return "";
}

}  // namespace

Result<std::uint64_t> PilotRequests::push(PilotRequest request) {
    const std::lock_guard lock{mutex_};
    if (waiting_.size() >= waiting_max) return Error{Errc::refused, "too many requests wait"};
    request.number = next_number_++;
    waiting_.push_back(std::move(request));
    return waiting_.back().number;
}

std::deque<PilotRequest> PilotRequests::waiting() const {
    const std::lock_guard lock{mutex_};
    return waiting_;
}

void PilotRequests::answer(std::uint64_t number, VerbResult result) {
    const std::lock_guard lock{mutex_};
    const auto found = std::find_if(
        waiting_.begin(), waiting_.end(), [&](const auto& one) { return one.number == number; });
    if (found == waiting_.end()) return;
    answers_.push_back({number, {name(found->ask), std::move(result)}});
    waiting_.erase(found);
    if (answers_.size() > answers_kept_max) answers_.pop_front();
}

void PilotRequests::refuse(const std::string& reason) {
    for (const PilotRequest& one : waiting()) answer(one.number, VerbResult::refused(reason));
}

std::optional<Operator::View> PilotRequests::view(std::uint64_t number) const {
    const std::lock_guard lock{mutex_};
    for (const PilotRequest& one : waiting_) {
        if (one.number == number) return Operator::View{name(one.ask), std::nullopt};
    }
    for (const Answer& one : answers_) {
        if (one.number == number) return one.view;
    }
    return std::nullopt;
}

}  // namespace segue::proxy
