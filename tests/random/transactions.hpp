#pragma once
// Random transactions on a random schema: what a client sends, which follows from the dice alone,
// whatever it is answered.

#include <string>
#include <vector>

#include "tests/random/schema.hpp"

namespace segue::test {

struct RandomStep {
    std::string sql;
    std::string rows_from =
        {};                // Of COPY ... FROM STDIN: the COPY ... TO STDOUT that makes its lines.
    bool guarded = false;  // Under a savepoint of its own: when it fails the rest goes on.
};

struct RandomTransaction {
    std::vector<RandomStep> steps;
    std::string isolation;  // Of BEGIN.
    bool commits = true;
};

class TransactionMaker {
public:
    TransactionMaker(const RandomSchema& schema, std::uint64_t seed)
        : schema_(schema), dice_(seed) {}

    RandomTransaction make();

private:
    RandomStep step();
    RandomStep on_table(const RandomTable& table);
    std::string insert(const RandomTable& table);
    std::string update(const RandomTable& table);
    std::string remove(const RandomTable& table);
    std::string merge(const RandomTable& table);
    std::string truncate(const RandomTable& table);
    RandomStep copy(const RandomTable& table);
    std::string swap_keys(const RandomTable& table);
    std::string doomed_block(const RandomTable& table);
    std::string on_bare_table();
    std::string some_rows(const RandomTable& table);
    std::string assignments(const RandomTable& table, bool with_key, const std::string& same_row);
    std::string key_is(const RandomTable& table);
    std::string values_without_default(const RandomTable& table);

    const RandomSchema& schema_;
    Dice dice_;
};

}  // namespace segue::test
