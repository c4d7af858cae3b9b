#pragma once
// Writes changes of the stream to the follower over one connection: strict, pipelined, with
// statements that are prepared once per shape. The caller begins, commits or rolls back.

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "backfill/change.hpp"
#include "backfill/dispatcher.hpp"
#include "backfill/postgres/change_statement.hpp"
#include "backfill/postgres/statement_pipeline.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// Statements kept prepared on a connection; at the limit all are dropped and prepared anew as
// needed.
inline constexpr std::size_t prepared_statements_max = 5000;

class RowWriter {
public:
    // `tables` outlives it.
    explicit RowWriter(const FollowerTables& tables) : tables_(tables) {}

    // Errors of the database come at the pipeline's finish(); the change may be destroyed at once.
    Status write(StatementPipeline& pipeline, const Change& change);
    // Outside the pipeline. False, and nothing of it is left, where it does not hit one row or
    // breaks a constraint.
    Result<bool> write_if_it_fits(Connection& follower, const Change& change);
    // The rows that a change is about, before and after it, as a verification lists keys. Empty for
    // a table without a key.
    std::vector<std::string> keys_of(const Change& change) const;
    // Tables were changed: every statement is made anew when it is needed.
    Status forget_statements(StatementPipeline& pipeline);
    // The chunk's record and its rows.
    Status forget(StatementPipeline& pipeline, const ForgetChunk& chunk);
    Status forget(StatementPipeline& pipeline, const ForgetTable& table);

private:
    struct Shape {
        const Relation* relation = nullptr;
        ChangeKind kind = ChangeKind::insert;
        OldRow old_row = OldRow::none;
        bool replaces = false;
        std::string unchanged;  // Numbers of the columns that were left out; usually empty.
        friend bool operator==(const Shape&, const Shape&) = default;
    };
    struct ShapeHash {
        std::size_t operator()(const Shape& shape) const;
    };
    struct Prepared {
        std::string name;
        std::vector<ChangeStatement::Parameter> parameters;
    };
    Result<const Prepared*> prepared(StatementPipeline& pipeline, const Change& change);
    const std::string& subject(const Relation& relation);

    const FollowerTables& tables_;
    std::unordered_map<Shape, Prepared, ShapeHash> prepared_;
    std::unordered_map<const Relation*, std::string> subjects_;
    std::uint64_t next_statement_ = 0;
    std::vector<const char*> values_;
};

// "(k1, k2) > (low) AND (k1, k2) <= (high)", or "true". Bounds are literals of the columns' types.
std::string range_condition(const Table& table, const ChunkRange& range);

}  // namespace segue::backfill::postgres
