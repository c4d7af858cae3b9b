#pragma once
// A random schema: everything PostgreSQL lets a table be, that can be moved.

#include <cstddef>
#include <string>
#include <vector>

#include "tests/random/values.hpp"
#include "tests/support/dice.hpp"

namespace segue::test {

struct RandomColumn {
    std::string name;  // Quoted where it must be.
    ValueType type;
    bool nullable = true;
    bool written = true;  // Neither generated nor an identity that is always generated.
    bool identity = false;
    unsigned values = 0;  // How many different ones are used.
};

struct RandomTable {
    std::string name;  // Qualified, quoted.
    std::vector<RandomColumn> columns;
    std::vector<std::size_t> key;  // Of a unique index on whole columns; may be empty.
    bool arbitrates = true;        // ON CONFLICT may name the key.
    unsigned rows = 0;             // To begin with.
};

struct RandomSchema {
    // Run one by one, as the owner of the database. Those that insert may fail: what is random may
    // break a constraint.
    std::vector<std::string> ddl;
    std::vector<RandomTable> tables;  // Partitioned ones, too.
    std::vector<std::string> bare;    // Tables without a column that could be written.
};

RandomSchema random_schema(Dice& dice);

// SQL for a value of the column; may be NULL or DEFAULT.
std::string random_value(Dice& dice, const RandomColumn& column);
// Separated by commas. May be empty.
std::string written_columns(const RandomTable& table);
std::string random_row(Dice& dice, const RandomTable& table);
std::string insert_row(Dice& dice, const RandomTable& table);

}  // namespace segue::test
