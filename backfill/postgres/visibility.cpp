#include "backfill/postgres/visibility.hpp"

#include <algorithm>
#include <thread>
#include <utility>

#include "backfill/postgres/input_at_hand.hpp"
#include "backfill/snapshot.hpp"

namespace segue::backfill::postgres {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds open_pause{1};
// Between two questions: the gap is mostly shorter than this.
constexpr std::chrono::microseconds ask_pause{200};
// While reads go to the authority anyway: for an answer that is on its way, and no second question.
constexpr std::chrono::milliseconds brief_wait_max{2};

}  // namespace

Visibility::Visibility(StreamPipe& pipe, AppliedPosition& applied, Open open)
    : pipe_(pipe), applied_(applied), open_(std::move(open)) {
    applied_.set_shown(false);
}

void Visibility::lose_link() {
    link_.reset();
    asked_ = false;
    next_open_ = Clock::now() + open_pause;
}

void Visibility::ask() {
    if (!applied_.shown_wanted()) {
        link_.reset();  // No connection is kept for readers that there are not.
        asked_ = false;
        return;
    }
    if (asked_) return;
    if (!link_) {
        if (Clock::now() < next_open_) return;
        auto opened = open_();
        if (!opened) return lose_link();
        link_.emplace(std::move(*opened));
    }
    if (PQsendQuery((*link_)->raw(), "SELECT pg_current_snapshot()") != 1) return lose_link();
    asked_ = true;
}

// False: no answer by the deadline. The question stays open, and its answer is as good later.
bool Visibility::take_answer(Clock::time_point deadline) {
    PGconn* const connection = (*link_)->raw();
    while (PQisBusy(connection) == 1) {
        const auto rest = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
        const auto rest_ms = static_cast<int>(std::max<long>(rest.count(), 0));
        if (!wait_for_input(connection, rest_ms)) {
            if (Clock::now() < deadline) continue;
            return false;
        }
        if (PQconsumeInput(connection) != 1) {
            lose_link();
            return false;
        }
    }
    asked_ = false;
    bool answered = false;
    while (PGresult* const raw = PQgetResult(connection)) {
        const Rows rows{raw};
        if (PQresultStatus(raw) != PGRES_TUPLES_OK) continue;
        if (auto snapshot = parse_snapshot(rows.at(0, 0))) {
            snapshot_ = std::move(*snapshot);
            answered = true;
        }
    }
    if (!(*link_)->good()) lose_link();
    return answered;
}

bool Visibility::all_seen(Position highest, Clock::time_point deadline) {
    ask();
    if (!asked_ || !take_answer(deadline)) return false;
    pipe_.prune(*snapshot_);  // So that the next question is about few.
    // Until everything of the last run has been delivered again, and has come by here, not all that
    // the follower shows is known.
    const bool known = pipe_.with_dispatcher([&](const Dispatcher& dispatcher) {
        return dispatcher.caught_up() && dispatcher.covers_last_run(highest);
    });
    return known && pipe_.sees_all_dispatched(*snapshot_, highest);
}

void Visibility::before_commit(Position highest) {
    const auto deadline = Clock::now() + (applied_.shown() ? visibility_wait_max : brief_wait_max);
    while (applied_.shown_wanted()) {
        if (all_seen(highest, deadline)) return applied_.set_shown(true);
        if (!link_ || Clock::now() >= deadline || !applied_.shown()) break;
        std::this_thread::sleep_for(ask_pause);
    }
    applied_.set_shown(false);
}

void Visibility::when_idle(Position highest) {
    if (is_awaited() && all_seen(highest, Clock::now() + visibility_wait_max))
        applied_.set_shown(true);
}

}  // namespace segue::backfill::postgres
