#pragma once
// A session's temporary tables and sequences as a value: what makes them anew, with their rows, on
// another connection. Only what can be made exactly as it was; everything else is named with its
// reason, and pins the session. Pure.
//
// The order of work, on the session's own backend, which stands at a boundary: what there is
// (temporary_tables_request); for each table without a page, what becomes of its rows at a commit,
// because no catalog says so (on_commit_request); how large the rows are as text (sizes_request),
// because a page may be compressed; the rows (contents_request). Each is one round trip, and leaves
// the client's unnamed statement alone. Then, as a part of the other connection's restore,
// append_temporary_tables.
//
// currval of a carried sequence is its last value, which is what the session saw of it, if it saw
// one. Rows keep their order, not their place: ctid and dead rows are not carried. Statistics are
// gathered anew where there were some.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/hash.hpp"
#include "protocol/result.hpp"

namespace segue::protocol::postgres {

struct CarryStep {
    enum class Kind : std::uint8_t {
        statement,
        table,  // A statement that makes a table whose rows may not outlive a commit.
        rows,   // text: the table and its columns.
        value,  // text: a sequence.
    };
    Kind kind = Kind::statement;
    std::string text;
    std::string data;   // rows: in COPY's text format. value: its last value and whether it was
                        // called, likewise.
    std::string extra;  // table: a statement that gives it a row. rows: the table alone.
    std::string oid;    // Of the table or sequence, on the session's own server.
    std::string name;   // As a pin names it.

    friend bool operator==(const CarryStep&, const CarryStep&) = default;
};

struct TemporaryTables {
    std::vector<CarryStep> steps;
    Hash128 digest;  // Of all steps; none without.

    bool any() const { return digest != Hash128{}; }
    // What has been made elsewhere is only compared from now on.
    void forget_steps() { steps = {}; }
    friend bool operator==(const TemporaryTables&, const TemporaryTables&) = default;
};

// What was found; `pins`: what cannot be carried.
struct TemporaryTablesFound {
    std::vector<CarryStep> steps;
    std::vector<std::string> pins;
    std::uint64_t size = 0;  // On disk.
};

// Whether nothing but temporary tables and sequences keeps a session from being moved.
bool only_temporary_tables(const std::vector<std::string>& pins);

std::string temporary_tables_request();
Step<TemporaryTablesFound> parse_temporary_tables_reply(Bytes reply);

enum class OnCommit : std::uint8_t {
    preserve_rows,
    delete_rows,
    unknown,  // The table does not take the row that would tell.
};
// Gives the table a row, takes it back within the transaction, and commits: the page that was made
// for the row stays, or it does not.
std::string on_commit_request(const CarryStep& table);
// Any error: the connection cannot be used any more.
Step<OnCommit> parse_on_commit_reply(Bytes reply);
// False: unknown.
bool settle_on_commit(CarryStep& table, OnCommit what);

// The text of all rows is at most twice as large as this says, and a few bytes for each.
std::string sizes_request(const std::vector<CarryStep>& steps);
Step<std::uint64_t> parse_sizes_reply(Bytes reply);

std::string contents_request(const std::vector<CarryStep>& steps);
// The same steps with their data.
Step<std::vector<CarryStep>> parse_contents_reply(Bytes reply, const std::vector<CarryStep>& steps);

TemporaryTables temporary_tables(std::vector<CarryStep> steps);

// The first is a restore's beginning, because what has read already may not choose to write any
// more; the second makes the tables, once the session's settings and role are in force, and ends
// the transaction. A fenced side lets it pass (fence_sql.cpp).
void append_begin_carrying(std::string& request);
void append_temporary_tables(std::string& request, const TemporaryTables& tables);

}  // namespace segue::protocol::postgres
