#pragma once
// A status in which everything has a value.

#include "proxy/status.hpp"

namespace segue::proxy::test {

inline StatusInputs busy() {
    StatusInputs inputs;
    inputs.board.authority_known = true;
    backfill::ControlRecord record;
    record.migration = "segue";
    record.epoch = 3;
    record.authority = Side::target;
    record.backfill = router::Backfill::consistent;
    record.knobs = {router::Mirror::sync, 5, 10, false};
    inputs.board.record = record;
    inputs.board.last_change = LastChange{"cutover",
                                          true,
                                          std::chrono::microseconds{12500},
                                          std::chrono::microseconds{8000},
                                          WallTime{std::chrono::milliseconds{1700000000123}},
                                          ""};
    inputs.board.verify = {VerifyOutcome::equal, 100, 0, WallTime{}, WallTime{}};
    inputs.mover.running = true;
    inputs.mover.backfill = router::Backfill::consistent;
    inputs.mover.tables = {{"public", "orders", "consistent", 10, 10, ""}};
    for (backfill::StreamStatus& stream : inputs.mover.streams) {
        stream.connected = stream.reverse_ready = true;
        stream.lag_bytes = 100;
        stream.lag_seconds = 0.5;
        stream.applied = Position{0x16B3748};
    }
    inputs.sessions = {3, 1, {{42, "temporary table"}}, 1};
    inputs.shadow = {5, 4, 1, 0, 2};
    inputs.retained_log_bytes_max = 1000;
    return inputs;
}

}  // namespace segue::proxy::test
