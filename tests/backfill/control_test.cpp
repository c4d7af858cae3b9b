#include "backfill/postgres/control.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <future>

#include "backfill/postgres/mover_link.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

using namespace std::chrono_literals;
using test::Databases;

ControlRecord some_record() {
    ControlRecord record;
    record.migration = "segue";
    record.migration_id = "id-1";
    record.side = Side::target;
    record.epoch = 7;
    record.authority = Side::source;
    record.attempt = 3;
    record.since = Position{0x1'0000'0010};
    record.backfill = router::Backfill::consistent;
    record.knobs = {router::Mirror::sync,
                    12.5,
                    0.1,
                    true,
                    {router::ShareOf::sessions, {"app"}, {}, {}, {"public.t"}},
                    "ALTER TABLE of app.t"};
    record.system_identifier = "7300000000000000001";
    record.timeline = 2;
    return record;
}

class PostgresControl : public testing::Test {
protected:
    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases_ = std::make_unique<Databases>();
        store_ = make_control_store(databases_->url(Side::target));
    }
    void create() {
        databases_->run(Side::target, segue_schema_ddl);
        const Status created = store_->create(some_record());
        ASSERT_TRUE(created) << created.error().detail;
    }
    // What `create` makes, without what earlier builds did not have.
    void create_as_earlier() {
        create();
        databases_->run(
            Side::target,
            "ALTER TABLE segue.control DROP COLUMN shift_scope, DROP COLUMN sync_given_up");
    }
    static ControlRecord earlier_record() {
        ControlRecord record = some_record();
        record.knobs.shift_scope = {};
        record.knobs.sync_given_up.clear();
        return record;
    }
    bool has_later_columns() {
        return databases_->value(
                   Side::target,
                   "SELECT count(*) FROM pg_attribute WHERE attrelid = 'segue.control'::regclass"
                   " AND attname IN ('shift_scope', 'sync_given_up')") == "2";
    }
    // The store's backend, now, for something of that name.
    bool is_waiting(const std::string& wait_event) {
        return databases_->value(Side::target,
                                 "SELECT count(*) FROM pg_stat_activity WHERE application_name ="
                                 " 'segue control' AND datname = current_database()"
                                 " AND wait_event = '" +
                                     wait_event + "'") == "1";
    }
    bool waits_for(const std::string& wait_event) {
        return test::eventually(10s, [&] { return is_waiting(wait_event); });
    }
    // When the store has asked what its backend has answered; empty while that is at work.
    std::string asked_at() {
        return databases_->value(Side::target,
                                 "SELECT coalesce(max(query_start)::text, '') FROM"
                                 " pg_stat_activity WHERE application_name = 'segue control' AND"
                                 " datname = current_database() AND wait_event = 'ClientRead'");
    }
    void signal_store(const std::string& function) {
        databases_->run(Side::target,
                        "SELECT " + function +
                            "(pid) FROM pg_stat_activity WHERE"
                            " application_name = 'segue control' AND datname ="
                            " current_database()");
    }

    std::unique_ptr<Databases> databases_;
    std::unique_ptr<ControlStore> store_;
};

TEST_F(PostgresControl, AnAbsentSchemaIsNoRecord) {
    const auto record = store_->read();
    ASSERT_TRUE(record) << record.error().detail;
    EXPECT_FALSE(record->has_value());
}

// Who has nothing to move asks every few seconds.
TEST_F(PostgresControl, AsksForAnAbsentRecordWithoutAnErrorEachTime) {
    const auto errors = [] {
        const std::string log = Databases::server(Side::target).log();
        int count = 0;
        const std::string error = "relation \"segue.control\" does not exist";
        for (auto at = log.find(error); at != std::string::npos; at = log.find(error, at + 1))
            ++count;
        return count;
    };
    const int before = errors();
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(store_->read());
    EXPECT_EQ(errors(), before + 1);
    create();
    const auto record = store_->read();
    EXPECT_TRUE(record && record->has_value());
}

TEST_F(PostgresControl, GlancesWithoutWaitingHoweverTheServerStands) {
    create();
    const auto seen = [&] { return test::eventually(30s, [&] { return bool{store_->glance()}; }); };
    const auto record = store_->read();
    ASSERT_TRUE(record && *record);
    EXPECT_TRUE(seen());
    const int backend = std::stoi(databases_->value(
        Side::target,
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'segue control' AND datname ="
        " current_database()"));
    ASSERT_EQ(::kill(backend, SIGSTOP), 0);
    // Nobody answers there any more: a new connection does, again and again.
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(seen());
    // Whoever must know asks anew, and glances go on by that connection.
    const auto anew = store_->read();
    EXPECT_TRUE(anew && *anew == *record);
    EXPECT_TRUE(seen());
    EXPECT_EQ(::kill(backend, SIGCONT), 0);
    signal_store("pg_terminate_backend");
    EXPECT_TRUE(seen()) << "it is never connected again";
    EXPECT_TRUE(store_->read());
}

// Nobody has to look for the answer: what is said next goes by the same connection.
TEST_F(PostgresControl, AGlanceThatNobodyHasReadCostsNoConnection) {
    create();
    const auto record = store_->read();
    ASSERT_TRUE(record && *record);
    const auto backends = [&] {
        return databases_->value(Side::target,
                                 "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE"
                                 " application_name = 'segue control' AND datname ="
                                 " current_database()");
    };
    const std::string before = backends();
    const auto glance_unread = [&] {
        const std::string last = asked_at();
        EXPECT_FALSE(store_->glance());
        ASSERT_TRUE(test::eventually(30s, [&] {
            const std::string now = asked_at();
            return !now.empty() && now != last;
        }));
    };
    glance_unread();
    EXPECT_TRUE(store_->read());
    EXPECT_EQ(backends(), before);
    glance_unread();
    ControlRecord next = **record;
    next.attempt += 1;
    EXPECT_EQ(*store_->compare_and_set(**record, next), Written::yes);
    EXPECT_EQ(backends(), before);
}

// Whoever is asked all the time and reads nothing else.
TEST_F(PostgresControl, GlancesAreOneNewConnectionAndNotAsManyAsThereAre) {
    create();
    ASSERT_TRUE(store_->read());
    signal_store("pg_terminate_backend");
    const auto backends = [&] {
        return databases_->value(Side::target,
                                 "SELECT count(*) || ' ' || coalesce(max(pid), 0) FROM "
                                 "pg_stat_activity WHERE application_name ="
                                 " 'segue control' AND datname = current_database()");
    };
    ASSERT_TRUE(test::eventually(30s, [&] { return backends() == "0 0"; }));
    const auto answered = [&] {
        return test::eventually(30s, [&] { return bool{store_->glance()}; });
    };
    EXPECT_TRUE(answered());
    const std::string first = backends();
    EXPECT_TRUE(first.starts_with("1 ")) << first;
    EXPECT_TRUE(answered());
    EXPECT_EQ(backends(), first);
}

// Who waits for a dead side between two glances asks seldom: no time that passes between them makes
// an answer too old.
TEST_F(PostgresControl, AGlanceReadsAnAnswerThatHasWaitedForIt) {
    create();
    store_ = make_control_store(databases_->url(Side::target), 0ms);
    ASSERT_TRUE(store_->read());
    std::string before;
    ASSERT_TRUE(test::eventually(30s, [&] { return !(before = asked_at()).empty(); }));
    EXPECT_FALSE(store_->glance());
    ASSERT_TRUE(test::eventually(30s, [&] {
        const std::string now = asked_at();
        return !now.empty() && now != before;
    }));
    EXPECT_TRUE(store_->glance());
}

TEST_F(PostgresControl, AGlanceByANewConnectionComesThroughHoweverSeldomItIsTakenFurther) {
    create();
    constexpr auto time_max = 100ms;
    store_ = make_control_store(databases_->url(Side::target), time_max);
    EXPECT_TRUE(test::eventually(30s, [&] {
        const auto last = std::chrono::steady_clock::now();
        return store_->glance() || !test::eventually(30s, [&] {
                   return std::chrono::steady_clock::now() - last > 2 * time_max;
               });
    }));
}

TEST_F(PostgresControl, KeepsEveryFieldAndIsCreatedOnce) {
    create();
    const auto record = store_->read();
    ASSERT_TRUE(record && record->has_value());
    EXPECT_EQ(**record, some_record());
    const Status again = store_->create(some_record());
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Errc::refused);
}

TEST_F(PostgresControl, ReadsARecordThatAnEarlierBuildHasMadeFromAnyServer) {
    create_as_earlier();
    ControlRecord expected = earlier_record();
    databases_->run(
        Side::target,
        "ALTER DATABASE " + databases_->database() + " SET default_transaction_read_only = on");
    test::Sql dump{databases_->url(Side::target)};
    dump.query("BEGIN; LOCK TABLE segue.control IN ACCESS SHARE MODE");
    const auto record = store_->read();
    ASSERT_TRUE(record) << record.error().detail;
    ASSERT_TRUE(record->has_value());
    EXPECT_EQ(**record, expected);
    EXPECT_TRUE(test::eventually(30s, [&] { return store_->glance() == expected; }));
    dump.query("COMMIT");
    dump.query("SET default_transaction_read_only = off");
    dump.query("ALTER TABLE segue.control ADD COLUMN shift_scope text");
    dump.query("UPDATE segue.control SET shift_scope = 'colour red'");
    // What is not understood may limit what is shifted: nothing is, and everything else goes on.
    expected.knobs.shift_percent = 0;
    expected.shift_not_understood = true;
    const auto newer = store_->read();
    ASSERT_TRUE(newer && newer->has_value());
    EXPECT_EQ(**newer, expected);
}

TEST_F(PostgresControl, WritesARecordThatAnEarlierBuildHasMadeHoweverItsTableIsHeld) {
    create_as_earlier();
    ControlRecord record = earlier_record();
    const auto writes = [&](auto change) {
        ControlRecord next = record;
        ++next.attempt;
        change(next);
        const auto written = store_->compare_and_set(record, next, 0);
        const bool is_written = written && *written == Written::yes;
        if (is_written) record = next;
        return is_written;
    };
    const auto nothing_more = [](ControlRecord&) {};
    const auto with_a_scope = [](ControlRecord& next) {
        next.knobs.shift_scope = some_record().knobs.shift_scope;
    };
    const auto with_a_reason = [](ControlRecord& next) { next.knobs.sync_given_up = "a reason"; };
    test::Sql dump{databases_->url(Side::target)};
    dump.query("BEGIN; LOCK TABLE segue.control IN ACCESS SHARE MODE");
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(writes(nothing_more));
    EXPECT_FALSE(writes(with_a_scope)) << "what cannot be kept is not said to be";
    EXPECT_EQ(**store_->read(), record);
    dump.query("COMMIT");
    EXPECT_TRUE(writes(with_a_scope));
    EXPECT_EQ(**store_->read(), record);
    // One of the two is there.
    databases_->run(Side::target, "ALTER TABLE segue.control DROP COLUMN sync_given_up");
    dump.query("BEGIN; LOCK TABLE segue.control IN ACCESS SHARE MODE");
    EXPECT_TRUE(writes(nothing_more));
    EXPECT_EQ(**store_->read(), record);
    dump.query("COMMIT");
    store_ = make_control_store(databases_->url(Side::target));
    EXPECT_TRUE(writes(nothing_more));
    EXPECT_TRUE(has_later_columns()) << "a write adds them as soon as it can";
    EXPECT_TRUE(writes(with_a_reason));
    EXPECT_EQ(**store_->read(), record);
}

TEST_F(PostgresControl, IsCreatedInATableThatAnEarlierBuildHasMade) {
    create_as_earlier();
    databases_->run(Side::target, "DELETE FROM segue.control");
    const Status created = store_->create(some_record());
    ASSERT_TRUE(created) << created.error().detail;
    EXPECT_EQ(**store_->read(), some_record());
}

TEST_F(PostgresControl, WritesOnlyOverWhatWasExpected) {
    create();
    ControlRecord next = some_record();
    next.epoch = 8;
    next.phase = router::Phase::switching;
    const auto stale = [&](auto change) {
        ControlRecord expected = some_record();
        change(expected);
        const auto written = store_->compare_and_set(expected, next);
        return written && *written == Written::conflict;
    };
    EXPECT_TRUE(stale([](ControlRecord& record) { record.epoch = 6; }));
    EXPECT_TRUE(stale([](ControlRecord& record) { record.phase = router::Phase::deciding; }));
    EXPECT_TRUE(stale([](ControlRecord& record) { record.attempt = 4; }));
    EXPECT_TRUE(stale([](ControlRecord& record) { record.migration_id = "id-2"; }));
    EXPECT_EQ(**store_->read(), some_record());

    const auto written = store_->compare_and_set(some_record(), next);
    ASSERT_TRUE(written) << written.error().detail;
    EXPECT_EQ(*written, Written::yes);
    EXPECT_EQ(**store_->read(), next);
}

// A process that was frozen comes back with what it knew.
TEST_F(PostgresControl, WritesOnlyUnderTheLeaseThatItIsShown) {
    create();
    ControlRecord next = some_record();
    next.epoch = 8;
    databases_->run(Side::target, "UPDATE segue.lease SET generation = 5");
    for (const std::int64_t other : {4, 6})
        EXPECT_EQ(*store_->compare_and_set(some_record(), next, other), Written::conflict);
    EXPECT_EQ(**store_->read(), some_record());
    // Somebody is taking it right now: the record is not written before that is decided.
    test::Sql taker{databases_->url(Side::target)};
    taker.query("BEGIN");
    taker.query("UPDATE segue.lease SET generation = 6");
    auto late = std::async(std::launch::async,
                           [&] { return store_->compare_and_set(some_record(), next, 5); });
    ASSERT_TRUE(waits_for("transactionid"));
    taker.query("COMMIT");
    EXPECT_EQ(*late.get(), Written::conflict);
    EXPECT_EQ(*store_->compare_and_set(some_record(), next, 6), Written::yes);
    EXPECT_EQ(**store_->read(), next);
}

TEST_F(PostgresControl, OutlivesItsConnection) {
    create();
    signal_store("pg_terminate_backend");
    const auto written = store_->compare_and_set(some_record(), some_record());
    ASSERT_TRUE(written) << written.error().detail;
    EXPECT_EQ(*written, Written::yes);
}

TEST_F(PostgresControl, ALostAnswerIsUnknown) {
    create();
    test::Sql blocker{databases_->url(Side::target)};
    blocker.query("BEGIN");
    blocker.query("UPDATE segue.control SET attempt = attempt");
    auto pending = std::async(
        std::launch::async, [&] { return store_->compare_and_set(some_record(), some_record()); });
    ASSERT_TRUE(waits_for("transactionid"));
    signal_store("pg_terminate_backend");
    const auto written = pending.get();
    ASSERT_TRUE(written) << written.error().detail;
    EXPECT_EQ(*written, Written::unknown);
}

TEST_F(PostgresControl, ACommitThatNoStandbyHasIsUnknown) {
    create();
    constexpr std::int64_t generation = 0;  // The lease's first.
    auto& server = Databases::server(Side::target);
    server.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    server.run("SELECT pg_reload_conf()");
    std::future<Result<Written>> pending;
    // The server takes the setting over in its own time.
    const auto is_answered = [&] { return pending.wait_for(0ms) == std::future_status::ready; };
    EXPECT_TRUE(test::eventually(60s, [&] {
        pending = std::async(std::launch::async, [&] {
            return store_->compare_and_set(some_record(), some_record(), generation);
        });
        EXPECT_TRUE(test::eventually(60s, [&] { return is_answered() || is_waiting("SyncRep"); }));
        return !is_answered();
    }));
    ASSERT_TRUE(pending.valid());
    EXPECT_TRUE(waits_for("SyncRep"));
    // Whoever wants to be the mover is not left without a word meanwhile.
    Connection mover = databases_->open(Side::target);
    const Interrupts interrupts;
    const auto lease = take_lease(mover, {"segue", "id-1", {}}, "no slot", interrupts);
    EXPECT_FALSE(lease);
    EXPECT_NE(lease.error().detail.find("waits for a synchronous standby"), std::string::npos)
        << lease.error().detail;
    signal_store("pg_cancel_backend");
    const auto written = pending.get();
    server.run("ALTER SYSTEM RESET synchronous_standby_names");
    server.run("SELECT pg_reload_conf()");
    ASSERT_TRUE(written) << written.error().detail;
    EXPECT_EQ(*written, Written::unknown);
}

TEST_F(PostgresControl, ALeaseThatSomebodyHoldsIsNotWaitedForWithoutAWord) {
    create();
    test::Sql holder{databases_->url(Side::target)};
    holder.query("BEGIN; UPDATE segue.lease SET generation = generation");
    Connection mover = databases_->open(Side::target);
    const Interrupts interrupts;
    const auto lease = take_lease(mover, {"segue", "id-1", {}}, "no slot", interrupts);
    ASSERT_FALSE(lease);
    EXPECT_NE(lease.error().detail.find("does not end holds table segue.lease"), std::string::npos)
        << lease.error().detail;
    holder.query("ROLLBACK");
    EXPECT_TRUE(take_lease(mover, {"segue", "id-1", {}}, "no slot", interrupts));
}

TEST_F(PostgresControl, TellsWhichServerItIs) {
    Connection connection = databases_->open(Side::target);
    const auto identity = read_server_identity(connection);
    ASSERT_TRUE(identity) << identity.error().detail;
    EXPECT_EQ(identity->timeline, 1u);
    EXPECT_EQ(identity->system_identifier,
              databases_->value(Side::target, "SELECT system_identifier FROM pg_control_system()"));
}

}  // namespace
}  // namespace segue::backfill::postgres
