#pragma once
// A session's state as a value: asked of its own backend (probe), put onto another connection
// (restore). All requests are bytes to send as they are; all replies are parsed from the bytes
// received so far. The caller must be at a boundary, and sends nothing else until the reply is
// complete. Statements are sent by the extended protocol under a name of ours, because a simple
// Query would destroy the client's unnamed statement.
//
// Session-level advisory locks pin. A session may hold one several times, and then has to give it
// back as often; the server tells that it is held, not how often. The number could only be found by
// giving the lock back until it is gone and taking it again, and between the two somebody else may
// take it: a session beside Segue, or one that was waiting for it.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/postgres/late_statements.hpp"
#include "protocol/postgres/reply_walk.hpp"
#include "protocol/postgres/statement_hints.hpp"
#include "protocol/postgres/temporary_tables.hpp"
#include "protocol/result.hpp"

namespace segue::protocol::postgres {

// A type by name: OIDs of types that were not built in differ from server to server.
struct TypeName {
    std::uint32_t oid = 0;  // On the server that was asked.
    std::string schema, name;

    // Built-in types have the same OID everywhere (below FirstGenbkiObjectId).
    bool built_in() const { return oid < 10000; }
    friend bool operator==(const TypeName&, const TypeName&) = default;
};

struct PreparedStatement {
    std::string name, text;
    std::vector<TypeName> parameter_types;
    bool from_sql = false;  // By SQL-level PREPARE; `text` is then the whole string that held it.
    friend bool operator==(const PreparedStatement&, const PreparedStatement&) = default;
};

struct SessionState {
    std::vector<std::pair<std::string, std::string>> settings;  // Set in the session, by name.
    std::vector<std::pair<std::string, std::string>> custom_settings;
    std::string role = "none";
    std::string session_authorization;  // session_user
    std::vector<PreparedStatement> statements;
    std::string
        unnamed_parse;  // The whole message; empty when the session has no unnamed statement.
    std::vector<TypeName> unnamed_types;  // Types that the message names by OID, in its order.
    // Not of a probe: what its own server could not execute either (statement_check.hpp).
    std::vector<LateStatement> late;
    std::vector<std::string> channels;  // LISTEN
    TemporaryTables temporary;          // Not of a probe: read apart, where they are to be carried
                                        // (temporary_tables.hpp).
    std::vector<std::string> pins;      // Why the session cannot move: "cursor WITH HOLD \"c\"",
                                        // "temporary table \"t\"", ...

    friend bool operator==(const SessionState&, const SessionState&) = default;
};

// Whether a connection onto which `restored` was put needs no restore to be `wanted`: equal but for
// OIDs and pins. Both were probed from the session's own backend: a restored connection would tell
// another text of a PREPARE that stood among others.
bool is_equal(const SessionState& wanted, const SessionState& restored);

// How string literals of the session's own statements are read (standard_conforming_strings).
bool backslash_escapes(const SessionState& state);

// Asks for everything in one round trip.
std::string probe_request(const StateHints& hints);
// `reply`: all bytes received since the probe was sent. An Error with `sqlstate` when the server
// refused, Errc::closed when it ended the session. `hints` as given to probe_request.
Step<SessionState> parse_probe_reply(Bytes reply, const StateHints& hints);

// Messages among a probe's reply that are meant for the client, as bytes to relay:
// NotificationResponse, ParameterStatus, and with what words the server ends the session.
std::string messages_for_client(Bytes reply);

// OIDs on the new side, by (schema, name).
using TypeOids = std::map<std::pair<std::string, std::string>, std::uint32_t>;

// The first round trip of a restore, needed only when a statement uses types that are not built in;
// else empty.
std::string resolve_request(const SessionState& state);
// A type that the new side lacks is an Error that names it.
Step<TypeOids> parse_resolve_reply(Bytes reply, const SessionState& state);

// The second (usually only) round trip: sets everything, on a connection that was logged in with
// the same startup parameters and is fresh or has been reset. An Error when a type has no OID, or a
// PREPARE cannot be found in its text. It is written whole before anything is read, because what it
// asks for has small answers (descriptions have not: described_statements.hpp).
Result<std::string> restore_request(const SessionState& state, const TypeOids& oids);
// Complete at ReadyForQuery; the Error carries the first SQLSTATE. An error leaves the connection
// to be closed or reset.
Step<Done> check_restore_reply(Bytes reply);

// Returns a connection to its state after login (DISCARD ALL); answered like a restore.
std::string reset_request();

// One statement without parameters (LISTEN, UNLISTEN *, NOTIFY ...) that leaves the client's
// unnamed one alone; answered like a restore.
std::string execute_request(std::string_view statement);

}  // namespace segue::protocol::postgres
