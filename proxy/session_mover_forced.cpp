// SessionMover's forced moves of single sessions, for development.
#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>

#include <exception>

#include "proxy/session_mover.hpp"

namespace segue::proxy {

namespace asio = boost::asio;

namespace {

const char* name(MoveEnd end) {
    switch (end) {
        case MoveEnd::ready:
            return "moved";
        case MoveEnd::gone:
            return "gone";
        case MoveEnd::busy:
            return "busy";
        case MoveEnd::pinned:
            return "pinned";
        case MoveEnd::not_stopped:
            return "not stopped";
        case MoveEnd::failed:
            return "failed";
    }
    return "";
}

}  // namespace

void SessionMover::move_soon(std::uint64_t id, Clock::time_point deadline) {
    const auto ended = [this, id](std::exception_ptr thrown, const MoveOutcome& outcome) {
        if (outcome.end != MoveEnd::gone) {
            spdlog::info("development: session {} {}{}{}",
                         id,
                         name(outcome.end),
                         outcome.why.empty() ? "" : ": ",
                         outcome.why);
        }
        const auto entry = directory_.entry(id);
        if (!entry) return;
        const bool ready = !thrown && outcome.end == MoveEnd::ready;
        threads_[entry->thread]->post(
            RelayThread::Task{[id, ready](RelayThread& own) { own.end_forced_move(id, ready); }});
    };
    asio::co_spawn(control_, move(id, deadline), ended);
}

asio::awaitable<MoveOutcome> SessionMover::move(std::uint64_t id, Clock::time_point deadline) {
    auto entry = directory_.entry(id);
    if (!entry) co_return MoveOutcome{};
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    MoveOutcome outcome = co_await prepare_one(id, Attempt{other(entry->side), deadline, left});
    if (outcome.end != MoveEnd::ready) co_return outcome;
    entry = directory_.entry(id);
    if (!entry || !entry->listening) co_return outcome;
    // What was notified before the swap is told by the old connection.
    const MoveOutcome read = co_await listen_to(id, "segue_forced_move", deadline);
    if (read.end != MoveEnd::ready) co_return read;
    co_return outcome;
}

}  // namespace segue::proxy
