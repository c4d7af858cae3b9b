#pragma once
// One client session: a value that is owned by exactly one place at a time. The control plane (Asio
// thread) owns it during login and while it is being moved; its relay thread owns it in between.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "protocol/postgres/boundary.hpp"
#include "protocol/postgres/session_state.hpp"
#include "protocol/postgres/statement_hints.hpp"
#include "proxy/backend.hpp"
#include "proxy/shift_rules.hpp"
#include "proxy/transport.hpp"

namespace segue::proxy {

struct Session {
    std::uint64_t id = 0;
    Transport client;
    Backend backend;               // Answers the client.
    std::optional<Backend> other;  // On the other side, its state equal to `other_state`. Only near
                                   // a move, or for shadow and shift.
    StartupParameters startup;
    Credentials credentials;
    bool movable = true;  // False: another database, replication, a login that cannot be repeated.
    std::string immovable_because;
    Side client_types = Side::source;  // The type OIDs that the client knows: those of the server
                                       // that it logged in to.
    bool replication = false;
    bool passed_through = false;  // Another database or a replication connection: neither held nor
                                  // moved by a change of authority.

    // What the client knows of its backend, for cancel requests: never changes after login.
    std::int32_t client_pid = 0;
    std::string client_cancel_key;

    protocol::postgres::Boundary boundary;  // Where both directions stand.
    protocol::postgres::StateHints hints;   // The blind spots that need tracking.
    std::optional<protocol::postgres::SessionState> other_state;
    SessionSeat seat;                 // Where a percentage of sessions is shifted.
    bool touched_since_probe = true;  // Any traffic since `other_state` was asked.
};

}  // namespace segue::proxy
