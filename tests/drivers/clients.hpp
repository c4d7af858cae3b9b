#pragma once
// Unmodified clients of others, as programs that the tests start.
//
// A client connects by PG* variables and works in rounds, without a pause, until SIGTERM; then it
// finishes its round, disconnects and ends with 0. Whatever it did not expect ends it with another
// code. A round does what users of that driver do: one transaction that keeps the round's row in
// app.kept, through every kind of parameter the driver has; reading it back; the session's own
// setting; transfers between two accounts of its own; batches, pipelines, COPY, large results,
// catalog questions; an error inside a transaction and going on after it; a statement cancelled or
// timed out; a notification to itself; a new connection. At the end of round N it says "round N
// port P": the row is acknowledged, and the server on port P kept it.

#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include "tests/support/postgres_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/segue_process.hpp"

namespace segue::test {

struct ClientKind {
    const char* name;                  // As it calls itself in app.kept.
    std::vector<std::string> program;  // "{}" is a folder for what it has to build first.
    std::vector<std::string>
        present;  // Ends with 0 when it can run here; builds what has to be built.
    const char* packages;

    friend void PrintTo(const ClientKind& kind, std::ostream* out) { *out << kind.name; }
};

std::vector<ClientKind> all_client_kinds();

// Builds what the client needs in `folder`; false where it cannot run here.
bool can_run(const ClientKind& kind, const std::filesystem::path& folder);

// Makes what the clients write to, in the database `shop` with the workload's schema.
void create_kept_table(const PostgresServer& server);

// Lines for Segue's configuration: clients come with TLS, and find this server's certificate.
std::vector<std::pair<std::string, std::string>> listen_with_tls_of(const PostgresServer& server);

class RunningClient {
public:
    RunningClient(const ClientKind& kind,
                  const SegueProcess& segue,
                  const std::filesystem::path& root_certificate);

    // It goes on working for so many rounds, and that server keeps what it writes.
    void expect_works(const PostgresServer& server, int rounds = rounds_a_phase);
    // It ends with 0 at the end of its round.
    void expect_ends_well();
    // The server has what was acknowledged to it, once.
    void expect_kept(const PostgresServer& server) const;

private:
    static constexpr int rounds_a_phase = 2;
    struct Round {
        int number = 0, port = 0;
    };
    Round last() const;

    std::string name_;
    std::filesystem::path log_;
    Child process_;
};

}  // namespace segue::test
