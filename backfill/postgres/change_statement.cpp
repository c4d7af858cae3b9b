#include "backfill/postgres/change_statement.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace segue::backfill::postgres {

namespace {

// bool, int8, int2, int4, oid, text, float4, float8, varchar, date, timestamp, timestamptz,
// numeric, uuid
bool has_cheap_equality(std::uint32_t type_oid) {
    constexpr std::array<std::uint32_t, 14> types = {
        16, 20, 21, 23, 26, 25, 700, 701, 1043, 1082, 1114, 1184, 1700, 2950};
    return std::find(types.begin(), types.end(), type_oid) != types.end();
}

class Builder {
public:
    Builder(const FollowerTable& table, const Change& change)
        : table_(table), change_(change), relation_(change.relation()) {}

    Result<ChangeStatement> build() {
        switch (change_.kind()) {
            case ChangeKind::insert:
                insert();
                break;
            case ChangeKind::update:
                if (const Status named = update(); !named) return named.error();
                break;
            case ChangeKind::remove:
                if (const Status named = remove(); !named) return named.error();
                break;
            case ChangeKind::truncate:
                return Error{Errc::bad_value, "a truncate is not a change of a row"};
        }
        return std::move(statement_);
    }

private:
    std::string parameter(bool old_row, std::size_t column) {
        statement_.parameters.push_back({old_row, column});
        return "$" + std::to_string(statement_.parameters.size());
    }
    const std::string& column(std::size_t i) const { return relation_.columns[i].name; }
    bool written(std::size_t i) const {
        const Column* const known = table_.column(column(i));
        return !known || !known->generated;  // One that is not known makes the server name it.
    }
    std::string target() const { return "ONLY " + qualified(relation_.schema, relation_.name); }

    void insert() {
        std::string columns, values;
        for (std::size_t i = 0; i < relation_.columns.size(); ++i) {
            if (!written(i)) continue;
            columns += (columns.empty() ? "" : ", ") + quote_identifier(column(i));
            values += (values.empty() ? "" : ", ") + parameter(false, i);
        }
        statement_.sql = "INSERT INTO " + qualified(relation_.schema, relation_.name);
        statement_.sql +=
            columns.empty() ? " DEFAULT VALUES"
                            : " (" + columns + ") OVERRIDING SYSTEM VALUE VALUES (" + values + ")";
    }

    // Of its column's type by name: beside a composite the server would take it for any record.
    std::string old_value(std::size_t i) {
        const Column* const known = table_.column(column(i));
        return parameter(change_.old_row() != OldRow::none, i) + (known ? "::" + known->type : "");
    }

    // Equal texts are equal values: where a type has a cheap equality it goes first (the server
    // orders conditions by cost), so that a table is not turned into text row by row for every
    // change.
    std::string prefilter(std::size_t i, const std::string& quoted) {
        const Column* const known = table_.column(column(i));
        if (!known || !has_cheap_equality(known->type_oid)) return "";
        const std::string value = parameter(change_.old_row() != OldRow::none, i);
        return " AND (" + quoted + " = " + value + " OR " + value + " IS NULL)";
    }

    // What names the row as it was. A whole old row is only used in full where nothing shorter is
    // unique.
    Status where(std::string& condition) {
        const bool whole = relation_.full_identity && table_.table.key.empty();
        for (std::size_t i = 0; i < relation_.columns.size(); ++i) {
            const bool named = relation_.full_identity ? whole || table_.is_key(column(i))
                                                       : relation_.columns[i].part_of_key;
            if (!named || (whole && !written(i))) continue;
            if (!condition.empty()) condition += " AND ";
            const std::string quoted = quote_identifier(column(i));
            // Texts, because not every type has an equality, and none of another than the copy's.
            // A cast to text is not always what the stream writes (true for t): both are cast.
            const std::string value = old_value(i);
            condition += whole ? quoted + "::text IS NOT DISTINCT FROM " + value + "::text"
                               : quoted + table_.equals(column(i)) + value;
            if (whole) condition += prefilter(i, quoted);
        }
        if (condition.empty() && whole) condition = "true";  // No columns: all rows are equal.
        if (condition.empty()) {
            return Error{
                Errc::bad_value,
                relation_.schema + "." + relation_.name +
                    ": the stream does not say which row changed; set REPLICA IDENTITY FULL"};
        }
        // One of several equal rows, whichever.
        if (whole)
            condition =
                "ctid = (SELECT ctid FROM " + target() + " WHERE " + condition + " LIMIT 1)";
        return Done{};
    }

    Status update() {
        if (changes_identity(table_, change_)) return replace();
        std::string set;
        for (std::size_t i = 0; i < relation_.columns.size(); ++i) {
            const Column* const known = table_.column(column(i));
            if (!written(i) || (known && known->identity_always)) continue;
            if (change_.new_cell(i).kind == CellKind::unchanged) continue;
            const bool key_is_same =
                change_.old_row() == OldRow::none && relation_.columns[i].part_of_key;
            if (key_is_same) continue;
            set += (set.empty() ? "" : ", ") + quote_identifier(column(i)) + " = " +
                   parameter(false, i);
        }
        std::string condition;
        if (const Status named = where(condition); !named) return named;
        // Nothing to set: the row must be there all the same.
        statement_.sql = set.empty()
                             ? "SELECT FROM " + target() + " WHERE " + condition + " FOR UPDATE"
                             : "UPDATE " + target() + " SET " + set + " WHERE " + condition;
        return Done{};
    }

    Status remove() {
        std::string condition;
        if (const Status named = where(condition); !named) return named;
        statement_.sql = "DELETE FROM " + target() + " WHERE " + condition;
        return Done{};
    }

    // Removed and inserted in one statement; what the stream left out comes from the old row.
    Status replace() {
        std::string columns, values;
        for (std::size_t i = 0; i < relation_.columns.size(); ++i) {
            const Column* const known = table_.column(column(i));
            if (!written(i)) continue;
            const std::string quoted = quote_identifier(column(i));
            columns += (columns.empty() ? "" : ", ") + quoted;
            values += values.empty() ? "" : ", ";
            values += change_.new_cell(i).kind == CellKind::unchanged
                          ? "gone." + quoted
                          : parameter(false, i) + (known ? "::" + known->type : "");
        }
        std::string condition;
        if (const Status named = where(condition); !named) return named;
        statement_.sql = "WITH gone AS (DELETE FROM " + target() + " WHERE " + condition +
                         " RETURNING *) INSERT INTO " +
                         qualified(relation_.schema, relation_.name) + " (" + columns +
                         ") OVERRIDING SYSTEM VALUE SELECT " + values + " FROM gone";
        return Done{};
    }

    const FollowerTable& table_;
    const Change& change_;
    const Relation& relation_;
    ChangeStatement statement_;
};

}  // namespace

bool changes_identity(const FollowerTable& table, const Change& change) {
    if (change.kind() != ChangeKind::update) return false;
    const Relation& relation = change.relation();
    for (std::size_t i = 0; i < relation.columns.size(); ++i) {
        const Column* const known = table.column(relation.columns[i].name);
        if (!known || !known->identity_always) continue;
        // Outside the key its old value is not in the stream: it may have changed.
        if (!relation.columns[i].part_of_key) return true;
        if (change.old_row() != OldRow::none && !(change.old_cell(i) == change.new_cell(i)))
            return true;
    }
    return false;
}

Result<ChangeStatement> change_statement(const FollowerTable& table, const Change& change) {
    return Builder{table, change}.build();
}

std::string truncate_statement(const FollowerTables& tables, const Change& change) {
    // RESTART IDENTITY is left out: sequences are kept ahead by other means, never set back.
    std::string sql = "TRUNCATE ONLY ", names;
    bool partitions = false;
    for (std::size_t i = 0; i < change.truncated_size(); ++i) {
        const Relation& relation = change.truncated(i);
        const std::string name = qualified(relation.schema, relation.name);
        sql += (i == 0 ? "" : ", ONLY ") + name;
        names += (i == 0 ? "" : ", ") + quote_literal(name) + "::regclass";
        const auto known = tables.find({relation.schema, relation.name});
        partitions = partitions || (known != tables.end() && known->second.table.is_partition);
    }
    if (!partitions) return sql;
    // The stream names partitions, but a foreign key belongs to their parent as well. A parent that
    // refers to what is emptied must be named, and may be, where all of its partitions are.
    return "DO " + quote_literal(R"(DECLARE named regclass[] := ARRAY[)" + names + R"(];
        parents text;
        BEGIN
            SELECT string_agg(DISTINCT ', ' || o.conrelid::regclass, '') INTO parents
            FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid AND c.relkind = 'p'
            WHERE o.contype = 'f' AND o.confrelid = ANY (named) AND NOT EXISTS (
                SELECT FROM pg_partition_tree(o.conrelid) t
                WHERE t.isleaf AND t.relid <> ALL (named));
            EXECUTE )" + quote_literal(sql) +
                                 R"( || coalesce(parents, '');
        END)");
}

}  // namespace segue::backfill::postgres
