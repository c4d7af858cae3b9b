#include "tests/random/transactions.hpp"

#include <algorithm>

namespace segue::test {

namespace {

std::string number(unsigned n) { return std::to_string(n); }

bool in_key(const RandomTable& table, std::size_t column) {
    return std::find(table.key.begin(), table.key.end(), column) != table.key.end();
}

// Of such a table only single rows are touched: whatever reads it whole is slow.
bool is_large(const RandomTable& table) {
    constexpr unsigned many = 10'000;
    return !table.key.empty() && table.columns[table.key.front()].values > many;
}

}  // namespace

RandomTransaction TransactionMaker::make() {
    RandomTransaction made;
    const unsigned steps = dice_.percent(5) ? 30 + dice_.below(50) : 1 + dice_.below(6);
    for (unsigned i = 0; i < steps; ++i) made.steps.push_back(step());
    const char* const levels[] = {
        "", "", "", " ISOLATION LEVEL REPEATABLE READ", " ISOLATION LEVEL SERIALIZABLE"};
    made.isolation = levels[dice_.below(5)];
    made.commits = !dice_.percent(12);
    return made;
}

RandomStep TransactionMaker::step() {
    RandomStep made = !schema_.bare.empty() && dice_.percent(4)
                          ? RandomStep{on_bare_table()}
                          : on_table(dice_.one_of(schema_.tables));
    made.guarded = dice_.percent(60);
    return made;
}

RandomStep TransactionMaker::on_table(const RandomTable& table) {
    const unsigned kind = dice_.below(100);
    if (kind < 35) return {insert(table)};
    if (kind < 65) return {update(table)};
    if (kind < 80) return {remove(table)};
    if (kind < 85) return copy(table);
    if (kind < 90) return {merge(table)};
    if (kind < 94) return {swap_keys(table)};
    if (kind < 98) return {doomed_block(table)};
    return {truncate(table)};
}

std::string TransactionMaker::insert(const RandomTable& table) {
    std::string sql = insert_row(dice_, table);
    if (table.key.empty() || !table.arbitrates || written_columns(table).empty()) return sql;
    for (unsigned more = dice_.below(4); more > 0; --more)
        sql += ", (" + random_row(dice_, table) + ")";
    const unsigned kind = dice_.below(4);
    if (kind == 0) return sql + " ON CONFLICT DO NOTHING";
    const std::string set = assignments(table, false, "excluded.");
    if (kind > 2 || set.empty()) return sql;
    std::string key;
    for (const std::size_t at : table.key)
        key += (key.empty() ? "" : ", ") + table.columns[at].name;
    return sql + " ON CONFLICT (" + key + ") DO UPDATE SET " + set;
}

std::string TransactionMaker::assignments(const RandomTable& table,
                                          bool with_key,
                                          const std::string& same_row) {
    std::string set;
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
        const RandomColumn& column = table.columns[i];
        if (in_key(table, i) ? !with_key : !dice_.percent(50)) continue;
        set += (set.empty() ? "" : ", ") + column.name + " = ";
        if (!column.written)
            set += "DEFAULT";
        else if (dice_.percent(15))
            set += same_row + column.name;
        else
            set += random_value(dice_, column);
    }
    return set;
}

std::string TransactionMaker::key_is(const RandomTable& table) {
    std::string condition;
    for (const std::size_t at : table.key) {
        const RandomColumn& column = table.columns[at];
        condition += (condition.empty() ? "" : " AND ") + ("t." + column.name) + " = " +
                     value(column.type, dice_.below(column.values));
    }
    return condition;
}

std::string TransactionMaker::some_rows(const RandomTable& table) {
    const unsigned kind = dice_.below(10);
    if (is_large(table) || (kind < 3 && !table.key.empty())) return key_is(table);
    if (kind < 4) return "true";
    return "(t.tableoid, t.ctid) IN (SELECT s.tableoid, s.ctid FROM " + table.name +
           " s ORDER BY md5(s.ctid::text || '" + number(dice_.below(1000)) + "') LIMIT " +
           number(1 + dice_.below(4)) + ")";
}

std::string TransactionMaker::update(const RandomTable& table) {
    const bool with_key = dice_.percent(30);
    const std::string set = assignments(table, with_key, "t.");
    if (set.empty()) return insert(table);
    return "UPDATE " + table.name + " t SET " + set + " WHERE " + some_rows(table);
}

std::string TransactionMaker::remove(const RandomTable& table) {
    const std::string rows = some_rows(table);
    const bool whole = rows == "true" && dice_.percent(70);
    return "DELETE FROM " + table.name + " t WHERE " + (whole ? "t.ctid > '(0,20)'" : rows);
}

std::string TransactionMaker::values_without_default(const RandomTable& table) {
    std::string values;
    for (const RandomColumn& column : table.columns) {
        if (!column.written) continue;
        std::string made = random_value(dice_, column);
        if (made == "DEFAULT") made = value(column.type, 3);
        values += (values.empty() ? "" : ", ") + ("(" + made + ")::" + column.type.sql);
    }
    return values;
}

RandomStep TransactionMaker::copy(const RandomTable& table) {
    const std::string names = written_columns(table);
    if (names.empty()) return {insert(table)};
    std::string rows;
    for (unsigned i = 1 + dice_.below(4); i > 0; --i)
        rows += (rows.empty() ? "SELECT " : " UNION ALL SELECT ") + values_without_default(table);
    return {"COPY " + table.name + " (" + names + ") FROM STDIN", "COPY (" + rows + ") TO STDOUT"};
}

std::string TransactionMaker::merge(const RandomTable& table) {
    const std::string names = written_columns(table);
    // PostgreSQL 15 leaves NULL in a generated column where a MERGE that could update inserts.
    const bool computes = std::any_of(table.columns.begin(),
                                      table.columns.end(),
                                      [](const auto& c) { return !c.written && !c.identity; });
    if (table.key.empty() || names.empty() || computes) return insert(table);
    std::string set = assignments(table, false, "t.");
    if (set.empty()) set = "NOTHING";
    return "MERGE INTO " + table.name + " t USING (SELECT " + number(dice_.below(40)) +
           " n) s ON " + key_is(table) +
           " WHEN MATCHED AND s.n < 8 THEN DELETE WHEN MATCHED THEN " +
           (set == "NOTHING" ? "DO NOTHING" : "UPDATE SET " + set) +
           " WHEN NOT MATCHED THEN INSERT (" + names + ") VALUES (" + random_row(dice_, table) +
           ")";
}

std::string TransactionMaker::truncate(const RandomTable& table) {
    if (is_large(table) && dice_.percent(80)) return remove(table);
    return "TRUNCATE " + table.name + (dice_.percent(30) ? " RESTART IDENTITY" : "") +
           (dice_.percent(60) ? " CASCADE" : "");
}

// Deleted and inserted again, or away and back, within one transaction.
std::string TransactionMaker::swap_keys(const RandomTable& table) {
    if (table.key.empty() || is_large(table) || !table.columns[table.key.front()].written)
        return remove(table);
    const RandomColumn& column = table.columns[table.key.front()];
    const std::string a = value(column.type, dice_.below(column.values));
    const std::string b = value(column.type, dice_.below(column.values));
    return "UPDATE " + table.name + " t SET " + column.name + " = CASE WHEN t." + column.name +
           " = " + a + " THEN " + b + " ELSE " + a + " END WHERE t." + column.name + " IN (" + a +
           ", " + b + ")";
}

// A subtransaction that is undone inside the server, and one that is not.
std::string TransactionMaker::doomed_block(const RandomTable& table) {
    return "DO $do$ BEGIN BEGIN " + update(table) + "; " + remove(table) +
           "; RAISE EXCEPTION 'no'; EXCEPTION WHEN others THEN NULL; END; BEGIN " + insert(table) +
           "; EXCEPTION WHEN others THEN NULL; END; END $do$";
}

std::string TransactionMaker::on_bare_table() {
    const std::string& table = dice_.one_of(schema_.bare);
    switch (dice_.below(8)) {
        case 0:
            return "TRUNCATE " + table;
        case 1:
        case 2:
            return "DELETE FROM " + table + " WHERE ctid IN (SELECT ctid FROM " + table +
                   " LIMIT 1)";
        default:
            return "INSERT INTO " + table + " DEFAULT VALUES";
    }
}

}  // namespace segue::test
