#include "tests/support/schema_changes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <sstream>

namespace segue::test {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

constexpr unsigned rollback_percent = 12, savepoint_percent = 20, one_text_percent = 30;
// So long after a connection was lost its command may still run on the server, and meet ours.
constexpr auto aftermath = 10s;

// Deadlocks and serialization failures are PostgreSQL's own.
bool is_own_fault(const Answer& answer) {
    return answer.sqlstate == "40P01" || answer.sqlstate == "40001";
}

}  // namespace

bool schema_changes_wanted() {
    const char* const wanted = std::getenv("SEGUE_SCHEMA_CHANGES");
    return wanted != nullptr && std::strcmp(wanted, "1") == 0;
}

struct SchemaChanges::Session {
    int worker = 0;
    Dice dice;
    SchemaCommandMaker maker;
    std::unique_ptr<Sql> sql = {};
    std::int64_t number = 0;
    Clock::time_point lost_at = {};  // The last connection.
    std::string last = {};           // What was said before, for complaints.
};

void SchemaChanges::prepare(const std::string& owner_url) {
    Sql owner{owner_url};
    owner.query(
        "CREATE TABLE app.schema_journal (worker int, number bigint, PRIMARY KEY (worker, "
        "number))");
}

void SchemaChanges::start() {
    for (unsigned worker = 0; worker < options_.workers; ++worker)
        threads_.emplace_back([this, worker] { run(static_cast<int>(worker)); });
}

void SchemaChanges::stop() {
    {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
}

bool SchemaChanges::rest(std::chrono::milliseconds time) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, time, [&] { return stopping_.load(); });
}

bool SchemaChanges::wait_for_more(std::int64_t transactions) {
    const std::int64_t wanted = committed_ + transactions;
    std::unique_lock lock{mutex_};
    changed_.wait_for(
        lock, 60s * busy_factor, [&] { return committed_ >= wanted || !complaints_.empty(); });
    return committed_ >= wanted;
}

void SchemaChanges::run(int worker) {
    const std::uint64_t seed = options_.seed * 100 + static_cast<std::uint64_t>(worker);
    Session session{worker, Dice{seed}, {{worker, options_.shared, options_.functions}, seed + 50}};
    while (options_.may_begin && !options_.may_begin()) {
        if (rest(50ms)) return;
    }
    while (!stopping_) {
        if ((session.sql == nullptr || !session.sql->connected()) && !connect(session)) return;
        one_transaction(session);
        if (rest(options_.pause)) return;
    }
}

bool SchemaChanges::connect(Session& session) {
    const auto deadline = Clock::now() + options_.reconnect_limit;
    if (session.sql != nullptr) session.lost_at = Clock::now();
    for (;;) {
        session.sql = std::make_unique<Sql>(options_.url);
        if (session.sql->connected()) return true;
        if (Clock::now() > deadline) {
            const std::lock_guard lock{mutex_};
            complaints_.push_back("no connection any more: " + session.sql->error());
            return false;
        }
        if (rest(50ms)) return false;
    }
}

void SchemaChanges::note(Session& session, const std::string& sql, const Answer& answer) {
    if (answer.connection_lost || is_own_fault(answer)) return;
    if (Clock::now() - session.lost_at < aftermath * busy_factor) return;
    const std::lock_guard lock{mutex_};
    if (complaints_.size() < errors_max)
        complaints_.push_back(sql + ": " + answer.sqlstate + " " + answer.message + " (after " +
                              session.last + ")");
    changed_.notify_all();
}

bool SchemaChanges::said(Session& session, const std::string& sql) {
    const Answer answer = session.sql->attempt(sql);
    if (!answer.ok) note(session, sql, answer);
    session.last = sql;
    return answer.ok;
}

Outcome SchemaChanges::end(Session& session, const std::string& verb) {
    if (verb != "COMMIT") {
        if (session.sql->connected()) said(session, verb);
        return Outcome::aborted;
    }
    const Answer answer = session.sql->attempt(verb);
    if (!answer.ok) note(session, verb, answer);
    return answer.ok                ? Outcome::committed
           : answer.connection_lost ? Outcome::in_doubt
                                    : Outcome::aborted;
}

void SchemaChanges::one_transaction(Session& session) {
    const Answer state = session.maker.look(*session.sql);
    if (!state.ok) {
        note(session, "look", state);
        return;
    }
    const std::int64_t number = ++session.number;
    const SchemaCommands commands = session.maker.make(number, may_rename_);
    if (commands.alone) {
        for (const std::string& sql : commands.sql) {
            if (!said(session, sql)) return;
        }
        ++committed_;
        changed_.notify_all();
        return;
    }
    std::vector<std::string> sql = {"BEGIN",
                                    "INSERT INTO app.schema_journal VALUES (" +
                                        std::to_string(session.worker) + ", " +
                                        std::to_string(number) + ")"};
    const bool undone = session.dice.percent(savepoint_percent);
    bool one_text = false;
    if (undone) {
        sql.push_back("SAVEPOINT s");
        sql.insert(sql.end(), commands.sql.begin(), commands.sql.end());
        sql.push_back("ROLLBACK TO s");
    }
    sql.insert(sql.end(), commands.sql.begin(), commands.sql.end());
    const std::string verb = session.dice.percent(rollback_percent) ? "ROLLBACK" : "COMMIT";
    // Segue does not know which command of a text was taken back.
    if (!undone && verb == "COMMIT" && session.dice.percent(one_text_percent)) {
        std::string text;
        for (const std::string& one : sql) text += one + "; ";
        sql = {text};
        one_text = true;
    }
    const bool good =
        std::all_of(sql.begin(), sql.end(), [&](const auto& one) { return said(session, one); });
    Outcome outcome = end(session, good ? verb : "ROLLBACK");
    if (one_text && !good && !session.sql->connected()) outcome = Outcome::in_doubt;
    if (outcome == Outcome::committed) ++committed_;
    const std::lock_guard lock{mutex_};
    journal_[{session.worker, number}] = outcome;
    changed_.notify_all();
}

std::vector<std::string> SchemaChanges::complaints() const {
    const std::lock_guard lock{mutex_};
    return complaints_;
}

void SchemaChanges::expect_right(const std::string& url) const {
    for (const std::string& complaint : complaints())
        ADD_FAILURE() << "a change of the schema met: " << complaint;
    std::map<std::pair<int, std::int64_t>, bool> there;
    Sql sql{url};
    for (const auto& row : sql.query("SELECT worker, number FROM app.schema_journal").rows)
        there[{std::stoi(row[0]), std::stoll(row[1])}] = true;
    const std::lock_guard lock{mutex_};
    for (const auto& [id, outcome] : journal_) {
        const bool found = there.contains(id);
        if (outcome != Outcome::in_doubt && found != (outcome == Outcome::committed))
            ADD_FAILURE() << "transaction " << id.second << " of worker " << id.first
                          << (found ? " was taken back, and is there" : " is lost") << " at "
                          << url;
    }
}

namespace {

// Statements, each with its comment and the blank lines of the dump left out.
std::vector<std::string> dump_of(const PostgresServer& server, const std::string& database) {
    std::vector<std::string> statements;
    const CommandResult dump = run_command({{server.program("pg_dump"),
                                             "--schema-only",
                                             "--no-publications",
                                             "--no-subscriptions",
                                             "--exclude-schema=segue",
                                             "--dbname=" + server.socket_url(database)}});
    EXPECT_EQ(dump.exit_code, 0) << dump.err;
    std::istringstream text{dump.out};
    std::string statement;
    for (std::string line; std::getline(text, line);) {
        if (line.starts_with("--") || line.starts_with("\\")) line.clear();
        if (!line.empty()) {
            statement += line + "\n";
            continue;
        }
        if (!statement.empty() && statement.find("segue") == std::string::npos)
            statements.push_back(statement);
        statement.clear();
    }
    std::sort(statements.begin(), statements.end());
    return statements;
}

}  // namespace

std::vector<std::string> compare_dumps(const PostgresServer& a,
                                       const PostgresServer& b,
                                       const std::string& database) {
    const auto first = dump_of(a, database), second = dump_of(b, database);
    std::vector<std::string> differences, only;
    std::set_difference(
        first.begin(), first.end(), second.begin(), second.end(), std::back_inserter(only));
    for (const std::string& one : only) differences.push_back("only in the first: " + one);
    only.clear();
    std::set_difference(
        second.begin(), second.end(), first.begin(), first.end(), std::back_inserter(only));
    for (const std::string& one : only) differences.push_back("only in the second: " + one);
    return differences;
}

}  // namespace segue::test
