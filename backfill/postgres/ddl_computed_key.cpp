#include "backfill/postgres/ddl_computed_key.hpp"

#include <string>

#include "backfill/postgres/sql_scanner.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// Of the tables' primary keys the columns whose values stand in the rows. Others have one value for
// all rows that were there, which is taken over; where the command writes the rows anew it stands
// in them too, and is the constant that is the column's default, unless that is another than the
// rows were given ($3).
constexpr const char* key_columns = R"sql(
    SELECT n.nspname, c.relname, a.attname, c.oid::regclass
    FROM unnest($1::text[], $2::text[]) AS t(s, n)
    JOIN pg_namespace n ON n.nspname = t.s
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.n AND c.relkind = 'r'
    JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey::int2[]) AND NOT a.atthasmissing
    WHERE $3 OR NOT EXISTS (SELECT FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum
                            AND d.adbin::text LIKE '{CONST %'))sql";

}  // namespace

Status refuse_computed_key(Connection& follower,
                           const DdlRecord& record,
                           std::string_view statement,
                           const FollowerTables& before) {
    // No other command makes a column and a key of it at once.
    const std::string words = upper(statement);
    if (record.tag != "ALTER TABLE" || words.find("PRIMARY") == std::string::npos) return Done{};
    const bool sets = words.find("SET") != std::string::npos;
    const auto keys = follower.execute(
        key_columns,
        {text_array(record.schemas), text_array(record.names), sets ? "true" : "false"});
    if (!keys) return keys.error();
    for (int row = 0; row < keys->size(); ++row) {
        const auto known = before.find({keys->text(row, 0), keys->text(row, 1)});
        const std::string column = keys->text(row, 2), table = keys->text(row, 3);
        if (known == before.end() || known->second.column(column) != nullptr) continue;
        const auto rows = follower.execute("SELECT FROM ONLY " + table + " LIMIT 1");
        if (!rows) return rows.error();
        if (rows->size() == 0) continue;
        return Error{Errc::refused,
                     "it computes column " + column + ", by which the rows of " + table +
                         " are named from then on, and each side would compute its own values: let"
                         " the rows there have those of the other side"};
    }
    return Done{};
}

}  // namespace segue::backfill::postgres
