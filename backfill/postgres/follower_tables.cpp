#include "backfill/postgres/follower_tables.hpp"

#include <algorithm>

#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// Key columns whose index's equality is not the one of pg_catalog, e.g. citext's.
constexpr const char* foreign_equality = R"sql(
    SELECT n.nspname, c.relname, a.attname, p.nspname, o.oprname
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) AS s(at)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[s.at]
    JOIN pg_opclass oc ON oc.oid = i.indclass[s.at]
    JOIN pg_am m ON m.oid = oc.opcmethod AND m.amname = 'btree'
    JOIN pg_amop op ON op.amopfamily = oc.opcfamily AND op.amopstrategy = 3
        AND op.amoplefttype = oc.opcintype AND op.amoprighttype = oc.opcintype
    JOIN pg_operator o ON o.oid = op.amopopr JOIN pg_namespace p ON p.oid = o.oprnamespace
    WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND c.relkind = 'r'
      AND p.nspname <> 'pg_catalog' AND n.nspname NOT LIKE 'pg\_%')sql";

// Of the server's own type, or it would not look them up in its index.
constexpr const char* numbers_of_names = R"sql(
    SELECT c.oid FROM unnest($1::name[], $2::name[]) AS t(s, n)
    JOIN pg_namespace n ON n.nspname = t.s JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.n)sql";

FollowerTables with_operators(std::vector<Table> tables, const Rows& operators) {
    FollowerTables result;
    for (Table& table : tables) {
        const TableName name{table.schema, table.name};
        result.emplace(name, FollowerTable{std::move(table), {}});
    }
    for (int row = 0; row < operators.size(); ++row) {
        const auto found = result.find({operators.text(row, 0), operators.text(row, 1)});
        if (found == result.end()) continue;
        found->second.equality[operators.text(row, 2)] = "OPERATOR(" +
                                                         quote_identifier(operators.at(row, 3)) +
                                                         "." + operators.text(row, 4) + ")";
    }
    return result;
}

}  // namespace

const Column* FollowerTable::column(const std::string& name) const {
    const auto at = std::find_if(table.columns.begin(), table.columns.end(), [&](const Column& c) {
        return c.name == name;
    });
    return at == table.columns.end() ? nullptr : &*at;
}

bool FollowerTable::is_key(const std::string& name) const {
    return std::any_of(table.key.begin(), table.key.end(), [&](int key) {
        return table.columns[static_cast<std::size_t>(key)].name == name;
    });
}

std::string FollowerTable::equals(const std::string& column_name) const {
    const auto found = equality.find(column_name);
    return found == equality.end() ? " = " : " " + found->second + " ";
}

Status check_described(const FollowerTable& table, const Relation& relation) {
    // Numbers below are the same in every database; above them they are the database's own.
    constexpr std::uint32_t fixed_types_max = 9999;
    const auto differs = [&](const std::string& what) {
        return Error{Errc::bad_value,
                     table.table.plain_name() + ": " + definition_was_changed + "," +
                         " and no command for the follower came with it: " + what +
                         "; make both sides the same"};
    };
    std::size_t described = 0;
    for (const Relation::Column& column : relation.columns) {
        const Column* const known = table.column(column.name);
        if (!known) return differs("column " + column.name + " is missing on the follower");
        if (!known->generated) ++described;
        const bool fixed = column.type_id <= fixed_types_max || known->type_oid <= fixed_types_max;
        if ((fixed && column.type_id != known->type_oid) ||
            column.type_modifier != known->type_modifier) {
            return differs("column " + column.name + " has another type than " + known->type +
                           " there");
        }
    }
    const auto& columns = table.table.columns;
    const auto written = std::count_if(
        columns.begin(), columns.end(), [](const Column& column) { return !column.generated; });
    if (static_cast<std::size_t>(written) == described) return Done{};
    for (const Column& column : columns) {
        const bool in_stream = std::any_of(relation.columns.begin(),
                                           relation.columns.end(),
                                           [&](const auto& c) { return c.name == column.name; });
        if (!column.generated && !in_stream)
            return differs("column " + column.name + " is on the follower only");
    }
    return Done{};
}

Result<FollowerTables> read_follower_tables(Connection& follower,
                                            const std::vector<std::string>& exclude) {
    auto tables = read_tables(follower, exclude);
    if (!tables) return tables.error();
    const auto operators = follower.execute(foreign_equality);
    if (!operators) return operators.error();
    return with_operators(std::move(*tables), *operators);
}

Result<FollowerTables> read_follower_tables(Connection& follower,
                                            const std::vector<std::string>& exclude,
                                            const std::vector<TableName>& names) {
    std::vector<std::string> schemas, plain, oids;
    for (const auto& [schema, name] : names) {
        schemas.push_back(schema);
        plain.push_back(name);
    }
    const auto found = follower.execute(numbers_of_names, {text_array(schemas), text_array(plain)});
    if (!found) return found.error();
    for (int row = 0; row < found->size(); ++row) oids.push_back(found->text(row, 0));
    if (oids.empty()) return FollowerTables{};
    auto tables = read_tables_of(follower, exclude, oids);
    if (!tables) return tables.error();
    const auto operators = follower.execute(
        std::string{foreign_equality} + " AND i.indrelid = ANY ($1::oid[])", {text_array(oids)});
    if (!operators) return operators.error();
    return with_operators(std::move(*tables), *operators);
}

}  // namespace segue::backfill::postgres
