#pragma once
// Types of columns for random schemas, each with a way from a number to a value of it.

#include <string>
#include <vector>

namespace segue::test {

struct ValueType {
    std::string sql;         // As in CREATE TABLE.
    bool key = false;        // Has an order, so that it may stand in a key.
    std::string expression;  // SQL for the value of a number, which is written for each $.
    std::vector<std::string> special = {};  // What is easily got wrong; the values of 0, 1 ...
};

const std::vector<ValueType>& value_types();

// SQL for the n-th value. Different numbers give different values, as far as the type has so many.
std::string value(const ValueType& type, unsigned n);

// Creates the types of the database's own that value_types names.
extern const char* const own_types_sql;

}  // namespace segue::test
