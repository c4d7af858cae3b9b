#pragma once
// Changes of one follower transaction, gathered so that many rows go in one statement: per table a
// run of one kind of change, in which later updates of a row replace earlier ones. What the
// follower holds when the transaction commits is the same as with one statement a change, and each
// statement must still hit exactly its rows. Within a table the order of kinds is kept; between
// tables there is none to keep (no triggers, no foreign keys fire).

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "backfill/change.hpp"
#include "backfill/postgres/follower_tables.hpp"
#include "backfill/postgres/row_writer.hpp"
#include "backfill/postgres/statement_pipeline.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// The statement for many changes of one shape: each parameter is an array of texts, one element a
// row. Pure.
struct BatchStatement {
    std::string sql;
    std::vector<std::size_t>
        columns;  // Of the relation, for $1, $2 ...: the new row's, or of a removal the key's.
};
// Empty when the change cannot share a statement: a key that changes, a table without one,
// TRUNCATE.
std::string batch_shape(const FollowerTable& table, const Change& change);
// For a change whose shape is not empty.
BatchStatement batch_statement(const FollowerTable& table, const Change& change);

class ChangeBatch {
public:
    // Both outlive it.
    ChangeBatch(const FollowerTables& tables, RowWriter& writer)
        : tables_(tables), writer_(writer) {}

    // Gathers the change, or writes it at once behind what was gathered of its table.
    Status add(StatementPipeline& pipeline, Change change);
    // Sends everything that is gathered. Errors of the database come at the pipeline's finish().
    Status flush(StatementPipeline& pipeline);
    // Tables were changed, and nothing is gathered: every statement is made anew when it is needed.
    Status forget_statements(StatementPipeline& pipeline);

private:
    struct Run {
        std::string shape;
        std::vector<Change> changes;
        std::unordered_map<std::string, std::size_t> by_key;  // Of updates.
    };
    struct Prepared {
        std::string name, subject;
        BatchStatement statement;
    };
    using TableShape = std::pair<const Relation*, std::string>;

    Status send(StatementPipeline& pipeline, Run& run);
    Result<const Prepared*> prepared(StatementPipeline& pipeline,
                                     const FollowerTable& table,
                                     const Run& run);

    const FollowerTables& tables_;
    RowWriter& writer_;
    std::map<TableName, Run> runs_;
    std::map<TableShape, Prepared> prepared_;
    std::uint64_t next_statement_ = 0;
};

}  // namespace segue::backfill::postgres
