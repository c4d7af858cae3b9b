// What is done with a session while it is lent: its state is asked of its own backend and put onto
// the other connection, and its notifications are read.
#include <algorithm>
#include <utility>

#include "protocol/postgres/messages_server.hpp"
#include "proxy/ask.hpp"
#include "proxy/carry_tables.hpp"
#include "proxy/session_mover.hpp"

namespace segue::proxy {

namespace asio = boost::asio;
using protocol::postgres::DescribedStatements;
using protocol::postgres::SessionState;
using protocol::postgres::StateHints;

namespace {

std::string joined(const std::vector<std::string>& reasons) {
    std::string all;
    for (const std::string& reason : reasons) all += (all.empty() ? "" : ", ") + reason;
    return all;
}

void give_back(RelayThread& thread,
               std::uint64_t id,
               std::unique_ptr<Session> session,
               std::string for_client) {
    auto give = [id, lent = std::move(session), said = std::move(for_client)](
                    RelayThread& own) mutable { own.take_back(id, std::move(lent), said); };
    thread.post(RelayThread::Task{std::move(give)});
}

constexpr protocol::postgres::ErrorReport server_silent{
    .sqlstate = "57P01",
    .message =
        "terminating connection: the server did not answer while the session was prepared for a "
        "move",
    .hint = "Connect again."};

// Its server is gone, or cannot be understood any more.
void give_up(RelayThread& thread,
             std::uint64_t id,
             std::unique_ptr<Session> session,
             std::string last_words) {
    if (!says_error(bytes(last_words)))
        last_words += protocol::postgres::encode_error_response(server_silent);
    auto give = [id, lent = std::move(session), said = std::move(last_words)](
                    RelayThread& own) mutable { own.give_up(id, std::move(lent), said); };
    thread.post(RelayThread::Task{std::move(give)});
}

}  // namespace

bool SessionMover::may_carry(const SessionState& state, Attempt wanted) const {
    return wanted.purpose == Purpose::move && carry_size_max_ > 0 &&
           protocol::postgres::only_temporary_tables(state.pins);
}

// Of the session's own server, in its own time.
asio::awaitable<Probed> SessionMover::ask_state(Session& session, Attempt wanted) {
    Transport& backend = session.backend.transport;
    // What the client said of its unnamed statement, its server must be asked in its own numbers.
    StateHints hints = session.hints;
    const auto names = known_.setting_names == nullptr ? nullptr : known_.setting_names->current();
    if (names) hints.also_ask_for(*names);
    if (session.backend.types)
        hints.replace_unnamed(session.backend.types->parse_for_server(hints.unnamed_parse()));
    Probed probed = co_await probe_state(backend, hints, Clock::now() + own_answer_wait_max);
    if (!probed.state) co_return probed;
    if (session.backend.late) probed.state->late = session.backend.late->statements();
    // Where some had to be put off before, they will have to be again.
    const bool some_late = session.other_state && !session.other_state->late.empty();
    if (wanted.statements == Statements::all && !some_late) co_return probed;
    if (!probed.state->pins.empty() && !may_carry(*probed.state, wanted)) co_return probed;
    const Checked checked =
        co_await put_off_unusable_statements(backend, *probed.state, own_answer_wait_max);
    probed.for_client += checked.for_client;
    if (!checked.checked) probed.state = checked.checked.error();
    co_return probed;
}

// False: no permit is free, and a client is not to wait for one.
asio::awaitable<bool> SessionMover::carry_tables(Session& session,
                                                 Probed& probed,
                                                 Permit& carrying) {
    if (!carrying) {
        if (!carrying_->try_acquire()) co_return false;
        carrying = Permit{carrying_};
    }
    const CarryRead carried = co_await read_temporary_tables(
        session.backend.transport, *probed.state, carry_size_max_, own_answer_wait_max);
    probed.for_client += carried.for_client;
    if (!carried.read) probed.state = carried.read.error();
    co_return true;
}

// The client waits from here until the session is given back: one round trip on its own backend, a
// few where tables are carried.
asio::awaitable<MoveOutcome> SessionMover::prepare_lent(std::unique_ptr<Session> session,
                                                        RelayThread& thread,
                                                        Attempt wanted,
                                                        Permit& carrying) {
    const std::uint64_t id = session->id;
    const std::int32_t pid = session->backend.pid;
    if (!is_usable(session->other, wanted.side) || !other_speaks_types(*session, type_ids())) {
        // It died of idleness or a restart since it was opened, or there are new types. The client
        // does not wait for the login.
        give_back(thread, id, std::move(session), {});
        MoveOutcome lost{pid, MoveEnd::failed, "its connection to the other side was lost"};
        lost.not_connected = true;
        co_return lost;
    }
    if (!session->touched_since_probe && session->other_state &&
        session->other_state->pins.empty()) {
        give_back(thread, id, std::move(session), {});
        co_return MoveOutcome{pid, MoveEnd::ready, {}};
    }
    if (Clock::now() >= wanted.deadline) {
        give_back(thread, id, std::move(session), {});
        co_return MoveOutcome{pid, MoveEnd::failed, "no time was left to ask for its state"};
    }
    Probed probed = co_await ask_state(*session, wanted);
    bool room = true;
    if (probed.state && may_carry(*probed.state, wanted))
        room = co_await carry_tables(*session, probed, carrying);
    if (!room) {
        give_back(thread, id, std::move(session), std::move(probed.for_client));
        co_return MoveOutcome{
            pid, MoveEnd::failed, "no time was left to carry its temporary tables", false, true};
    }
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
    SessionState state = std::move(*probed.state);
    if (!state.pins.empty()) {
        session->touched_since_probe = true;
        session->other_state = std::move(restored);
        give_back(thread, id, std::move(session), std::move(probed.for_client));
        co_return MoveOutcome{pid, MoveEnd::pinned, joined(state.pins)};
    }
    if (restored && protocol::postgres::is_equal(state, *restored)) {
        state.temporary.forget_steps();
        session->other_state = std::move(state);
        give_back(thread, id, std::move(session), std::move(probed.for_client));
        co_return MoveOutcome{pid, MoveEnd::ready, {}};
    }
    Backend other = std::move(*session->other);
    session->other.reset();
    give_back(thread, id, std::move(session), std::move(probed.for_client));
    MoveOutcome outcome = co_await restore(
        thread, id, std::move(other), std::move(restored), std::move(state), wanted.deadline);
    if (outcome.end != MoveEnd::ready) outcome.pid = pid;
    co_return outcome;
}

asio::awaitable<MoveOutcome> SessionMover::restore(RelayThread& thread,
                                                   std::uint64_t id,
                                                   Backend other,
                                                   std::optional<SessionState> restored,
                                                   SessionState wanted,
                                                   Clock::time_point deadline) {
    DescribedStatements described;
    const Status done = co_await restore_state(other.transport,
                                               wanted,
                                               restored.has_value() || other.served,
                                               deadline,
                                               other.types ? &described : nullptr);
    if (done && other.types) {
        other.types = std::make_unique<protocol::postgres::TypeTranslator>(other.types->ids(),
                                                                           other.types->client());
        for (const auto& statement : described) other.types->know(statement);
    }
    if (!done) {
        // A connection in an unknown state is worth nothing: it is closed here.
        const bool refused =
            done.error().code == Errc::server || done.error().code == Errc::refused;
        co_return MoveOutcome{
            0, MoveEnd::failed, "its state could not be restored: " + done.error().detail, refused};
    }
    other.served = false;
    other.late = wanted.late.empty()
                     ? nullptr
                     : std::make_unique<protocol::postgres::LateStatements>(wanted.late);
    wanted.temporary.forget_steps();
    const auto attached =
        std::make_shared<std::pair<Backend, SessionState>>(std::move(other), std::move(wanted));
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

asio::awaitable<MoveOutcome> SessionMover::listen_to(std::uint64_t id,
                                                     std::string channel,
                                                     Clock::time_point deadline) {
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

}  // namespace segue::proxy
