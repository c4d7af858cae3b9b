#include "tests/faults/driven_life.hpp"

#include <gtest/gtest.h>

namespace segue::test {

using namespace std::chrono_literals;

namespace {

constexpr auto goal_limit = 90s;  // Times busy_factor.
constexpr std::int64_t transactions_between = 30;

WorkloadOptions clients(Migration& migration, unsigned seed) {
    WorkloadOptions options{migration.through()};
    options.workers = 4;
    options.reconnect_limit = goal_limit * busy_factor;
    options.seed = seed;
    return options;
}

MigrationOptions with_schema_changes(MigrationOptions options) {
    if (schema_changes_wanted()) options.lines.emplace_back("ddl", "carry = true");
    return options;
}

bool has_begun(const SegueProcess& segue) {
    const auto status = segue.status();
    const auto state = status ? (*status)["backfill"]["state"] : nlohmann::json{};
    return state == "copying" || state == "consistent";
}

}  // namespace

DrivenLife::DrivenLife(unsigned seed, MigrationOptions options)
    : migration_(with_schema_changes(std::move(options))), workload_(clients(migration_, seed)) {
    if (!schema_changes_wanted()) return;
    SchemaChanges::prepare(migration_.source().socket_url("shop", "app"));
    SchemaChangesOptions changes{migration_.through()};
    changes.shared = {"app.keyed", "app.account", "app.measured", "app.audited", "app.loose"};
    changes.reconnect_limit = goal_limit * busy_factor;
    changes.seed = seed;
    changes.may_begin = [this] { return has_begun(migration_.segue()); };
    schema_changes_.emplace(changes);
}

DrivenLife::~DrivenLife() {
    if (schema_changes_) schema_changes_->stop();
    workload_.stop();
}

void DrivenLife::begin(const std::string& crash_at) {
    migration_.segue().run(crash_at);
    workload_.start();
    if (schema_changes_) schema_changes_->start();
}

void DrivenLife::revive() {
    if (migration_.segue().running()) return;
    ++restarts_;
    SegueProcess& segue = migration_.segue();
    segue.launch();  // It may be killed again at once.
    eventually(20s, [&] { return !segue.running() || segue.status().has_value(); });
}

bool DrivenLife::drive(const std::string& verb,
                       const std::string& argument,
                       const std::function<bool(const nlohmann::json&)>& reached) {
    const auto deadline = std::chrono::steady_clock::now() + goal_limit * busy_factor;
    std::string said;
    while (std::chrono::steady_clock::now() < deadline) {
        revive();
        const auto now = migration_.segue().status();
        if (now && reached(*now)) return true;
        // `start` returns early; the rest happens by itself.
        const CommandResult result = argument.empty()
                                         ? migration_.segue().verb({verb}, 60s)
                                         : migration_.segue().verb({verb, argument}, 60s);
        if (result.exit_code != 0) said = result.err;
        // The verbs are patient, and so is the operator.
        within(250ms, [&] { return !migration_.segue().running(); });
    }
    ADD_FAILURE() << "not reached: " << verb << " " << argument << "; it said last: " << said;
    return false;
}

// Segue may die while nobody asks anything of it, too.
bool DrivenLife::clients_go_on() {
    const std::int64_t wanted = workload_.committed() + transactions_between;
    return eventually(goal_limit, [&] {
        revive();
        return workload_.committed() >= wanted;
    });
}

bool DrivenLife::has_died() {
    return eventually(goal_limit, [&] {
        revive();
        return restarts_ > 0;
    });
}

bool DrivenLife::reach_consistent() {
    return drive("start", "", [](const nlohmann::json& now) {
        return now["backfill"]["state"] == "consistent";
    });
}

bool DrivenLife::reach_mirror(const std::string& mode) {
    return drive(
        "mirror", mode, [&](const nlohmann::json& now) { return now["mirror"]["mode"] == mode; });
}

bool DrivenLife::reach_authority(const std::string& side) {
    return drive(side == "target" ? "cutover" : "rollback", "", [&](const nlohmann::json& now) {
        return now["authority"] == side && now["sessions"]["held"] == 0;
    });
}

bool DrivenLife::reach_finished() {
    return drive("finish", "", [](const nlohmann::json& now) { return now["finished"] == true; });
}

void DrivenLife::live() {
    ASSERT_TRUE(reach_consistent());
    if (schema_changes_) schema_changes_->may_rename();
    ASSERT_TRUE(reach_mirror("sync"));
    ASSERT_TRUE(clients_go_on());
    ASSERT_TRUE(reach_authority("target"));
    ASSERT_TRUE(clients_go_on());
    ASSERT_TRUE(reach_authority("source"));
    ASSERT_TRUE(clients_go_on());
}

void DrivenLife::expect_right() {
    if (schema_changes_) schema_changes_->stop();
    workload_.stop();
    revive();
    for (const std::string& error : workload_.report().errors)
        ADD_FAILURE() << "a client saw: " << error;
    migration_.expect_right(workload_);
    if (schema_changes_) expect_same_schema();
}

void DrivenLife::expect_same_schema() {
    for (PostgresServer* server : {&migration_.source(), &migration_.target()})
        schema_changes_->expect_right(migration_.superuser(*server));
    for (const std::string& difference :
         compare_dumps(migration_.source(), migration_.target(), "shop"))
        ADD_FAILURE() << difference;
}

}  // namespace segue::test
