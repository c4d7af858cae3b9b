#pragma once
// One migration for a test: two servers with passwords, the application's role and database, Segue
// between them.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/cable.hpp"
#include "tests/support/compare.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/segue_process.hpp"
#include "tests/support/workload.hpp"

namespace segue::test {

struct MigrationOptions {
    ServerOptions source = scram(), target = scram();
    bool workload_schema = true;
    bool cables = false;  // Segue reaches each server through a relay that can be cut.
    std::vector<std::pair<std::string, std::string>> lines =
        {};  // Of the configuration, by section.
    std::vector<std::pair<std::string, std::string>> environment = {};  // Of Segue, added to ours.

    static ServerOptions scram() {
        ServerOptions options;
        options.auth = ServerAuth::scram;
        return options;
    }
};

// Database `shop`, owned by role `app` (password "app", no superuser) on the source; Segue's own
// role is `mover`.
class Migration {
public:
    explicit Migration(MigrationOptions options = {});

    PostgresServer& source() { return *source_; }
    PostgresServer& target() { return *target_; }
    SegueProcess& segue() { return *segue_; }

    // Only with `cables`: between Segue and that server.
    Cable& source_cable() { return *cables_[0]; }
    Cable& target_cable() { return *cables_[1]; }
    // The URLs that Segue itself uses; for a second Segue on the same migration.
    SegueOptions segue_options() const { return segue_options_; }

    // The application's URL through Segue, and straight to a server.
    std::string through() const { return segue_->url("shop", "app", "app"); }
    std::string direct(const PostgresServer& server) const {
        return server.url("shop", "app", "app");
    }
    std::string superuser(const PostgresServer& server) const { return server.socket_url("shop"); }
    // A session as the mover's own, which the fence lets through: to do damage. Not for peaceful
    // use.
    std::string as_mover(PostgresServer& server) const;

    // `segue run`, `segue start`, and waits until the copy is consistent.
    bool copy();
    // Waits until both databases are equal (clients are quiet); a test failure for each difference
    // otherwise.
    void expect_equal_soon(std::chrono::seconds limit = std::chrono::seconds{30});
    // Equality, the journal on both sides, and the workload's invariants.
    void expect_right(const Workload& workload);

private:
    std::string mover_url(const PostgresServer& server, const Cable* cable) const;

    std::unique_ptr<PostgresServer> source_, target_;
    std::unique_ptr<Cable> cables_[2];
    SegueOptions segue_options_;
    std::unique_ptr<SegueProcess> segue_;
};

}  // namespace segue::test
