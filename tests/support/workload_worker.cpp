#include "tests/support/workload_worker.hpp"

#include <iterator>

namespace segue::test {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int abort_percent = 8;
constexpr int two_phase_percent = 10;
constexpr int second_kind_percent = 20;

constexpr const char* journal_sql =
    "INSERT INTO app.journal SELECT worker, $2::bigint, last, $3 FROM app.worker_state WHERE "
    "worker = $1::int";

bool is_serialization_failure(const Answer& answer) {
    return answer.sqlstate == "40001" || answer.sqlstate == "40P01";
}

}  // namespace

Worker::Worker(Workload& workload, int number)
    : workload_(workload),
      worker_(number),
      random_(workload.options_.seed * 1000 + static_cast<unsigned>(number)) {}

void Worker::run() {
    while (!workload_.stopping_) {
        if ((sql_ == nullptr || !sql_->connected()) && !connect()) return;
        one_transaction();
    }
}

bool Worker::connect() {
    const auto deadline = Clock::now() + workload_.options_.reconnect_limit;
    for (;;) {
        sql_ = std::make_unique<Sql>(workload_.options_.url);
        // Half of the workers use a prepared statement, which has to survive every change.
        if (sql_->connected() && (worker_ % 2 == 0 || sql_->prepare("journal", journal_sql).ok))
            return true;
        if (Clock::now() > deadline) {
            workload_.note_error("no connection any more: " + sql_->error());
            return false;
        }
        if (workload_.pause()) return false;
    }
}

int Worker::random(int below) { return std::uniform_int_distribution<int>{0, below - 1}(random_); }

bool Worker::check(const Answer& answer, const std::string& doing) {
    if (answer.ok) return true;
    if (answer.connection_lost) {
        ++workload_.connections_lost_;
    } else if (is_serialization_failure(answer)) {
        ++workload_.serialization_failures_;
    } else {
        workload_.note_error(doing + ": " + answer.sqlstate + " " + answer.message);
    }
    return false;
}

bool Worker::run_sql(const std::string& sql) { return check(sql_->attempt(sql), sql); }

bool Worker::claim(const std::string& kind) {
    const std::vector<std::string> values = {
        std::to_string(worker_), std::to_string(number_), kind};
    if (!run_sql("BEGIN")) return false;
    const Answer journal = worker_ % 2 == 0 ? sql_->attempt(journal_sql, values)
                                            : sql_->execute_prepared("journal", values);
    return check(journal, "journal") &&
           run_sql("UPDATE app.worker_state SET last = " + values[1] +
                   " WHERE worker = " + values[0]) &&
           run_sql("INSERT INTO app.journal_loose VALUES (" + values[0] + ", " + values[1] + ")");
}

void Worker::one_transaction() {
    struct Named {
        const char* name;
        Kind run;
    };
    static constexpr Named kinds[] = {
        {"transfer", &Worker::transfer},
        {"transfer", &Worker::transfer},
        {"change key", &Worker::change_key},
        {"reinsert", &Worker::reinsert},
        {"savepoints", &Worker::savepoints},
        {"touch toast", &Worker::touch_toast},
        {"rewrite toast", &Worker::rewrite_toast},
        {"cascade", &Worker::cascade},
        {"trigger", &Worker::fire_trigger},
        {"copy", &Worker::copy_rows},
        {"truncate", &Worker::truncate},
        {"swap unique", &Worker::swap_unique},
        {"loose rows", &Worker::loose_rows},
        {"move partition", &Worker::move_partition},
        {"hard types", &Worker::hard_types},
        {"long open", &Worker::long_open},
        {"generated ids", &Worker::generated_ids},
    };
    const Named& kind = kinds[random(std::size(kinds))];
    number_ = workload_.next_number_++;
    const auto begun = Clock::now();
    bool good = claim(kind.name) && (this->*kind.run)();
    if (good && random(100) < second_kind_percent)
        good = (this->*kinds[random(std::size(kinds))].run)();
    Outcome outcome = Outcome::aborted;
    if (!good || random(100) < abort_percent) {
        if (sql_->connected()) run_sql("ROLLBACK");
    } else if (workload_.two_phase_ && random(100) < two_phase_percent) {
        outcome = commit_two_phase();
    } else {
        outcome = commit();
    }
    workload_.record({worker_, number_, outcome},
                     std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begun));
}

Outcome Worker::commit() {
    const Answer answer = sql_->attempt("COMMIT");
    if (check(answer, "COMMIT")) return Outcome::committed;
    return answer.connection_lost ? Outcome::in_doubt : Outcome::aborted;
}

Outcome Worker::commit_two_phase() {
    gid_ = "workload " + std::to_string(worker_) + " " + std::to_string(number_);
    const Answer prepared = sql_->attempt("PREPARE TRANSACTION '" + gid_ + "'");
    if (!check(prepared, "PREPARE TRANSACTION")) {
        if (!prepared.connection_lost) return Outcome::aborted;
        const Outcome ended = end_prepared();  // Not there: it may still be on its way.
        return ended == Outcome::committed ? ended : Outcome::in_doubt;
    }
    const Answer committed = sql_->attempt("COMMIT PREPARED '" + gid_ + "'");
    if (check(committed, "COMMIT PREPARED")) return Outcome::committed;
    if (!committed.connection_lost) return Outcome::in_doubt;
    const Outcome ended = end_prepared();
    // It was prepared, and nobody else ends it: if it is gone, our own lost COMMIT PREPARED did it.
    return ended == Outcome::aborted ? Outcome::committed : ended;
}

// On a new connection: commits the prepared transaction; aborted when there is none of that name.
Outcome Worker::end_prepared() {
    for (int attempt = 0; attempt < 100; ++attempt) {
        if (!connect()) return Outcome::in_doubt;
        const Answer there =
            sql_->attempt("SELECT 1 FROM pg_prepared_xacts WHERE gid = '" + gid_ + "'");
        if (there.ok && there.rows.empty()) return Outcome::aborted;
        if (there.ok && sql_->attempt("COMMIT PREPARED '" + gid_ + "'").ok)
            return Outcome::committed;
    }
    return Outcome::in_doubt;
}

}  // namespace segue::test
