#pragma once
// What one statement text is: a read, a write, transaction control, or a change of the session.
// Decided by PostgreSQL's own raw grammar (libpg_query) and nothing else: no catalog, so what a
// name stands for is still open. `judge` (volatility.hpp) closes that with the catalog. Whatever is
// not understood is a write (law 9).

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace segue::protocol::postgres {

// Longer statements are writes without being parsed: the parser's tree must fit memory and stack.
inline constexpr std::size_t statement_size_max = 64 * 1024;
// Deeper trees are writes: the walk is recursive and runs on threads with ordinary stacks.
inline constexpr int statement_depth_max = 400;
// A statement that names more things than this is a write.
inline constexpr std::size_t statement_names_max = 500;

enum class StatementKind : std::uint8_t {
    nothing,  // Empty, or only comments.
    read,     // One SELECT, VALUES or TABLE without any form that writes, locks or keeps something.
    write,    // Everything else, everything unknown, several statements at once.
    transaction,  // BEGIN, COMMIT, SAVEPOINT, PREPARE TRANSACTION ...
    session,  // SET, LISTEN, PREPARE, DECLARE, DISCARD ...: the session is another one afterwards.
};

enum class RowOrder : std::uint8_t {
    any,      // No ORDER BY at the top, or one that may leave rows tied: rows are compared as a
              // multiset.
    defined,  // The ORDER BY names every output column, so that equal rows are all that can change
              // places.
};

struct QualifiedName {
    std::string schema;  // Empty when the statement does not say.
    std::string name;

    friend bool operator==(const QualifiedName&, const QualifiedName&) = default;
};

struct Statement {
    StatementKind kind = StatementKind::write;
    std::string_view why;  // Static text: what made it not a read, or not comparable.

    // True for every SELECT, INSERT, UPDATE and DELETE that is understood, and for SHOW: everything
    // the statement calls and touches is listed below. Otherwise the lists are empty.
    bool names_known = false;
    // Names as the server folds them, each once, in order of appearance.
    std::vector<QualifiedName> functions;
    std::vector<QualifiedName> relations;
    std::vector<std::string>
        with_names;  // Of WITH queries: a relation of that name may be one of them.
    std::vector<QualifiedName> types;    // Of casts and column definitions.
    std::vector<std::string> operators;  // Symbols.
    std::vector<std::string>
        attributes;  // Last parts of dotted column names: `t.f` may be a call of f(t).

    // Reads only: names something that means nothing on another server (ctid, xmin, tableoid,
    // pg_temp, pg_catalog, information_schema, oid aliases ...), so that only the authority can
    // answer.
    bool authority_only = false;
    // Reads only: two executions in the same database state must give the same rows. False for
    // LIMIT without a defined order, TABLESAMPLE, the time of day, order-dependent aggregates and
    // window functions ...
    bool comparable = true;
    RowOrder order = RowOrder::any;
    bool limited = false;  // A LIMIT at the top: comparable only thanks to its order.
    // Not comparable only because of a LIMIT under an ORDER BY of these columns of the one relation
    // that is read: comparable after all when they contain a unique key of it.
    std::vector<std::string> order_columns;

    friend bool operator==(const Statement&, const Statement&) = default;
};

// Any bytes. Thread-safe (the parser keeps its state per thread). Never fails: unparseable is a
// write.
Statement classify(std::string_view text);

}  // namespace segue::protocol::postgres
