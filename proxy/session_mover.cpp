#include "proxy/session_mover.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <utility>

#include "router/counted.hpp"

namespace segue::proxy {

namespace asio = boost::asio;

// What the operator's thread waits for.
struct SessionMover::Batch {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t running = 0;
    std::vector<MoveOutcome> outcomes;

    void end(MoveOutcome outcome) {
        const std::lock_guard lock{mutex};
        outcomes.push_back(std::move(outcome));
        --running;
        changed.notify_all();
    }
    bool wait_until(Clock::time_point deadline) {
        std::unique_lock lock{mutex};
        return changed.wait_until(lock, deadline, [this] { return running == 0; });
    }
};

// What a look at a session, in its relay thread, says; with its login when the other connection is
// missing.
struct SessionMover::Glance {
    bool found = false;
    bool movable = false;
    bool ready = false;  // Prepared already, and stopped: nothing is to be done.
    bool connected = false;
    bool client_tls = false;
    std::string immovable_because;
    StartupParameters startup;
    Credentials credentials;
};

SessionMover::SessionMover(asio::any_io_executor control,
                           BackendOpener* opener,
                           SessionDirectory& directory,
                           const Threads& threads,
                           std::size_t carry_size_max,
                           KnownOfServers known)
    : control_(std::move(control)),
      opener_(opener),
      directory_(directory),
      threads_(threads),
      carry_size_max_(carry_size_max),
      known_(known),
      permits_(std::make_shared<Permits>(control_, moves_opening_max)),
      carrying_(std::make_shared<Permits>(control_, carrying_max)),
      turns_(std::make_shared<Turns>(control_)) {}

template <class Start>
std::vector<MoveOutcome> SessionMover::run(const std::vector<std::uint64_t>& ids,
                                           Clock::time_point deadline,
                                           const Meanwhile& meanwhile,
                                           Start start) {
    const auto batch = std::make_shared<Batch>();
    batch->running = ids.size();
    for (const std::uint64_t id : ids) {
        const auto ended = [batch](std::exception_ptr thrown, MoveOutcome outcome) {
            if (thrown)
                outcome = {0, MoveEnd::failed, "an unexpected error while its state was moved"};
            batch->end(std::move(outcome));
        };
        asio::co_spawn(control_, start(id), ended);
    }
    if (meanwhile.act && !batch->wait_until(std::min(deadline, Clock::now() + meanwhile.after)))
        meanwhile.act();
    if (!batch->wait_until(deadline)) {
        for (const auto& thread : threads_) {
            thread->post(RelayThread::Task{[](RelayThread& own) { own.cancel_lends(); }});
        }
        // Who waits for a boundary ends at once now; a server that does not answer is not waited
        // for.
        constexpr std::chrono::milliseconds afterwards{50};
        batch->wait_until(Clock::now() + afterwards);
    }
    const std::lock_guard lock{batch->mutex};
    std::vector<MoveOutcome> outcomes = batch->outcomes;
    if (batch->running > 0) {
        outcomes.push_back({0,
                            MoveEnd::failed,
                            counted(batch->running, "session", "sessions") +
                                ": the other side did not answer in time"});
    }
    return outcomes;
}

std::vector<MoveOutcome> SessionMover::prepare(const std::vector<std::uint64_t>& ids,
                                               Side side,
                                               Clock::time_point deadline,
                                               std::chrono::milliseconds busy_max,
                                               const Meanwhile& meanwhile) {
    const auto start = [this, side, deadline, busy_max](std::uint64_t id) {
        return prepare_one(id, Attempt{side, deadline, busy_max});
    };
    return run(ids, deadline, meanwhile, start);
}

void SessionMover::prepare_soon(std::uint64_t id, Side side, Clock::time_point deadline) {
    // A failure leaves the session without the connection, and its reads on the authority.
    const auto ended = [id](std::exception_ptr thrown, const MoveOutcome&) {
        if (thrown) spdlog::error("session {}: an unexpected error while it was prepared", id);
    };
    const auto busy_max =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    asio::co_spawn(
        control_, prepare_one(id, Attempt{side, deadline, busy_max, Purpose::reads}), ended);
}

asio::awaitable<SessionMover::Glance> SessionMover::glance(RelayThread& thread,
                                                           std::uint64_t id,
                                                           Side side) {
    auto answer = std::make_shared<Parcel<Glance>>(control_);
    const auto look = [answer, id, side, ids = type_ids()](RelayThread& own) {
        Glance seen;
        own.with_session(id, [&](Session& session) {
            seen.found = true;
            seen.movable = session.movable;
            seen.immovable_because = session.immovable_because;
            if (session.boundary.lost()) {
                seen.movable = false;
                seen.immovable_because = "a COPY protocol sequence that cannot be followed";
            }
            seen.client_tls = session.client.uses_tls();
            seen.connected = is_usable(session.other, side) && other_speaks_types(session, ids);
            seen.ready = seen.connected && own.is_stopped(id) && !session.touched_since_probe &&
                         session.other_state && session.other_state->pins.empty();
            if (!seen.movable || seen.connected) return;
            session.other.reset();
            session.other_state.reset();
            seen.startup = std::move(session.startup);
            seen.credentials = std::move(session.credentials);
        });
        answer->deliver(std::move(seen));
    };
    thread.post(RelayThread::Task{look});
    co_return co_await answer->take();
}

asio::awaitable<std::unique_ptr<Session>> SessionMover::borrow(RelayThread& thread,
                                                               std::uint64_t id,
                                                               Clock::time_point until) {
    auto answer = std::make_shared<Parcel<std::unique_ptr<Session>>>(control_);
    const auto ask = [answer, id, until](RelayThread& own) {
        own.lend(
            id,
            [answer](std::unique_ptr<Session> session) { answer->deliver(std::move(session)); },
            until);
    };
    thread.post(RelayThread::Task{ask});
    co_return co_await answer->take();
}

asio::awaitable<MoveOutcome> SessionMover::not_borrowed(RelayThread& thread,
                                                        std::uint64_t id,
                                                        Clock::time_point until) {
    if (!directory_.entry(id)) co_return MoveOutcome{};
    const bool waited = Clock::now() >= until;
    auto answer = std::make_shared<Parcel<Pin>>(control_);
    thread.post(
        RelayThread::Task{[answer, id](RelayThread& own) { answer->deliver(own.busy(id)); }});
    Pin pin = co_await answer->take();
    if (pin.why.empty()) co_return MoveOutcome{};
    co_return MoveOutcome{
        pin.pid, waited ? MoveEnd::busy : MoveEnd::not_stopped, std::move(pin.why)};
}

asio::awaitable<MoveOutcome> SessionMover::prepare_one(std::uint64_t id, Attempt wanted) {
    co_await turns_->take(id);
    const auto end = [turns = turns_, id](void*) { turns->end(id); };
    const std::unique_ptr<void, decltype(end)> turn{this, end};
    MoveOutcome outcome = co_await attempt(id, wanted);
    if (!outcome.not_restored) co_return outcome;
    wanted.statements = Statements::usable;
    co_return co_await attempt(id, wanted);
}

asio::awaitable<MoveOutcome> SessionMover::attempt(std::uint64_t id, Attempt wanted) {
    MoveOutcome outcome = co_await attempt_once(id, wanted);
    for (int again = 0; outcome.not_connected && again < reconnections_max; ++again)
        outcome = co_await attempt_once(id, wanted);
    co_return outcome;
}

asio::awaitable<MoveOutcome> SessionMover::attempt_once(std::uint64_t id, Attempt wanted) {
    const auto entry = directory_.entry(id);
    if (!entry) co_return MoveOutcome{};
    RelayThread& thread = *threads_[entry->thread];
    const std::int32_t pid = entry->pid;
    Glance seen = co_await glance(thread, id, wanted.side);
    if (!seen.found) {
        if (!directory_.entry(id)) co_return MoveOutcome{};
        co_return MoveOutcome{
            pid, MoveEnd::failed, "an earlier attempt to move it has not ended yet"};
    }
    if (!seen.movable) co_return MoveOutcome{pid, MoveEnd::pinned, seen.immovable_because};
    if (seen.ready) co_return MoveOutcome{pid, MoveEnd::ready, {}};

    if (!seen.connected) {
        co_await permits_->acquire();
        // The session goes on meanwhile, without the login that it does not need.
        auto opened = std::make_shared<Result<Backend>>(
            co_await opener_->open(wanted.side, seen.startup, seen.credentials, seen.client_tls));
        permits_->release();
        auto login = std::make_shared<Glance>(std::move(seen));
        const auto give_back =
            [id, side = wanted.side, opened, login, ids = type_ids()](RelayThread& own) {
                own.with_session(id, [&](Session& session) {
                    session.startup = std::move(login->startup);
                    session.credentials = std::move(login->credentials);
                    if (!*opened) return;
                    session.other = std::move(**opened);
                    session.other->types = translator_for(session, side, ids);
                });
            };
        const bool good = opened->has_value();
        const std::string why = good ? std::string{} : opened->error().detail;
        thread.post(RelayThread::Task{give_back});
        if (!good) co_return MoveOutcome{pid, MoveEnd::failed, why};
    }
    co_return co_await prepare_borrowed(id, thread, wanted);
}

asio::awaitable<MoveOutcome> SessionMover::prepare_borrowed(std::uint64_t id,
                                                            RelayThread& thread,
                                                            Attempt wanted) {
    Permit carrying;  // For as long as the tables are in memory.
    for (;;) {
        const auto until = std::min(wanted.deadline, Clock::now() + wanted.busy_max);
        std::unique_ptr<Session> session = co_await borrow(thread, id, until);
        if (!session) co_return co_await not_borrowed(thread, id, until);
        MoveOutcome outcome = co_await prepare_lent(std::move(session), thread, wanted, carrying);
        if (!outcome.crowded) co_return outcome;
        // The client goes on while others' tables are in the way of its own.
        co_await carrying_->acquire();
        carrying = Permit{carrying_};
        if (Clock::now() >= wanted.deadline) co_return outcome;
    }
}

Status SessionMover::read_all_notifications(const std::string& channel,
                                            Clock::time_point deadline) {
    std::vector<std::uint64_t> listening;
    for (const std::uint64_t id : directory_.ids()) {
        const auto entry = directory_.entry(id);
        if (entry && entry->listening) listening.push_back(id);
    }
    const auto start = [this, &channel, deadline](std::uint64_t id) {
        return listen_to(id, channel, deadline);
    };
    const auto outcomes = run(listening, deadline, {}, start);
    for (const MoveOutcome& outcome : outcomes) {
        if (outcome.end != MoveEnd::failed) continue;
        return Error{Errc::io,
                     "the notifications of the session with pid " + std::to_string(outcome.pid) +
                         " could not be read: " + outcome.why};
    }
    return Done{};
}

}  // namespace segue::proxy
