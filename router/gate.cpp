#include "router/gate.hpp"

#include <cassert>

namespace segue::router {

std::optional<Gate::Time> Gate::waiting_since() const {
    if (held_.empty()) return std::nullopt;
    return held_.front().since;
}

void Gate::hold(
    Bytes from_acknowledgement, Side side, std::uint64_t request, Time now, WriteMark before) {
    held_size_ += from_acknowledgement.size();
    // Acknowledgements of one question share its answer, so they are one entry: the later bytes
    // were here before the question was put.
    if (!held_.empty() && held_.back().side == side && held_.back().request == request) {
        held_.back().bytes += text(from_acknowledgement);
        if (held_.back().before != before) held_.back().before = {};
        return;
    }
    held_.push_back(
        {std::string{text(from_acknowledgement)}, side, request, std::nullopt, now, before});
}

void Gate::queue(Bytes bytes) {
    assert(!held_.empty());
    held_size_ += bytes.size();
    held_.back().bytes += text(bytes);
}

void Gate::token(Side side, std::uint64_t request, Position position, WriteMark written) {
    // Older answers keep the token they have: it is lower, and it was enough for them.
    for (Answer& answer : held_) {
        if (answer.side == side && answer.request <= request && !answer.token) {
            answer.token = nothing_written_between(answer.before, written) ? Position{} : position;
        }
    }
}

bool Gate::release(Side side, Position applied, std::string& output) {
    auto next = held_.begin();
    // In order only: what stands behind an answer that waits, waits as well.
    for (; next != held_.end(); ++next) {
        if (next->side != side || !next->token || applied < *next->token) break;
        output += next->bytes;
        held_size_ -= next->bytes.size();
    }
    const bool moved = next != held_.begin();
    held_.erase(held_.begin(), next);
    return moved;
}

void Gate::release_all(std::string& output) {
    for (const Answer& answer : held_) output += answer.bytes;
    held_.clear();
    held_.shrink_to_fit();
    held_size_ = 0;
}

}  // namespace segue::router
