#include "tests/simulation/world.hpp"

namespace segue::simulation {

namespace {

constexpr int clients_max = 5;
constexpr unsigned keys = 14;

}  // namespace

World::World(const Rules& of, std::uint64_t seed)
    : rules(of), dice(seed), shared(of, dice), clients_(clients_max) {
    story.gated = dice.percent(50);
    story.crashes = dice.percent(30) ? 0 : 12;
    clients_.back().direct = true;
    // As `start` leaves it.
    for (const Side side : {Side::source, Side::target}) {
        backfill::ControlRecord record;
        record.migration = record.migration_id = "simulated";
        record.side = side;
        record.backfill = router::Backfill::copying;
        Meta meta;
        meta.control = record;
        shared.at(side).commit_ours({}, std::move(meta), false);
    }
    Database &source = shared.at(Side::source), &target = shared.at(Side::target);
    source.slot = Slot{source.flushed(), source.flushed()};
    Meta meta = target.meta();
    meta.progress = StoredProgress{source.flushed(), {}, source.flushed(), {}};
    target.commit_ours({}, std::move(meta), false);
    target.fence_closed = true;
}

void World::mover_steps() {
    if (!mover_started) return;
    if (run && run->failed()) {
        run.reset();
        if (shared.stopped_by_a_miss && !shared.rogues)
            shared.violate("a change did not hit exactly one row, and nobody had interfered");
    }
    if (run) {
        run->step();
    } else if (!shared.stopped_by_a_miss) {
        run = std::make_unique<Run>(shared);
    }
}

void World::something_breaks() {
    const Side side = dice.percent(50) ? Side::source : Side::target;
    if (dice.below(10'000) < story.crashes) shared.at(side).crash();
    if (dice.below(10'000) < 20) run.reset();  // Its connections were cut.
    if (dice.below(10'000) < 20) shared.at(side).reachable = false;
    if (dice.percent(5)) shared.at(side).reachable = true;
    // Before, nobody would look: that is what the fence and a verification are for.
    if (shared.rogues && run && run->consistent() && dice.below(1000) < 4) rogue_write();
}

void World::tick() {
    Database& database = shared.at(dice.percent(50) ? Side::source : Side::target);
    const unsigned what = dice.below(100);
    if (what < 40) {
        step(clients_[dice.below(clients_max)]);
    } else if (what < 50) {
        database.flush();
    } else if (what < 52) {
        if (!story.quiet) database.make_noise();
    } else if (what < 54) {
        if (database.slot) database.slot->persisted = database.slot->confirmed;
    } else if (what < 55 && !late.empty()) {
        const Late one = late.front();
        late.erase(late.begin());
        compare_and_set(one.side, one.expected, one.next);
    } else {
        for (int i = 0; i < 3; ++i) mover_steps();
    }
    if (!story.quiet) something_breaks();
    check_fences();
}

void World::call() {
    for (unsigned i = dice.below(12); i > 0; --i) tick();
    if (!story.quiet && dice.below(1000) < 12) throw Crash{};
}

void World::process_is_gone() {
    ++restarts;
    run.reset();
    mover_started = serving = held = false;
    for (Database& database : shared.databases) database.fence_locked = false;
    for (Client& client : clients_) {
        if (!client.direct) lost(client);
    }
}

bool World::compare_and_set(Side side,
                            const backfill::ControlRecord& expected,
                            const backfill::ControlRecord& next) {
    Meta meta = shared.at(side).meta();
    const bool same = meta.control->epoch == expected.epoch &&
                      meta.control->phase == expected.phase &&
                      meta.control->attempt == expected.attempt;
    if (!same) return false;
    meta.control = next;
    shared.at(side).commit_ours({}, std::move(meta), false);
    return true;
}

RowChange World::random_change() {
    const int key = static_cast<int>(dice.below(keys));
    const unsigned what = dice.below(100);
    if (what < 35) return {RowChange::Kind::insert, rows_table, key, 0, next_value_++};
    if (what < 60) return {RowChange::Kind::update, rows_table, key, 0, next_value_++};
    if (what < 75) return {RowChange::Kind::remove, rows_table, key};
    if (what < 98) {
        const int to = static_cast<int>(dice.below(keys));
        return {RowChange::Kind::rename, rows_table, key, to, 0, dice.percent(40)};
    }
    return {RowChange::Kind::truncate, rows_table};
}

// Its connection is gone, and with it a transaction that was open.
void World::lost(Client& client) {
    if (client.state == Client::State::writing) {
        // After a crash of the database the number may be somebody else's.
        Database& database = shared.at(client.side);
        if (database.crashes == client.crashes) database.abort(client.xid);
        aborted_.insert(client.number);
    }
    client.gate = {};
    // A commit that was sent becomes visible without anybody waiting for it.
    if (client.state == Client::State::committing)
        client.cut = true;
    else
        client.state = Client::State::idle;
}

void World::begin(Client& client) {
    if (story.quiet || (client.direct ? !dice.percent(10) : !serving || held)) return;
    client.side = client.direct && dice.percent(50) ? other(route) : route;
    Database& database = shared.at(client.side);
    client.xid = database.begin();
    client.crashes = database.crashes;
    client.left = 1 + dice.below(3);
    client.asynchronous = dice.percent(30);
    client.gate_closed = story.gated && !client.direct && run && run->consistent();
    client.number = next_number_++;
    client.before = database.inserted();
    client.asked = client.cut = client.marked = false;
    client.state = Client::State::writing;
}

void World::write(Client& client) {
    Database& database = shared.at(client.side);
    // Who has written all that it wants to may commit, whatever the fence says meanwhile.
    if (client.marked) {
        database.commit(client.xid);
        client.state = Client::State::committing;
        return;
    }
    const bool refused = database.fence_closed && rules.fence_refuses_writers;
    if (refused || (client.left == 0 && dice.percent(10))) {
        database.abort(client.xid);
        aborted_.insert(client.number);
        client.state = Client::State::idle;
        return;
    }
    if (client.left > 0) {
        --client.left;
        (void)database.write(client.xid, random_change());
        return;
    }
    const RowChange mark{RowChange::Kind::insert, journal_table, client.number, 0, next_value_++};
    client.marked = database.write(client.xid, mark);
}

void World::end(Client& client) {
    if (!shared.at(client.side).show(client.xid, client.asynchronous)) return;
    ++commits;
    client.state = Client::State::idle;
    if (client.cut) return;
    if (!client.gate_closed) {
        // What was not waited for may be lost in a crash.
        if (!client.asynchronous) acknowledged_.insert(client.number);
        return;
    }
    client.state = Client::State::gated;
    client.gate.hold(bytes("committed"), client.side, ++client.requests, {});
}

void World::wait_at_the_gate(Client& client) {
    Database& database = shared.at(client.side);
    if (!client.asked) {
        client.asked = true;
        const bool honest = rules.token_after_the_answer;
        const Position token = honest ? database.inserted() : client.before;
        if (database.flushed() < token) database.commit_ticket();
        client.gate.token(client.side, client.requests, token);
        return;
    }
    std::string told;
    if (rules.release_at_the_token) {
        client.gate.release(client.side, (*shared.applied)[index(client.side)].current(), told);
    } else {
        client.gate.release_all(told);
    }
    if (told.empty()) return;
    acknowledged_.insert(client.number);
    if (!shared.at(other(client.side)).rows().contains({journal_table, client.number}))
        shared.violate("a commit was acknowledged that the follower does not have");
    client.state = Client::State::idle;
}

void World::step(Client& client) {
    if (client.state != Client::State::idle && shared.at(client.side).crashes != client.crashes) {
        if (client.state == Client::State::writing) aborted_.insert(client.number);
        client.gate = {};
        client.state = Client::State::idle;
        return;
    }
    switch (client.state) {
        case Client::State::idle:
            return begin(client);
        case Client::State::writing:
            return write(client);
        case Client::State::committing:
            return end(client);
        case Client::State::gated:
            return wait_at_the_gate(client);
    }
}

bool World::clients_are_quiet() const {
    for (const Client& client : clients_) {
        if (!client.direct && client.state != Client::State::idle) return false;
    }
    return true;
}

// As a superuser who has switched the fence's trigger off.
void World::rogue_write() {
    Database& follower = shared.at(other(shared.authority));
    const std::uint64_t xid = follower.begin();
    const bool wrote = follower.write(xid, random_change());
    if (!wrote) return follower.abort(xid);
    follower.commit(xid);
    follower.flush();
    follower.show(xid, false);
}

void World::check_fences() {
    if (!shared.databases[0].fence_closed && !shared.databases[1].fence_closed)
        shared.violate("both sides accept writes");
}

void World::check_the_end() {
    const Database& authority = shared.at(route);
    const Database& follower = shared.at(other(route));
    if (authority.fence_closed) shared.violate("the authority does not accept writes");
    const bool equal = authority.rows() == follower.rows();
    const bool noticed = shared.stopped_by_a_miss || shared.strays[0] + shared.strays[1] > 0;
    if (!equal && !(shared.rogues && noticed)) shared.violate("the sides differ at the end");
    for (const int number : acknowledged_) {
        if (!authority.rows().contains({journal_table, number}))
            shared.violate("an acknowledged transaction is lost");
    }
    for (const int number : aborted_) {
        if (authority.rows().contains({journal_table, number}))
            shared.violate("a transaction that was rolled back is there");
    }
}

}  // namespace segue::simulation
