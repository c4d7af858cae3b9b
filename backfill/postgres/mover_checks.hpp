#pragma once
// Law 3 at every start of a stream: the server, its timeline and its slot must be what the record
// and the durable progress on the other side say. Else the copy is invalid: Errc::refused.

#include <optional>
#include <string>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/store.hpp"
#include "protocol/result.hpp"
#include "router/side.hpp"

namespace segue::backfill::postgres {

// `replication` is a replication connection to that side, `side` another connection to it.
Status check_server(Connection& replication, Connection& side_connection, Side side);

struct SlotState {
    Position confirmed;
    std::optional<Position> restart;  // Empty: the server has given it up.
};
// Empty: there is no such slot.
Result<std::optional<SlotState>> read_slot(Connection& connection, const std::string& slot);

// Those of this migration that the side has. Without DDL that is carried it is one.
Result<std::vector<std::string>> read_publications(Connection& connection,
                                                   const std::string& migration);

// The progress to go on from. `owner` is connected to the stream's side,
// `store` to the other one.
Result<StoredProgress> progress_for_slot(Connection& owner,
                                         Connection& store,
                                         Side stream,
                                         const std::string& slot);

// Returns once every transaction whose commit may stand before a slot that was just created is
// visible to new snapshots: the slot will not deliver it, so a chunk must see it (law 4).
Status wait_for_past(Connection& connection);

}  // namespace segue::backfill::postgres
