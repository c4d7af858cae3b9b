#include "proxy/session_mover.hpp"

#include <boost/asio/co_spawn.hpp>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "protocol/postgres/messages_server.hpp"

namespace segue::proxy {

namespace asio = boost::asio;
using protocol::postgres::SessionState;

// A counting semaphore of the control thread.
class SessionMover::Permits {
public:
    Permits(asio::any_io_executor control, std::size_t count) : control_(std::move(control)), free_(count) {}

    asio::awaitable<void> acquire() {
        if (free_ > 0) {
            --free_;
            co_return;
        }
        auto turn = std::make_shared<Parcel<bool>>(control_);
        waiting_.push_back(turn);
        (void)co_await turn->take();
    }
    void release() {
        if (waiting_.empty()) {
            ++free_;
            return;
        }
        waiting_.front()->deliver(true);
        waiting_.pop_front();
    }

private:
    asio::any_io_executor control_;
    std::size_t free_;
    std::deque<std::shared_ptr<Parcel<bool>>> waiting_;
};

// One attempt at a time for each session: two would take its login from each other. Of the control thread.
class SessionMover::Turns {
public:
    explicit Turns(asio::any_io_executor control) : control_(std::move(control)) {}

    asio::awaitable<void> take(std::uint64_t id) {
        const auto [entry, first] = waiting_.try_emplace(id);
        if (first) co_return;
        auto turn = std::make_shared<Parcel<bool>>(control_);
        entry->second.push_back(turn);
        (void)co_await turn->take();
    }
    void end(std::uint64_t id) {
        const auto entry = waiting_.find(id);
        if (entry->second.empty()) {
            waiting_.erase(entry);
            return;
        }
        entry->second.front()->deliver(true);
        entry->second.pop_front();
    }

private:
    asio::any_io_executor control_;
    std::unordered_map<std::uint64_t, std::deque<std::shared_ptr<Parcel<bool>>>> waiting_;  // Behind the one that is under way.
};

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

// What a look at a session, in its relay thread, says; with its login when the other connection is missing.
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

namespace {

bool has_other(const Session& session, Side side) {
    return session.other && session.other->side == side && looks_alive(session.other->transport);
}

std::string joined(const std::vector<std::string>& reasons) {
    std::string all;
    for (const std::string& reason : reasons) all += (all.empty() ? "" : ", ") + reason;
    return all;
}

}  // namespace

SessionMover::SessionMover(asio::any_io_executor control, BackendOpener* opener, SessionDirectory& directory,
                           const Threads& threads)
    : control_(std::move(control)),
      opener_(opener),
      directory_(directory),
      threads_(threads),
      permits_(std::make_shared<Permits>(control_, moves_opening_max)),
      turns_(std::make_shared<Turns>(control_)) {}

template <class Start>
std::vector<MoveOutcome> SessionMover::run(const std::vector<std::uint64_t>& ids, Clock::time_point deadline,
                                           Start start) {
    const auto batch = std::make_shared<Batch>();
    batch->running = ids.size();
    for (const std::uint64_t id : ids) {
        const auto ended = [batch](std::exception_ptr thrown, MoveOutcome outcome) {
            if (thrown) outcome = {0, MoveEnd::failed, "an unexpected error while its state was moved"};
            batch->end(std::move(outcome));
        };
        asio::co_spawn(control_, start(id), ended);
    }
    if (!batch->wait_until(deadline)) {
        for (const auto& thread : threads_) {
            thread->post(RelayThread::Task{[](RelayThread& own) { own.cancel_lends(); }});
        }
        // Who waits for a boundary ends at once now; a server that does not answer is not waited for.
        constexpr std::chrono::milliseconds afterwards{50};
        batch->wait_until(Clock::now() + afterwards);
    }
    const std::lock_guard lock{batch->mutex};
    std::vector<MoveOutcome> outcomes = batch->outcomes;
    if (batch->running > 0) {
        outcomes.push_back({0, MoveEnd::failed, std::to_string(batch->running) +
                                                    " sessions: the other side did not answer in time"});
    }
    return outcomes;
}

std::vector<MoveOutcome> SessionMover::prepare_all(Side side, Clock::time_point deadline, std::chrono::milliseconds busy_max) {
    return run(directory_.ids(), deadline, [this, side, deadline, busy_max](std::uint64_t id) {
        return prepare(id, side, deadline, busy_max);
    });
}

void SessionMover::prepare_soon(std::uint64_t id, Side side, Clock::time_point deadline) {
    // A failure leaves the session without the connection, and its reads on the authority.
    const auto ended = [](std::exception_ptr, const MoveOutcome&) {};
    const auto busy_max = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    asio::co_spawn(control_, prepare(id, side, deadline, busy_max), ended);
}

asio::awaitable<SessionMover::Glance> SessionMover::glance(RelayThread& thread, std::uint64_t id, Side side) {
    auto answer = std::make_shared<Parcel<Glance>>(control_);
    const auto look = [answer, id, side](RelayThread& own) {
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
            seen.connected = has_other(session, side);
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

asio::awaitable<std::unique_ptr<Session>> SessionMover::borrow(RelayThread& thread, std::uint64_t id, Clock::time_point until) {
    auto answer = std::make_shared<Parcel<std::unique_ptr<Session>>>(control_);
    const auto ask = [answer, id, until](RelayThread& own) {
        own.lend(id, [answer](std::unique_ptr<Session> session) { answer->deliver(std::move(session)); }, until);
    };
    thread.post(RelayThread::Task{ask});
    co_return co_await answer->take();
}

asio::awaitable<MoveOutcome> SessionMover::not_borrowed(RelayThread& thread, std::uint64_t id, Clock::time_point until) {
    if (!directory_.entry(id)) co_return MoveOutcome{};
    const bool waited = Clock::now() >= until;
    auto answer = std::make_shared<Parcel<Pin>>(control_);
    thread.post(RelayThread::Task{[answer, id](RelayThread& own) { answer->deliver(own.busy(id)); }});
    Pin pin = co_await answer->take();
    if (pin.why.empty()) co_return MoveOutcome{};
    co_return MoveOutcome{pin.pid, waited ? MoveEnd::busy : MoveEnd::not_stopped, std::move(pin.why)};
}

asio::awaitable<MoveOutcome> SessionMover::prepare(std::uint64_t id, Side side, Clock::time_point deadline,
                                                   std::chrono::milliseconds busy_max) {
    co_await turns_->take(id);
    const auto end = [turns = turns_, id](void*) { turns->end(id); };
    const std::unique_ptr<void, decltype(end)> turn{this, end};
    MoveOutcome outcome = co_await attempt(id, side, deadline, busy_max, Statements::all);
    if (outcome.not_restored) outcome = co_await attempt(id, side, deadline, busy_max, Statements::usable);
    co_return outcome;
}

asio::awaitable<MoveOutcome> SessionMover::attempt(std::uint64_t id, Side side, Clock::time_point deadline,
                                                   std::chrono::milliseconds busy_max, Statements statements) {
    const auto entry = directory_.entry(id);
    if (!entry) co_return MoveOutcome{};
    RelayThread& thread = *threads_[entry->thread];
    const std::int32_t pid = entry->pid;
    Glance seen = co_await glance(thread, id, side);
    if (!seen.found) {
        if (!directory_.entry(id)) co_return MoveOutcome{};
        co_return MoveOutcome{pid, MoveEnd::failed, "an earlier attempt to move it has not ended yet"};
    }
    if (!seen.movable) co_return MoveOutcome{pid, MoveEnd::pinned, seen.immovable_because};
    if (seen.ready) co_return MoveOutcome{pid, MoveEnd::ready, {}};

    if (!seen.connected) {
        co_await permits_->acquire();
        // The session goes on meanwhile, without the login that it does not need.
        auto opened = std::make_shared<Result<Backend>>(
            co_await opener_->open(side, seen.startup, seen.credentials, seen.client_tls));
        permits_->release();
        auto login = std::make_shared<Glance>(std::move(seen));
        const auto give_back = [id, opened, login](RelayThread& own) {
            own.with_session(id, [&](Session& session) {
                session.startup = std::move(login->startup);
                session.credentials = std::move(login->credentials);
                if (*opened) session.other = std::move(**opened);
            });
        };
        const bool good = opened->has_value();
        const std::string why = good ? std::string{} : opened->error().detail;
        thread.post(RelayThread::Task{give_back});
        if (!good) co_return MoveOutcome{pid, MoveEnd::failed, why};
    }
    const auto until = std::min(deadline, Clock::now() + busy_max);
    std::unique_ptr<Session> session = co_await borrow(thread, id, until);
    if (!session) co_return co_await not_borrowed(thread, id, until);
    co_return co_await prepare_lent(std::move(session), thread, side, deadline, statements);
}

asio::awaitable<Status> SessionMover::open_other(Session& session, Side side) {
    session.other.reset();
    session.other_state.reset();
    co_await permits_->acquire();
    Result<Backend> opened =
        co_await opener_->open(side, session.startup, session.credentials, session.client.uses_tls());
    permits_->release();
    if (!opened) co_return opened.error();
    session.other = std::move(*opened);
    co_return Done{};
}

namespace {

void give_back(RelayThread& thread, std::uint64_t id, std::unique_ptr<Session> session, std::string for_client) {
    auto give = [id, lent = std::move(session), said = std::move(for_client)](RelayThread& own) mutable {
        own.take_back(id, std::move(lent), said);
    };
    thread.post(RelayThread::Task{std::move(give)});
}

constexpr protocol::postgres::ErrorReport server_silent{
    .sqlstate = "57P01", .message = "terminating connection: the server did not answer while the session was prepared for a move",
    .hint = "Connect again."};

// Its server is gone, or cannot be understood any more.
void give_up(RelayThread& thread, std::uint64_t id, std::unique_ptr<Session> session, std::string last_words) {
    if (last_words.empty()) last_words = protocol::postgres::encode_error_response(server_silent);
    auto give = [id, lent = std::move(session), said = std::move(last_words)](RelayThread& own) mutable {
        own.give_up(id, std::move(lent), said);
    };
    thread.post(RelayThread::Task{std::move(give)});
}

// Of the session's own server, in its own time.
asio::awaitable<Probed> ask_state(Session& session, Statements statements) {
    Transport& backend = session.backend.transport;
    Probed probed = co_await probe_state(backend, session.hints, SessionMover::Clock::now() + own_answer_wait_max);
    if (!probed.state || !probed.state->pins.empty() || statements == Statements::all) co_return probed;
    const Checked checked = co_await forget_unusable_statements(backend, *probed.state, own_answer_wait_max);
    probed.for_client += checked.for_client;
    if (!checked.checked) probed.state = checked.checked.error();
    co_return probed;
}

}  // namespace

// The client waits from here until the session is given back: one round trip on its own backend.
asio::awaitable<MoveOutcome> SessionMover::prepare_lent(std::unique_ptr<Session> session, RelayThread& thread, Side side,
                                                        Clock::time_point deadline, Statements statements) {
    const std::uint64_t id = session->id;
    const std::int32_t pid = session->backend.pid;
    if (!has_other(*session, side)) {
        // It died of idleness or a restart since it was opened.
        const Status opened = co_await open_other(*session, side);
        if (!opened) {
            give_back(thread, id, std::move(session), {});
            co_return MoveOutcome{pid, MoveEnd::failed, opened.error().detail};
        }
    }
    if (!session->touched_since_probe && session->other_state && session->other_state->pins.empty()) {
        give_back(thread, id, std::move(session), {});
        co_return MoveOutcome{pid, MoveEnd::ready, {}};
    }
    if (Clock::now() >= deadline) {
        give_back(thread, id, std::move(session), {});
        co_return MoveOutcome{pid, MoveEnd::failed, "no time was left to ask for its state"};
    }
    Probed probed = co_await ask_state(*session, statements);
    if (!probed.state) {
        const Error error = probed.state.error();
        if (error.code == Errc::server) {
            give_back(thread, id, std::move(session), std::move(probed.for_client));
            co_return MoveOutcome{pid, MoveEnd::failed, error.detail};
        }
        // Half an answer may have been read: only a refusal leaves the connection as it was.
        give_up(thread, id, std::move(session), std::move(probed.for_client));
        co_return MoveOutcome{};
    }
    session->touched_since_probe = false;
    std::optional<SessionState> restored = std::exchange(session->other_state, std::nullopt);
    SessionState wanted = std::move(*probed.state);
    if (!wanted.pins.empty()) {
        const std::string why = joined(wanted.pins);
        session->touched_since_probe = true;
        session->other_state = std::move(restored);
        give_back(thread, id, std::move(session), std::move(probed.for_client));
        co_return MoveOutcome{pid, MoveEnd::pinned, why};
    }
    if (restored && protocol::postgres::is_equal(wanted, *restored)) {
        session->other_state = std::move(wanted);
        give_back(thread, id, std::move(session), std::move(probed.for_client));
        co_return MoveOutcome{pid, MoveEnd::ready, {}};
    }
    Backend other = std::move(*session->other);
    session->other.reset();
    give_back(thread, id, std::move(session), std::move(probed.for_client));
    MoveOutcome outcome =
        co_await restore(thread, id, std::move(other), std::move(restored), std::move(wanted), deadline);
    if (outcome.end != MoveEnd::ready) outcome.pid = pid;
    co_return outcome;
}

asio::awaitable<MoveOutcome> SessionMover::restore(RelayThread& thread, std::uint64_t id, Backend other,
                                                   std::optional<SessionState> restored, SessionState wanted,
                                                   Clock::time_point deadline) {
    const Status done = co_await restore_state(other.transport, wanted, restored.has_value() || other.served, deadline);
    if (!done) {
        // A connection in an unknown state is worth nothing: it is closed here.
        const bool refused = done.error().code == Errc::server || done.error().code == Errc::refused;
        co_return MoveOutcome{0, MoveEnd::failed, "its state could not be restored: " + done.error().detail, refused};
    }
    other.served = false;
    const auto attached = std::make_shared<std::pair<Backend, SessionState>>(std::move(other), std::move(wanted));
    auto answer = std::make_shared<Parcel<bool>>(control_);
    const auto attach = [id, attached, answer](RelayThread& own) {
        bool found = false;
        own.with_session(id, [&](Session& session) {
            session.other = std::move(attached->first);
            session.other_state = std::move(attached->second);
            found = true;
        });
        own.note_backends(id);
        answer->deliver(found);
    };
    thread.post(RelayThread::Task{attach});
    const bool found = co_await answer->take();
    co_return MoveOutcome{0, found ? MoveEnd::ready : MoveEnd::gone, {}};
}

asio::awaitable<MoveOutcome> SessionMover::listen_to(std::uint64_t id, std::string channel, Clock::time_point deadline) {
    const auto entry = directory_.entry(id);
    if (!entry) co_return MoveOutcome{};
    RelayThread& thread = *threads_[entry->thread];
    std::unique_ptr<Session> session = co_await borrow(thread, id, deadline);
    if (!session) co_return MoveOutcome{};
    const auto patience = Clock::now() + own_answer_wait_max;
    Notified notified = co_await read_notifications(session->backend.transport, channel, patience);
    if (!notified.read) {
        // The connection is in the middle of an answer.
        give_up(thread, id, std::move(session), std::move(notified.for_client));
        co_return MoveOutcome{entry->pid, MoveEnd::failed, notified.read.error().detail};
    }
    give_back(thread, id, std::move(session), std::move(notified.for_client));
    co_return MoveOutcome{entry->pid, MoveEnd::ready, {}};
}

Status SessionMover::read_all_notifications(const std::string& channel, Clock::time_point deadline) {
    std::vector<std::uint64_t> listening;
    for (const std::uint64_t id : directory_.ids()) {
        const auto entry = directory_.entry(id);
        if (entry && entry->listening) listening.push_back(id);
    }
    const auto outcomes = run(listening, deadline, [this, &channel, deadline](std::uint64_t id) {
        return listen_to(id, channel, deadline);
    });
    for (const MoveOutcome& outcome : outcomes) {
        if (outcome.end != MoveEnd::failed) continue;
        return Error{Errc::io, "the notifications of the session with pid " + std::to_string(outcome.pid) +
                                   " could not be read: " + outcome.why};
    }
    return Done{};
}

}  // namespace segue::proxy
