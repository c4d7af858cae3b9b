// A relay's holds: stopping at a boundary, waiting there, lending the session, going on.
#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "protocol/postgres/messages_client.hpp"
#include "proxy/relay.hpp"

namespace segue::proxy {

namespace {

constexpr char terminate_tag = 'X';

constexpr protocol::postgres::ErrorReport cancelled{
    .severity = "ERROR", .sqlstate = "57014", .message = "canceling statement due to user request"};

// Parameters that follow the session's identity, which is the same on both sides.
bool follows_identity(std::string_view parameter) {
    return parameter == "session_authorization" || parameter == "is_superuser";
}

// What drivers were told at login and the other server says otherwise, as ParameterStatus, which a
// server may send at any time: its version, and defaults that it was configured with (TimeZone,
// DateStyle ...). What the session itself has set is the same there.
std::string changed_parameters(const Backend& before,
                               const Backend& now,
                               const protocol::postgres::SessionState& state) {
    std::string messages;
    for (const auto& [name, value] : now.parameters) {
        const auto was = before.parameters.find(name);
        if (was == before.parameters.end() || was->second == value || follows_identity(name))
            continue;
        const bool set = std::any_of(
            state.settings.begin(), state.settings.end(), [&name = name](const auto& setting) {
                return setting.first == name;
            });
        if (set) continue;
        std::string body{name};
        body.push_back('\0');
        body += value;
        body.push_back('\0');
        protocol::postgres::append_message(messages, 'S', body);
    }
    return messages;
}

bool has_hung_up(const Transport& peer) {
    pollfd poll{peer.fd(), POLLRDHUP, 0};
    return ::poll(&poll, 1, 0) > 0 && (poll.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

}  // namespace

void Relay::stop(Turn& turn) {
    go_wanted_ = false;
    if (motion_ != Motion::running || ending_ != Ending::no) return;
    motion_ = Motion::stopping;
    stopping_since_ = turn.now;
    try_stop(turn.now);
}

bool Relay::try_stop(Time now) {
    if (motion_ != Motion::stopping) return motion_ == Motion::stopped;
    if (ending_ != Ending::no || !session_->boundary.at_boundary() || !to_server_.empty())
        return false;
    // The client has not been told of its last commit yet, or may want a sequence's value.
    if (!gate_.empty() || in_sequence_grace(now) || has_shifted_read()) return false;
    // What was left with the ring may be refused: the server has not got it all then.
    send_now();
    if (!to_server_.empty()) return false;
    motion_ = Motion::stopped;
    if (!stopped_input_.empty()) waiting_since_ = now;
    return true;
}

std::unique_ptr<Session> Relay::lend() {
    assert(motion_ == Motion::stopped && ending_ == Ending::no);
    motion_ = Motion::away;
    return std::move(session_);
}

void Relay::take_back(std::unique_ptr<Session> session, Bytes for_client, Turn& turn) {
    assert(motion_ == Motion::away && session);
    session_ = std::move(session);
    motion_ = Motion::stopped;
    if (tap_ && !session_->touched_since_probe) tap_->probed();
    tell_client(for_client);
    if (!std::exchange(cancel_when_back_, false) || ending_ != Ending::no) return;
    if (!waiting_since_) waiting_since_ = turn.now;
    cancel_waiting(turn);
}

void Relay::go(Turn& turn) {
    if (motion_ == Motion::running || motion_ == Motion::away) return;
    const bool was_stopped = motion_ == Motion::stopped;
    if (was_stopped && ending_ == Ending::no && waiting_since_ && has_hung_up(session_->client)) {
        return client_gone_while_stopped(turn);
    }
    go_wanted_ = was_stopped && skip_.has_value() && ending_ == Ending::no;
    if (go_wanted_) return;
    motion_ = Motion::running;
    waiting_since_.reset();
    cancel_waiting_ = false;
    const std::string input = std::exchange(stopped_input_, {});
    if (!input.empty() && ending_ == Ending::no) send_to_server(bytes(input), turn);
}

void Relay::on_stopped_client(std::uint32_t events, Turn& turn) {
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) return client_gone_while_stopped(turn);
    if (!waiting_since_) waiting_since_ = turn.now;
    if (cancel_waiting_ || skip_) read_ahead(turn);
}

// Nothing of what it sent is run: the client cannot learn of the outcome any more.
void Relay::client_gone_while_stopped(Turn& turn) {
    if (stopped_input_.empty()) {
        const IoOutcome got = session_->client.read_some(turn.scratch);
        if (got.io == Io::ok) stopped_input_ = text(Bytes{turn.scratch}.first(got.size));
    }
    request_dropped_ = !stopped_input_.empty() && stopped_input_.front() != terminate_tag;
    if (stopped_input_.empty() || request_dropped_) note_end(EndCause::client_gone);
    send_now();
    session_->backend.transport.close();
    session_->client.close();
    ending_ = Ending::finished;
}

void Relay::cancel_waiting(Turn& turn) {
    // A client that has sent nothing has nothing to be cancelled, as on a server.
    if (motion_ != Motion::stopped || ending_ != Ending::no || !waiting_since_) return;
    cancel_waiting_ = true;
    read_ahead(turn);
}

void Relay::read_ahead(Turn& turn) {
    const std::size_t room =
        stopped_input_size_max - std::min(stopped_input_size_max, stopped_input_.size());
    client_unread_ = false;  // Without room nothing more is read before the stop ends.
    if (room > 0) {
        const IoOutcome got =
            session_->client.read_some(turn.scratch.first(std::min(room, turn.scratch.size())));
        if (got.io == Io::closed || got.io == Io::failed) return client_gone_while_stopped(turn);
        if (got.io == Io::ok) stopped_input_ += text(Bytes{turn.scratch}.first(got.size));
        client_unread_ = got.io == Io::ok && got.size == std::min(room, turn.scratch.size());
    }
    if (cancel_waiting_) answer_cancelled_request();
    if (skip_) skip_cancelled_request(turn);
}

void Relay::answer_cancelled_request() {
    using namespace protocol::postgres;
    const Step<RefusedRequest> step =
        refuse_request(bytes(stopped_input_), cancelled, stopped_input_size_max);
    if (std::holds_alternative<NeedMore>(step)) return;
    cancel_waiting_ = false;
    // Too large to be held here, or no request at all: it runs when the hold is over, uncancelled.
    if (std::holds_alternative<Error>(step)) return;
    const auto& refused = std::get<RefusedRequest>(step);
    stopped_input_.erase(0, refused.size);
    if (stopped_input_.empty()) waiting_since_.reset();
    if (refused.sync_owed) skip_.emplace();
    tell_client(bytes(refused.reply));
}

void Relay::skip_cancelled_request(Turn& turn) {
    stopped_input_.erase(0, skip_->skip(bytes(stopped_input_)));
    if (stopped_input_.empty()) waiting_since_.reset();
    if (!skip_->ended() || ending_ != Ending::no) return;
    const std::string reply = skip_->reply();
    skip_.reset();
    if (reply.empty()) {
        send_now();
        session_->backend.transport.close();
        session_->client.close();
        ending_ = Ending::finished;
        return;
    }
    tell_client(bytes(reply));
    if (go_wanted_) go(turn);
}

bool Relay::swap_backends() {
    assert(motion_ == Motion::stopped);
    if (!session_->other) return false;
    const auto state = std::exchange(session_->other_state, std::nullopt)
                           .value_or(protocol::postgres::SessionState{});
    std::swap(session_->backend, *session_->other);
    session_->other->served = true;
    session_->touched_since_probe = true;
    if (tap_) tap_->session_moved();
    const std::string told = changed_parameters(*session_->other, session_->backend, state);
    if (!told.empty()) tell_client(bytes(told));
    // Nothing more is to be heard there, and temporary tables that live here now need no second
    // place.
    if (!state.channels.empty() || state.temporary.any()) session_->other.reset();
    return true;
}

}  // namespace segue::proxy
