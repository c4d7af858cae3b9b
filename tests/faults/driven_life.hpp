#pragma once
// A migration driven to its end whatever dies on the way: what an operator with patience would do.

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "tests/support/migration.hpp"
#include "tests/support/schema_changes.hpp"

namespace segue::test {

class DrivenLife {
public:
    explicit DrivenLife(unsigned seed, MigrationOptions options = {});
    ~DrivenLife();

    Migration& migration() { return migration_; }
    Workload& workload() { return workload_; }
    // Those who change the schema, where that is wanted (schema_changes_wanted).
    SchemaChanges* schema_changes() { return schema_changes_ ? &*schema_changes_ : nullptr; }

    // Starts Segue (with that crash point) and the clients.
    void begin(const std::string& crash_at = "");

    // Each repeats its verb, restarting Segue without a crash point whenever it is gone, until
    // status says that the goal is reached; false (and a test failure) when the limit passes.
    bool reach_consistent();
    bool reach_mirror(const std::string& mode);
    bool reach_authority(const std::string& side);
    bool reach_finished();

    // All of it: the copy, mirror sync, there and back.
    void live();

    // How often Segue was found dead and started again.
    int restarts() const { return restarts_; }

    // Waits, while the clients work, until Segue was found dead and started again at least once.
    bool has_died();

    // The clients stop; equality and journal on both sides, and of the schemas where they changed.
    void expect_right();

private:
    bool drive(const std::string& verb,
               const std::string& argument,
               const std::function<bool(const nlohmann::json&)>& reached);
    void revive();
    bool clients_go_on();
    void expect_same_schema();

    Migration migration_;
    Workload workload_;
    std::optional<SchemaChanges> schema_changes_;
    int restarts_ = 0;
};

}  // namespace segue::test
