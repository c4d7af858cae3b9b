// The kinds of transactions: what logical decoding, strict apply and a change of authority find
// hard. Statements that concurrent workers could make fail legally are written so that they cannot.

#include <string>

#include "tests/support/workload_worker.hpp"

namespace segue::test {

bool Worker::transfer() {
    const int a = 1 + random(200), b = 1 + random(200), amount = random(20);
    const auto move = [&](int account, int by) {
        return run_sql("UPDATE app.account SET balance = balance + (" + std::to_string(by) +
                       "), touched = now() WHERE id = " + std::to_string(account));
    };
    // In the order of ids, so that two transfers do not deadlock.
    return a < b ? move(a, amount) && move(b, -amount) : move(b, -amount) && move(a, amount);
}

bool Worker::change_key() {
    const std::string id = std::to_string(1000000 + fresh());
    return run_sql("UPDATE app.keyed SET id = " + id +
                   ", revision = revision + 1 WHERE id = (SELECT id FROM app.keyed "
                   "WHERE id > 100 ORDER BY revision, id OFFSET " +
                   std::to_string(random(50)) + " LIMIT 1)") &&
           run_sql("UPDATE app.keyed SET id = -id WHERE id = " + id) &&
           run_sql("UPDATE app.keyed SET id = -id WHERE id = -" + id);
}

// The same key deleted and inserted, within one transaction and across several.
bool Worker::reinsert() {
    const std::string key = id(100);
    if (!run_sql("DELETE FROM app.keyed WHERE id = " + key)) return false;
    if (random(4) == 0) return true;
    return run_sql(
        "INSERT INTO app.keyed VALUES (" + key + ", 'again', " + std::to_string(number_) +
        ") ON CONFLICT (id) DO UPDATE SET body = 'met', revision = app.keyed.revision + 1");
}

bool Worker::savepoints() {
    const std::string mine = std::to_string(500000000 + fresh());
    return run_sql("INSERT INTO app.keyed VALUES (" + mine + ", 'kept')") &&
           run_sql("SAVEPOINT one") &&
           run_sql("UPDATE app.keyed SET body = 'dropped' WHERE id = " + mine) &&
           run_sql("SAVEPOINT two") && run_sql("DELETE FROM app.keyed WHERE id = " + mine) &&
           run_sql("ROLLBACK TO two") && run_sql("RELEASE two") && run_sql("ROLLBACK TO one") &&
           run_sql("UPDATE app.keyed SET revision = 7 WHERE id = " + mine) &&
           run_sql("RELEASE one");
}

// The large value stays as it is: the stream does not carry it.
bool Worker::touch_toast() {
    return run_sql(
        "UPDATE app.document SET counter = counter + 1, extra = extra || '{\"touched\": true}' "
        "WHERE id = " +
        id(60));
}

bool Worker::rewrite_toast() {
    const std::string key = id(60);
    return run_sql("UPDATE app.document SET body = repeat(md5('" + std::to_string(number_) +
                   "'), 100 + " + std::to_string(random(300)) + ") WHERE id = " + key) &&
           run_sql("UPDATE app.document SET counter = counter + 1 WHERE id = " + key);
}

bool Worker::cascade() {
    const std::string key = id(40);
    const std::string children =
        "INSERT INTO app.child (parent, note) SELECT id, 'of ' || id FROM app.parent WHERE id = " +
        key + " FOR KEY SHARE";
    switch (random(3)) {
        case 0:
            return run_sql(children) && run_sql(children);
        case 1:
            return run_sql("DELETE FROM app.parent WHERE id = " + key) &&
                   run_sql("INSERT INTO app.parent VALUES (" + key +
                           ", 'anew') ON CONFLICT DO NOTHING");
        case 2:
            return run_sql("UPDATE app.parent SET id = " + std::to_string(1000 + fresh()) +
                           " WHERE id = " + key) &&
                   run_sql("INSERT INTO app.parent VALUES (" + key +
                           ", 'moved') ON CONFLICT DO NOTHING");
    }
    return true;
}

bool Worker::fire_trigger() {
    return run_sql("UPDATE app.audited SET v = v + 1 WHERE id = " + id(50));
}

bool Worker::copy_rows() {
    const std::string worker = std::to_string(worker_);
    if (!run_sql("DELETE FROM app.bulk WHERE worker = " + worker)) return false;
    std::string lines;
    for (int i = 0; i < 20; ++i) {
        lines += worker + "\t" + std::to_string(i) + "\t\\\\x00ff" + (i % 2 == 0 ? "0a" : "5c") +
                 "\t" + std::to_string(number_) + "." + std::to_string(i) + "\n";
    }
    return check(sql_->copy_in("COPY app.bulk FROM STDIN", lines), "COPY");
}

bool Worker::truncate() {
    const std::string insert = "INSERT INTO app.scratch (worker, v) SELECT " +
                               std::to_string(worker_) + ", 'x' FROM generate_series(1, 5)";
    if (workload_.options_.truncate && random(4) == 0)
        return run_sql("TRUNCATE app.scratch") && run_sql(insert);
    return run_sql(insert);
}

bool Worker::swap_unique() {
    const std::string a = id(50), b = id(50);
    // The advisory lock makes the two rows of the statement's snapshot the newest ones.
    return run_sql("SELECT pg_advisory_xact_lock(4711)") &&
           run_sql("UPDATE app.ranked SET rank = CASE rank WHEN " + a + " THEN " + b + " ELSE " +
                   a + " END WHERE rank IN (" + a + ", " + b + ")");
}

bool Worker::loose_rows() {
    const std::string a = std::to_string(random(7));
    const std::string one = "ctid = (SELECT ctid FROM app.loose WHERE a = " + a + " LIMIT 1)";
    switch (random(4)) {
        case 0:
            return run_sql("INSERT INTO app.loose SELECT " + a +
                           ", NULL, 'NaN' FROM generate_series(1, 2)");
        case 1:
            return run_sql("DELETE FROM app.loose WHERE " + one);
        case 2:
            return run_sql("UPDATE app.loose SET c = 0.1, b = 'same' WHERE " + one);
        case 3:
            return run_sql("UPDATE app.loose SET b = NULLIF(b, 'same') WHERE a = " + a);
    }
    return true;
}

bool Worker::move_partition() {
    static const char* const regions[] = {"north", "south", "east", "west"};
    return run_sql(std::string{"UPDATE app.measured SET region = '"} + regions[random(4)] +
                   "', v = v + 1 WHERE id = " + id(90));
}

bool Worker::hard_types() {
    return run_sql(
        "UPDATE app.hard SET mood = (enum_range(NULL::app.mood))[1 + id % 3], level = level + 1, "
        "tags[2] = E'\\'\\\\', "
        "grid = NULLIF(grid, grid), span = span * int4range(0, NULL), moment = now(), doc = doc || "
        "jsonb_build_object('n', " +
        std::to_string(number_) +
        "), raw = raw || '\\x00', \"Odd \"\"name\"\"\" = "
        "E'\\t' || id, price = price / 3, big = CASE WHEN big = 'NaN' THEN 0.1 ELSE 'NaN' END "
        "WHERE id = " +
        id(80));
}

// Begins early and commits late: the order of begins is not the order of commits.
bool Worker::long_open() {
    return transfer() && run_sql("SELECT pg_sleep(" + std::to_string(random(60) / 1000.0) + ")") &&
           fire_trigger();
}

bool Worker::generated_ids() {
    return run_sql(
               "INSERT INTO app.child (parent, note) SELECT id, 'generated' FROM app.parent WHERE "
               "id < 1000 ORDER BY id "
               "LIMIT 3 FOR KEY SHARE") &&
           run_sql(
               "DELETE FROM app.child WHERE id IN (SELECT id FROM app.child ORDER BY id LIMIT 2 "
               "FOR UPDATE SKIP LOCKED)");
}

}  // namespace segue::test
