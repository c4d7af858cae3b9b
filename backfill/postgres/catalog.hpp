#pragma once
// What the mover must know of a database's tables, read from the system catalog in a few queries.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct Column {
    std::string name;
    std::string type;  // format_type() with modifier, schema-qualified.
    std::uint32_t type_oid = 0;
    int type_modifier = -1;
    int number = 0;  // attnum
    bool not_null = false;
    bool generated = false;  // GENERATED ALWAYS AS ... STORED: neither copied nor applied.
    bool identity_always = false;
    bool collation_c = false;  // Collation C or POSIX (meaningful for text types).
};

enum class Identity : std::uint8_t {
    primary_key,
    index,
    full,
    nothing
};  // REPLICA IDENTITY in force.

// An ordinary table or a leaf partition: what has rows of its own. Never a partitioned parent.
struct Table {
    std::uint32_t oid = 0;
    std::string schema, name;
    std::vector<Column> columns;  // In attnum order, dropped ones left out.
    // Indexes into `columns` of what names a row in the stream: the replica identity index where
    // one is in force, else the primary key (a deferrable one names nothing). May be empty.
    std::vector<int> key;
    Identity identity = Identity::nothing;
    std::string identity_index;  // Name of the index behind `key`, where there is one.
    std::uint64_t rows_estimate = 0, bytes = 0;
    bool is_partition = false;

    std::string qualified_name() const { return qualified(schema, name); }
    std::string plain_name() const {
        return schema + "." + name;
    }  // For people and [tables] exclude.
};

// Of the same name, with the same columns and key.
bool same_definition(const Table& one, const Table& other);

struct Sequence {
    std::string schema, name;
    std::int64_t last_value = 0, increment = 1, min_value = 1, max_value = 0, cache = 1;
    bool is_called = false, cycle = false;
    std::string owner;  // The table, as SQL names it, whose column it belongs to; empty: none.
    std::int64_t oid = 0;
};

// All moved tables of the connection's database: user schemas (not pg_*, information_schema,
// segue), permanent relations, without `exclude` ("schema.table") and without members of
// extensions.
Result<std::vector<Table>> read_tables(Connection& connection,
                                       const std::vector<std::string>& exclude);
// Of those the ones that are meant, without estimates and sizes: nothing is locked for it.
Result<std::vector<Table>> read_tables_of(Connection& connection,
                                          const std::vector<std::string>& exclude,
                                          const std::vector<std::string>& oids);
// The same, as "schema.table" in order, that no publication of ours has. $1: `exclude` as an
// array's text, $2: the publications' names, likewise.
std::string unpublished_tables_sql();
// Relations with rows in user schemas that are not among the moved tables, each with the reason.
Result<std::map<std::pair<std::string, std::string>, std::string>> read_tables_left_out(
    Connection& connection, const std::vector<std::string>& exclude);
Result<std::vector<Sequence>> read_sequences(Connection& connection);

}  // namespace segue::backfill::postgres
