#pragma once
// The verbs over databases, a mover and sessions in memory, as the operator's thread runs them.

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "proxy/operations.hpp"
#include "tests/proxy/fake_world.hpp"

namespace segue::proxy::test {

struct Desk {
    explicit Desk(World& of) : program(of) {
        operations.start_wait = operations.sync_wait = operations.gate_wait =
            std::chrono::milliseconds{0};
        operations.change_limits.retry_pause = operations.change_limits.connect =
            std::chrono::milliseconds{0};
    }
    VerbResult run(const std::string& verb,
                   const nlohmann::json& arguments = nlohmann::json::object()) {
        return operations.run(verb, arguments);
    }

    Config config;
    Program program;
    StateBoard board;
    std::vector<backfill::Finding> findings;
    int checks = 0, findings_go_after = 0;  // Checks; none: they stay.
    Operations operations{{config,
                           {program.steps,
                            program.mover,
                            program.sessions,
                            program.traffic,
                            program.journal,
                            program.stopping},
                           board,
                           [this]() -> Result<std::vector<backfill::Finding>> {
                               if (++checks == findings_go_after) findings.clear();
                               return findings;
                           }}};
};

}  // namespace segue::proxy::test
