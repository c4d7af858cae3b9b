// Does a database hold what its clients were told? By SQL of its own, that knows nothing of Segue.

#include <map>
#include <set>
#include <tuple>

#include "tests/support/workload.hpp"

namespace segue::test {

namespace {

constexpr std::size_t problems_max = 20;

std::string named(int worker, std::int64_t number) {
    return "worker " + std::to_string(worker) + " transaction " + std::to_string(number);
}

struct Invariant {
    const char* what;
    const char* violations;  // A query for the number of violations; zero is right.
};

constexpr Invariant invariants[] = {
    {"the sum of all balances changed",
     "SELECT abs(sum(balance) - count(*) * 1000) FROM app.account"},
    {"journal_loose does not hold every transaction exactly once",
     "SELECT count(*) FROM (SELECT worker, number, count(*) FROM app.journal_loose GROUP BY 1, 2) "
     "l "
     "FULL JOIN app.journal j USING (worker, number) WHERE l.count IS DISTINCT FROM 1 OR j.kind IS "
     "NULL"},
    {"a worker's chain of transactions is broken",
     "SELECT count(*) FROM (SELECT previous, lag(number, 1, 0::bigint) OVER (PARTITION BY worker "
     "ORDER BY number) AS before "
     "FROM app.journal) c WHERE previous <> before"},
    {"a worker's state is not its last transaction",
     "SELECT count(*) FROM app.worker_state s WHERE last <> (SELECT coalesce(max(number), 0) FROM "
     "app.journal j WHERE "
     "j.worker = s.worker)"},
    {"the trigger's rows do not match the updates",
     "SELECT count(*) FROM app.audited a WHERE v <> (SELECT count(*) FROM app.audit u WHERE "
     "u.audited = a.id AND new_v = "
     "old_v + 1) OR v <> (SELECT coalesce(max(new_v), 0) FROM app.audit u WHERE u.audited = a.id)"},
    {"ranks are no permutation any more",
     "SELECT count(*) FROM app.ranked r FULL JOIN generate_series(1, 50) n ON r.rank = n WHERE "
     "r.id IS NULL OR n IS NULL"},
    {"a child has no parent",
     "SELECT count(*) FROM app.child WHERE NOT EXISTS (SELECT 1 FROM app.parent p WHERE p.id = "
     "child.parent)"},
    {"a row is in the wrong partition or doubled",
     "SELECT count(*) - count(DISTINCT id) FROM app.measured"},
    {"a generated column is wrong", "SELECT count(*) FROM app.hard WHERE doubled <> id * 2"},
};

}  // namespace

std::vector<std::string> check_journal(const std::string& url,
                                       const std::vector<Attempt>& journal) {
    std::vector<std::string> problems;
    const auto problem = [&](const std::string& text) {
        if (problems.size() < problems_max) problems.push_back(text);
    };
    Sql sql{url};
    if (!sql.connected()) return {sql.error()};
    std::set<std::pair<int, std::int64_t>> there;
    for (const auto& row : sql.query("SELECT worker, number FROM app.journal").rows) {
        there.emplace(std::stoi(row[0]), std::stoll(row[1]));
    }
    for (const auto& [worker, number, outcome] : journal) {
        const bool found = there.erase({worker, number}) == 1;
        switch (outcome) {
            case Outcome::committed:
                if (!found)
                    problem("LOST: " + named(worker, number) +
                            " was acknowledged and is not there");
                break;
            case Outcome::aborted:
                if (found)
                    problem("REVIVED: " + named(worker, number) + " was rolled back and is there");
                break;
            case Outcome::in_doubt:
                break;
        }
    }
    for (const auto& [worker, number] : there) problem("INVENTED: " + named(worker, number));
    for (const Invariant& invariant : invariants) {
        const std::string violations = sql.value(invariant.violations);
        if (violations != "0") problem(std::string{invariant.what} + ": " + violations);
    }
    return problems;
}

}  // namespace segue::test
