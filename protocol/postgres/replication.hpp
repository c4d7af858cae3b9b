#pragma once
// The streaming replication protocol inside CopyData: what the server sends, what we answer, and
// the statement that begins it.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/position.hpp"
#include "protocol/result.hpp"

namespace segue::protocol::postgres {

using ReplicationTime = std::chrono::sys_time<std::chrono::microseconds>;

// The wire counts microseconds since 2000-01-01 UTC. Empty when the sum leaves the range of the
// clock's type.
std::optional<ReplicationTime> replication_time(std::int64_t microseconds_since_2000);

// XLogData := 'w' int64 start, int64 server_end, int64 time, bytes
struct XLogData {
    Position start;  // Where `payload` stands in the log; zero for what stands nowhere (Relation
                     // messages).
    Position server_end;
    ReplicationTime sent_at;
    Bytes payload;  // Valid as long as the bytes that were parsed.
};

// Keepalive := 'k' int64 server_end, int64 time, int8 reply_requested
// Everything of the stream below `server_end` has been sent before it.
struct Keepalive {
    Position server_end;
    ReplicationTime sent_at;
    bool reply_requested = false;
};

using ReplicationMessage = std::variant<XLogData, Keepalive>;

// One CopyData body.
Result<ReplicationMessage> parse_replication_message(Bytes body);

// StandbyStatus := 'r' int64 written, int64 flushed, int64 applied, int64 time, int8
// reply_requested `flushed` is what the slot is confirmed to: only what is durable on the other
// side (law 3).
struct StandbyStatus {
    Position written;
    Position flushed;
    Position applied;
    ReplicationTime now;
    bool reply_requested = false;
};
std::string standby_status(const StandbyStatus& status);

// START_REPLICATION for pgoutput, proto_version 1, text. The server begins at the slot's confirmed
// position when that is above `from`: compare them first, it does so silently.
std::string start_replication(std::string_view slot,
                              Position from,
                              const std::vector<std::string>& publications);

}  // namespace segue::protocol::postgres
