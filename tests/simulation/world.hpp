#pragma once
// Two simulated databases, applications, a mover and the process that serves the applications. One
// thing happens after another, which one is told by the dice, so that a story follows from its
// seed.

#include <array>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "router/gate.hpp"
#include "tests/simulation/run.hpp"

namespace segue::simulation {

struct Crash {};  // Thrown: the process is gone.

struct Story {
    bool quiet = false;  // Nothing new begins and nothing goes wrong any more.
    bool gated = false;  // Clients are answered when both sides have it (mirror sync).
    unsigned crashes =
        12;  // Chances in 10,000, at each thing that happens, that a database crashes.
};

// One session of an application, through the process or past it.
class Client {
public:
    enum class State : std::uint8_t { idle, writing, committing, gated };
    State state = State::idle;
    bool direct = false;
    Side side = Side::source;
    std::uint64_t xid = 0, crashes = 0;
    unsigned left = 0;
    bool asynchronous = false, gate_closed = false;
    bool marked =
        false;         // It has written its row in the journal, the last thing before its commit.
    bool cut = false;  // Its connection is gone: nobody is told how its commit went.
    int number = 0;    // Of the transaction; its row in the journal.
    Position before;
    router::Gate gate;
    bool asked = false;
    std::uint64_t requests = 0;
};

class World {
public:
    World(const Rules& rules, std::uint64_t seed);

    // One thing happens, to anybody but the process that serves.
    void tick();
    // A call of the process: other things happen before it, and it may be the process's last.
    void call();
    // Whether something goes wrong now; so often in a hundred.
    bool trouble(unsigned chance) { return !story.quiet && shared.dice.percent(chance); }
    void process_is_gone();
    bool clients_are_quiet() const;
    void mover_steps();

    // A late compare-and-set arrives.
    bool compare_and_set(Side side,
                         const backfill::ControlRecord& expected,
                         const backfill::ControlRecord& next);

    // Everything has come to rest: what must be true now.
    void check_the_end();
    void check_fences();

    const Rules& rules;
    test::Dice dice;
    Shared shared;
    Story story;
    std::unique_ptr<Run> run;
    bool mover_started = false;
    bool serving = false, held = false;
    Side route = Side::source;
    struct Late {
        Side side;
        backfill::ControlRecord expected, next;
    };
    std::vector<Late> late;
    unsigned changes = 0, restarts = 0, commits = 0;

private:
    void step(Client& client);
    void begin(Client& client);
    void write(Client& client);
    void end(Client& client);
    void wait_at_the_gate(Client& client);
    void lost(Client& client);
    RowChange random_change();
    void something_breaks();
    void rogue_write();

    std::vector<Client> clients_;
    int next_number_ = 1;
    std::uint64_t next_value_ = 2;
    std::set<int> acknowledged_, aborted_;
};

}  // namespace segue::simulation
