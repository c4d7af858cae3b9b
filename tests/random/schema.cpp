#include "tests/random/schema.hpp"

#include <algorithm>

namespace segue::test {

namespace {

const std::vector<std::string> odd_names = {
    "plain_",
    "\"Upper Case ",
    "\"quo\"\"te ",
    "\"back\\slash ",
    "\"semi;colon ",
    "\"dot.ted ",
    "\"\u00fcml\u00e4ut \u20ac",
    "\"select ",
    "\"percent %s %I ",
    "\"dollar $1 $$ ",
    "\"brace {a,b} ",
    "\"it's ",
    "\"new\nline ",
    "\"a name that is as long as a name can be in bytes of its "};

constexpr unsigned key_values = 40;     // Few, so that clients meet on the same rows.
constexpr unsigned free_values = 1000;  // Of columns outside keys.
constexpr unsigned table_kinds = 10;

class Maker {
public:
    explicit Maker(Dice& dice) : dice_(dice) {}

    RandomSchema make() {
        schema_.ddl.emplace_back("CREATE SCHEMA app");
        schema_.ddl.emplace_back("CREATE SCHEMA \"Odd; schema\"");
        schema_.ddl.emplace_back(own_types_sql);
        schema_.ddl.emplace_back(
            "CREATE TABLE app.trail (at bigint GENERATED ALWAYS AS IDENTITY, what text);"
            "CREATE FUNCTION app.leave_trail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO app.trail (what) VALUES (TG_OP || ' ' || left(coalesce(NEW, OLD)::text, "
            "40));"
            " RETURN NULL; END $$");
        const unsigned tables = 6 + dice_.below(5);
        for (unsigned i = 0; i < tables; ++i) add_table();
        add_large_table();
        if (dice_.percent(60)) {
            schema_.bare.push_back("app.no_columns");
            schema_.ddl.emplace_back("CREATE TABLE app.no_columns ()");
            schema_.ddl.emplace_back(
                "INSERT INTO app.no_columns SELECT FROM generate_series(1, 3)");
        }
        if (dice_.percent(30)) {
            schema_.ddl.emplace_back(
                "CREATE TABLE app.only_computed (g int GENERATED ALWAYS AS (1 + 1) STORED)");
            schema_.ddl.emplace_back("INSERT INTO app.only_computed DEFAULT VALUES");
            schema_.bare.push_back("app.only_computed");
        }
        return std::move(schema_);
    }

private:
    std::string fresh_name(const std::string& prefix = "") {
        std::string name = dice_.one_of(odd_names) + prefix + std::to_string(++names_);
        if (name.starts_with('"')) name += '"';
        return name;
    }
    std::string fresh_table() {
        return (dice_.percent(70) ? "app." : "\"Odd; schema\".") + fresh_name("t");
    }
    const ValueType& any_type(bool key) {
        for (;;) {
            const ValueType& type = dice_.one_of(value_types());
            if (type.key || !key) return type;
        }
    }
    static const ValueType& type_named(const std::string& sql) {
        const auto& types = value_types();
        return *std::find_if(
            types.begin(), types.end(), [&](const ValueType& type) { return type.sql == sql; });
    }
    void say(const std::string& sql) { schema_.ddl.push_back(sql); }

    RandomColumn column(const ValueType& type, bool in_key) {
        RandomColumn made{fresh_name("c"), type};
        made.nullable = !in_key && dice_.percent(80);
        made.values = in_key ? key_values : free_values;
        return made;
    }

    void add_table() {
        RandomTable table;
        table.name = fresh_table();
        const unsigned kind = dice_.below(table_kinds);
        const bool keyed = kind >= 2;
        const bool partitioned = kind >= 8;
        if (keyed) {
            const unsigned parts = 1 + dice_.below(3);
            for (unsigned i = 0; i < parts; ++i) {
                const bool cut = partitioned && i == 0;
                table.columns.push_back(column(
                    cut ? type_named(dice_.percent(50) ? "int4" : "text") : any_type(true), true));
                table.key.push_back(i);
            }
        }
        const unsigned more = dice_.below(7) + (keyed ? 0 : 1);
        for (unsigned i = 0; i < more; ++i) table.columns.push_back(column(any_type(false), false));
        if (!partitioned && dice_.percent(30)) shuffle(table);
        table.rows = dice_.below(4) == 0 ? 0 : 5 + dice_.below(60);
        create(table, partitioned);
        if (keyed) name_rows(table, partitioned);
        embellish(table, partitioned);
        if (!partitioned && dice_.percent(15)) add_child(table);
    }

    // The key's columns need not come first, nor in the index's order.
    void shuffle(RandomTable& table) {
        const std::size_t last = table.columns.size() - 1;
        if (table.key.empty() || last == 0) return;
        std::swap(table.columns.front(), table.columns.back());
        for (std::size_t& at : table.key) at = at == 0 ? last : at == last ? 0 : at;
    }

    void create(RandomTable& table, bool partitioned) {
        std::string columns;
        for (std::size_t i = 0; i < table.columns.size(); ++i) {
            RandomColumn& made = table.columns[i];
            const bool in_key = std::find(table.key.begin(), table.key.end(), i) != table.key.end();
            columns += (columns.empty() ? "" : ", ") + made.name + " " + made.type.sql;
            const bool whole_number = made.type.sql == "int8" || made.type.sql == "int4";
            if (whole_number && !partitioned && dice_.percent(40)) {
                made.nullable = false;
                made.identity = true;
                made.written = dice_.percent(50);
                columns += made.written ? " GENERATED BY DEFAULT AS IDENTITY"
                                        : " GENERATED ALWAYS AS IDENTITY";
            } else if (!made.nullable || in_key) {
                columns += " NOT NULL";
            }
        }
        if (dice_.percent(30)) columns += (columns.empty() ? "" : ", ") + computed(table);
        unlogged_ = !partitioned && dice_.percent(8);
        say((unlogged_ ? "CREATE UNLOGGED TABLE " : "CREATE TABLE ") + table.name + " (" + columns +
            ")" + (partitioned ? partition_by(table) : std::string{}));
        if (partitioned) add_partitions(table);
    }

    std::string computed(RandomTable& table) {
        RandomColumn made{fresh_name("g"), {"int4", false, "$"}};
        made.written = false;
        std::string expression = "42";
        for (const RandomColumn& column : table.columns) {
            if (column.type.sql == "text") expression = "length(" + column.name + ")";
            if (column.type.sql == "int4" && column.written) expression = column.name + " % 7";
        }
        table.columns.push_back(made);
        return made.name + " int4 GENERATED ALWAYS AS (" + expression + ") STORED";
    }

    std::string partition_by(const RandomTable& table) {
        const RandomColumn& by = table.columns.front();
        style_ = dice_.below(3);
        const char* const styles[] = {"LIST", "RANGE", "HASH"};
        return std::string{" PARTITION BY "} + styles[style_] + " (" + by.name + ")";
    }

    void add_partitions(const RandomTable& table) {
        const RandomColumn& by = table.columns.front();
        const auto nth = [&](unsigned n) { return value(by.type, n + 10); };
        const auto leaf = [&](const std::string& bounds) {
            say("CREATE TABLE " + fresh_table() + " PARTITION OF " + table.name + " " + bounds);
        };
        if (style_ == 2) {
            for (unsigned i = 0; i < 3; ++i)
                leaf("FOR VALUES WITH (MODULUS 3, REMAINDER " + std::to_string(i) + ")");
            return;
        }
        if (style_ == 1) {
            leaf("FOR VALUES FROM (MINVALUE) TO (" + nth(0) + ")");
            const std::string sub = fresh_table();
            say("CREATE TABLE " + sub + " PARTITION OF " + table.name + " FOR VALUES FROM (" +
                nth(0) + ") TO (MAXVALUE) PARTITION BY HASH (" + by.name + ")");
            for (unsigned i = 0; i < 2; ++i)
                say("CREATE TABLE " + fresh_table() + " PARTITION OF " + sub +
                    " FOR VALUES WITH (MODULUS 2, REMAINDER " + std::to_string(i) + ")");
            return;
        }
        leaf("FOR VALUES IN (" + nth(0) + ", " + nth(1) + ", " + nth(2) + ")");
        leaf("FOR VALUES IN (" + nth(3) + ", " + nth(4) + ")");
        leaf("DEFAULT");
    }

    std::string key_list(const RandomTable& table) const {
        std::string list;
        for (const std::size_t at : table.key)
            list += (list.empty() ? "" : ", ") + table.columns[at].name;
        return list;
    }

    // A key of some kind, and a replica identity of some kind.
    void name_rows(RandomTable& table, bool partitioned) {
        const unsigned kind = dice_.below(6);
        const bool deferrable = kind == 0 && !partitioned;
        table.arbitrates = !deferrable;
        if (kind <= 2) {
            say("ALTER TABLE " + table.name + " ADD PRIMARY KEY (" + key_list(table) + ")" +
                (deferrable ? " DEFERRABLE" : ""));
        } else if (partitioned || kind == 3) {
            say("ALTER TABLE " + table.name + " ADD UNIQUE (" + key_list(table) + ")");
        } else {
            const std::string index = fresh_name("i");
            say("CREATE UNIQUE INDEX " + index + " ON " + table.name + " (" + key_list(table) +
                ")");
            say("ALTER TABLE " + table.name + " REPLICA IDENTITY USING INDEX " + index);
            if (dice_.percent(50)) return;
        }
        if (dice_.percent(25)) say("ALTER TABLE " + table.name + " REPLICA IDENTITY FULL");
        if (dice_.percent(15)) say("ALTER TABLE " + table.name + " REPLICA IDENTITY NOTHING");
    }

    // What else hangs on a table.
    void embellish(RandomTable& table, bool partitioned) {
        for (RandomColumn& column : table.columns) {
            const std::string& type = column.type.sql;
            const bool large = type == "text" || type == "bytea" || type == "jsonb";
            if (large && dice_.percent(50))
                say("ALTER TABLE " + table.name + " ALTER " + column.name + " SET STORAGE " +
                    (dice_.percent(50) ? "EXTERNAL" : "MAIN"));
            if (column.type.key && dice_.percent(12))
                say("CREATE INDEX ON " + table.name + " (" + column.name + ")");
        }
        if (dice_.percent(25)) {
            say("ALTER TABLE " + table.name + " ADD gone int DEFAULT 1");
            say("ALTER TABLE " + table.name + " DROP gone");
        }
        if (dice_.percent(25)) {
            // Rows that are there keep the default without being rewritten.
            RandomColumn late = column(type_named("int4"), false);
            for (unsigned i = 0; i < 3; ++i) say(insert_row(dice_, table));
            say("ALTER TABLE " + table.name + " ADD " + late.name + " int4 DEFAULT 7");
            table.columns.push_back(late);
        }
        if (dice_.percent(25))
            say("CREATE TRIGGER trail AFTER INSERT OR UPDATE OR DELETE ON " + table.name +
                " FOR EACH ROW EXECUTE FUNCTION app.leave_trail()");
        if (table.key.size() == 1 && table.arbitrates) add_referencing(table);
        if (dice_.percent(20)) add_unique(table, partitioned);
        schema_.tables.push_back(table);
    }

    // A second unique constraint, which copying in pieces and applying in groups must get along
    // with.
    void add_unique(RandomTable& table, bool partitioned) {
        if (partitioned) return;
        RandomColumn rank = column(type_named("int4"), false);
        rank.nullable = true;
        rank.values = key_values * 2;
        const bool deferred = dice_.percent(50);
        say("ALTER TABLE " + table.name + " ADD " + rank.name + " int4 UNIQUE" +
            (deferred ? " DEFERRABLE INITIALLY DEFERRED" : ""));
        table.arbitrates = table.arbitrates && !deferred;
        table.columns.push_back(rank);
    }

    void add_referencing(const RandomTable& parent) {
        if (unlogged_ || !dice_.percent(35)) return;
        RandomTable child;
        child.name = fresh_table();
        RandomColumn to = parent.columns[parent.key.front()];
        to.name = fresh_name("f");
        to.written = to.nullable = true;
        child.columns = {column(type_named("int4"), true), to, column(any_type(false), false)};
        child.key = {0};
        child.rows = dice_.below(20);
        const bool partitioned = dice_.percent(40);
        const char* const actions[] = {" ON UPDATE CASCADE ON DELETE CASCADE",
                                       " ON UPDATE CASCADE ON DELETE SET NULL",
                                       " DEFERRABLE INITIALLY DEFERRED"};
        std::string columns;
        for (const RandomColumn& c : child.columns)
            columns += (columns.empty() ? "" : ", ") + c.name + " " + c.type.sql +
                       (c.nullable ? "" : " NOT NULL");
        say("CREATE TABLE " + child.name + " (" + columns + ", PRIMARY KEY (" +
            child.columns[0].name + "), FOREIGN KEY (" + to.name + ") REFERENCES " + parent.name +
            " (" + parent.columns[parent.key.front()].name + ")" + actions[dice_.below(3)] + ")" +
            (partitioned ? partition_by(child) : std::string{}));
        if (partitioned) add_partitions(child);
        schema_.tables.push_back(child);
    }

    void add_child(const RandomTable& parent) {
        RandomTable child = parent;
        child.name = fresh_table();
        child.key.clear();
        RandomColumn own = column(any_type(false), false);
        child.columns.push_back(own);
        say("CREATE TABLE " + child.name + " (" + own.name + " " + own.type.sql +
            (own.nullable ? "" : " NOT NULL") + ") INHERITS (" + parent.name + ")");
        // Identities are not inherited.
        for (RandomColumn& column : child.columns) {
            const bool computed = !column.written && !column.identity;
            column.identity = false;
            column.written = !computed;
        }
        schema_.tables.push_back(child);
    }

    // Large enough to be copied in chunks, where its key's order is known.
    void add_large_table() {
        RandomTable table;
        table.name = fresh_table();
        RandomColumn key = column(any_type(true), true);
        key.values = large_rows;
        table.columns = {column(type_named("int4"), true), key, column(type_named("text"), false)};
        table.columns[0].values = large_rows;
        table.key =
            dice_.percent(50) ? std::vector<std::size_t>{0} : std::vector<std::size_t>{1, 0};
        say("CREATE TABLE " + table.name + " (" + table.columns[0].name + " int4, " + key.name +
            " " + key.type.sql + ", " + table.columns[2].name +
            " text NOT NULL DEFAULT repeat('x', 200)," + " PRIMARY KEY (" + key_list(table) + "))");
        say("INSERT INTO " + table.name + " SELECT i, " + of_series(key.type) +
            " FROM generate_series(100, " + std::to_string(large_rows) + ") i");
        schema_.tables.push_back(table);
    }

    // The type's expression over i, which may stand inside a literal.
    static std::string of_series(const ValueType& type) {
        std::string sql;
        bool in_literal = false;
        for (const char c : type.expression) {
            in_literal = in_literal != (c == '\'');
            if (c != '$')
                sql += c;
            else
                sql += in_literal ? "' || i || '" : "i";
        }
        return sql;
    }

    static constexpr unsigned large_rows = 45'000;

    Dice& dice_;
    RandomSchema schema_;
    unsigned names_ = 0;
    unsigned style_ = 0;  // Of the partitions that are being made.
    bool unlogged_ = false;
};

}  // namespace

RandomSchema random_schema(Dice& dice) { return Maker{dice}.make(); }

std::string random_value(Dice& dice, const RandomColumn& column) {
    if (column.nullable && dice.percent(20)) return "NULL";
    if (column.identity && dice.percent(50)) return "DEFAULT";
    return value(column.type, dice.below(column.values));
}

std::string written_columns(const RandomTable& table) {
    std::string names;
    for (const RandomColumn& column : table.columns) {
        if (column.written) names += (names.empty() ? "" : ", ") + column.name;
    }
    return names;
}

std::string random_row(Dice& dice, const RandomTable& table) {
    std::string values;
    for (const RandomColumn& column : table.columns) {
        if (column.written) values += (values.empty() ? "" : ", ") + random_value(dice, column);
    }
    return values;
}

std::string insert_row(Dice& dice, const RandomTable& table) {
    const std::string names = written_columns(table);
    if (names.empty()) return "INSERT INTO " + table.name + " DEFAULT VALUES";
    return "INSERT INTO " + table.name + " (" + names + ") VALUES (" + random_row(dice, table) +
           ")";
}

}  // namespace segue::test
