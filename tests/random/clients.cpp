#include "tests/random/clients.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace segue::test {

namespace {

constexpr std::chrono::milliseconds rest_between{8};
constexpr std::chrono::seconds patience{300};

// What a random statement may meet by its own fault: constraints, values out of range, conflicts
// with other clients.
bool is_own_fault(const Answer& answer) {
    if (answer.connection_lost) return false;
    for (const char* state :
         {"22", "23", "27", "40001", "40P01", "428C9", "55006", "0A000", "21000", "25006"}) {
        if (answer.sqlstate.starts_with(state)) return true;
    }
    return false;
}

// One client's connection and its file.
class Client {
public:
    Client(const RandomClientsOptions& options, unsigned number)
        : sql_(options.url),
          file_(options.folder / ("client-" + std::to_string(number) + ".sql")) {}

    enum class Ended { committed, aborted, failed };

    Ended run(const RandomTransaction& transaction, const std::string& mark) {
        if (!said("BEGIN" + transaction.isolation)) return ended();
        for (const RandomStep& step : transaction.steps) {
            if (step.guarded && !said("SAVEPOINT s")) return ended();
            if (carried_out(step)) {
                if (step.guarded && !said("RELEASE s")) return ended();
                continue;
            }
            if (!is_own_fault(last_)) return Ended::failed;
            // A transaction that cannot be serialised is over.
            if (!step.guarded || last_.sqlstate.starts_with("40")) return ended();
            if (!said("ROLLBACK TO s")) return ended();
        }
        if (!said(mark)) return ended();
        if (!transaction.commits) return said("ROLLBACK") ? Ended::aborted : Ended::failed;
        return said("COMMIT")        ? Ended::committed
               : is_own_fault(last_) ? Ended::aborted
                                     : Ended::failed;
    }
    std::string complaint() const {
        return statement_ + "\n  " + last_.sqlstate + " " + last_.message;
    }

private:
    Ended ended() {
        if (!is_own_fault(last_)) return Ended::failed;
        return said("ROLLBACK") ? Ended::aborted : Ended::failed;
    }
    bool said(const std::string& sql) {
        statement_ = sql;
        last_ = sql_.attempt(sql);
        return noted();
    }
    bool noted() {
        const auto since = std::chrono::steady_clock::now() - began_;
        file_ << statement_ << ";  -- "
              << std::chrono::duration_cast<std::chrono::milliseconds>(since).count() << " ms "
              << last_.sqlstate << std::endl;
        return last_.ok;
    }
    bool carried_out(const RandomStep& step) {
        if (step.rows_from.empty()) return said(step.sql);
        std::string lines;
        if (!read_lines(step.rows_from, lines)) return noted();
        statement_ = step.sql + ";\n" + lines + "\\.\n";
        last_ = sql_.copy_in(step.sql, lines);
        return noted();
    }
    bool read_lines(const std::string& sql, std::string& lines) {
        statement_ = sql;
        PGresult* const begun = PQexec(sql_.raw(), sql.c_str());
        last_ = {};
        last_.ok = PQresultStatus(begun) == PGRES_COPY_OUT;
        last_.sqlstate = sqlstate_of(begun);
        PQclear(begun);
        char* line = nullptr;
        while (last_.ok && PQgetCopyData(sql_.raw(), &line, 0) > 0) {
            lines += line;
            PQfreemem(line);
        }
        while (PGresult* rest = PQgetResult(sql_.raw())) {
            if (PQresultStatus(rest) == PGRES_FATAL_ERROR) {
                last_.ok = false;
                last_.sqlstate = sqlstate_of(rest);
            }
            PQclear(rest);
        }
        return last_.ok;
    }
    static std::string sqlstate_of(const PGresult* result) {
        const char* const state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        return state != nullptr ? state : "";
    }

    Sql sql_;
    std::ofstream file_;
    std::string statement_;
    Answer last_;
    const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace

RandomClients::RandomClients(const RandomSchema& schema, RandomClientsOptions options)
    : schema_(schema), options_(std::move(options)) {}

void RandomClients::start() {
    for (unsigned client = 0; client < options_.clients; ++client)
        threads_.emplace_back([this, client] { run(client); });
}

void RandomClients::stop() {
    {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
}

bool RandomClients::wait_for_more(unsigned transactions) {
    std::unique_lock lock{mutex_};
    const std::size_t wanted = committed_.size() + transactions;
    changed_.wait_for(
        lock, patience, [&] { return committed_.size() >= wanted || !complaints_.empty(); });
    return committed_.size() >= wanted;
}

void RandomClients::run(unsigned client) {
    TransactionMaker maker{schema_, options_.seed * 1000 + client};
    Client connection{options_, client};
    for (std::uint64_t number = 1; !stopping_; ++number) {
        const std::string mark = "INSERT INTO app.done VALUES (" + std::to_string(client) + ", " +
                                 std::to_string(number) + ")";
        switch (connection.run(maker.make(), mark)) {
            case Client::Ended::committed:
                acknowledged(client, number);
                break;
            case Client::Ended::aborted:
                break;
            case Client::Ended::failed:
                complain(connection.complaint());
                return;
        }
        if (rest()) return;
    }
}

// The load is to be random, not the heaviest; the mover must be able to keep up.
bool RandomClients::rest() {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, rest_between, [&] { return stopping_.load(); });
}

void RandomClients::acknowledged(unsigned client, std::uint64_t number) {
    const std::lock_guard lock{mutex_};
    committed_.emplace(client, number);
    changed_.notify_all();
}

void RandomClients::complain(const std::string& what) {
    const std::lock_guard lock{mutex_};
    complaints_.push_back(what);
    changed_.notify_all();
}

std::vector<std::string> RandomClients::complaints() const {
    const std::lock_guard lock{mutex_};
    return complaints_;
}

std::set<std::pair<unsigned, std::uint64_t>> RandomClients::committed() const {
    const std::lock_guard lock{mutex_};
    return committed_;
}

void RandomClients::expect_all_there(const std::string& url) const {
    Sql sql{url};
    std::set<std::pair<unsigned, std::uint64_t>> there;
    for (const auto& row : sql.query("SELECT client, number FROM app.done").rows)
        there.emplace(std::stoul(row[0]), std::stoull(row[1]));
    EXPECT_EQ(there, committed()) << "at " << url;
}

}  // namespace segue::test
