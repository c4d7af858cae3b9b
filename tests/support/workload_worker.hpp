#pragma once
// One client of the workload: a connection, a random source, and one function for each kind of
// transaction.

#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <string>

#include "tests/support/workload.hpp"

namespace segue::test {

class Worker {
public:
    Worker(Workload& workload, int number);
    void run();  // Until the workload stops.

private:
    using Kind = bool (Worker::*)();

    // Each leaves the transaction open; false when a statement failed.
    bool transfer();
    bool change_key();
    bool reinsert();
    bool savepoints();
    bool touch_toast();
    bool rewrite_toast();
    bool cascade();
    bool fire_trigger();
    bool copy_rows();
    bool truncate();
    bool swap_unique();
    bool loose_rows();
    bool move_partition();
    bool hard_types();
    bool long_open();
    bool generated_ids();

    void one_transaction();
    bool claim(const std::string& kind);  // BEGIN, and the journal's rows.
    Outcome commit();
    Outcome commit_two_phase();
    Outcome end_prepared();
    bool run_sql(const std::string& sql);
    bool check(const Answer& answer, const std::string& doing);  // Notes what went wrong.
    bool connect();
    // A number that no other worker of any workload gets.
    std::int64_t fresh() { return workload_.next_number_++ * workers_max + worker_; }
    int random(int below);                                                   // 0 to below - 1.
    std::string id(int count) { return std::to_string(1 + random(count)); }  // 1 to count.

    Workload& workload_;
    int worker_;
    std::int64_t number_ = 0;
    std::mt19937 random_;
    std::unique_ptr<Sql> sql_;
    std::string gid_;  // Of a prepared transaction whose end was not seen yet.
};

}  // namespace segue::test
