#pragma once
// What a client may do to the schema next: random commands that succeed on what there is, each of a
// kind that Segue carries.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/dice.hpp"
#include "tests/support/sql.hpp"

namespace segue::test {

struct SchemaCommandsOptions {
    int worker = 0;  // Its objects begin with w<worker>_, in schema app.
    std::vector<std::string>
        shared;             // Qualified: others write to them; columns and indexes come and go.
    bool functions = true;  // Not where checks or indexes call code: they are refused there.
};

struct SchemaCommands {
    std::vector<std::string> sql;
    bool alone = false;  // It may not run inside a transaction block.
};

class SchemaCommandMaker {
public:
    SchemaCommandMaker(SchemaCommandsOptions options, std::uint64_t seed);

    // Reads what there is. Not ok: the connection's answer.
    Answer look(Sql& sql);
    // After a look. `number` is in the names of what is new. Tables are renamed only if they may
    // be.
    SchemaCommands make(std::int64_t number, bool may_rename);

private:
    struct Piece {  // A partition, or what was one.
        std::string name;
        bool attached = false, pending = false;
    };
    struct State {
        std::string table;  // Qualified; empty: none.
        bool partitioned = false;
        std::string key;  // Its constraint.
        bool view = false, materialized = false, sequence = false, type = false, function = false;
        std::vector<std::string> columns, checks, indexes, broken;
        std::vector<Piece> pieces;
        std::vector<std::pair<std::string, bool>>
            shared;  // Those with a column of ours; with an index?
    };
    void take(const std::vector<std::string>& row);
    std::string mine(const std::string& name) const { return "app." + prefix_ + name; }
    std::vector<std::string> create();
    SchemaCommands on_shared();
    SchemaCommands on_pieces();
    SchemaCommands on_indexes();
    std::vector<std::string> on_columns();
    std::vector<std::string> on_rules();
    std::vector<std::string> beside();
    std::vector<std::string> rename();
    std::string rows();
    std::string new_name(const char* kind) const { return kind + std::to_string(number_); }
    std::string on_table(const std::string& action) const {
        return "ALTER TABLE " + state_.table + " " + action;
    }

    const SchemaCommandsOptions options_;
    const std::string prefix_;
    Dice dice_;
    State state_;
    int server_version_ = 0;
    std::int64_t number_ = 0;
};

}  // namespace segue::test
