#include "tests/support/schema_commands.hpp"

#include <algorithm>

namespace segue::test {

namespace {

constexpr unsigned piece_size = 1000;  // Keys of a partition.
constexpr unsigned pieces_max = 4;

// An array of texts.
std::string array_of(const std::vector<std::string>& texts) {
    std::string list = "'{}'::text[]";
    for (const std::string& text : texts) {
        std::string quoted = "'";
        for (const char c : text) quoted += c == '\'' ? std::string{"''"} : std::string{c};
        list += " || " + quoted + "'::text";
    }
    return "(" + list + ")";
}

}  // namespace

SchemaCommandMaker::SchemaCommandMaker(SchemaCommandsOptions options, std::uint64_t seed)
    : options_(std::move(options)),
      prefix_("w" + std::to_string(options_.worker) + "_"),
      dice_(seed) {}

Answer SchemaCommandMaker::look(Sql& sql) {
    std::string like = prefix_;
    like.insert(like.size() - 1, "\\");
    const std::string ours = " LIKE '" + like + "%'";
    const std::string table = "c.relname ~ '^" + prefix_ + "[ab]$'";
    const std::string pending =
        PQserverVersion(sql.raw()) >= 140000 ? "h.inhdetachpending" : "false";
    Answer answer = sql.attempt(
        "SELECT 'relation', c.relname, c.relkind::text, c.relispartition::text, "
        "coalesce(i.indisvalid, true)::text,"
        " coalesce((SELECT bool_or(" +
        pending +
        ") FROM pg_inherits h WHERE h.inhrelid = c.oid), false)::text"
        " FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid"
        " WHERE c.relnamespace = 'app'::regnamespace AND c.relname" +
        ours +
        " UNION ALL SELECT 'column', a.attname, '', '', '', '' FROM pg_class c JOIN pg_attribute a "
        "ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'app'::regnamespace AND " +
        table +
        " AND a.attnum > 0 AND NOT a.attisdropped"
        " UNION ALL SELECT 'constraint', o.conname, o.contype::text, '', '', '' FROM pg_class c "
        "JOIN pg_constraint o ON"
        " o.conrelid = c.oid WHERE c.relnamespace = 'app'::regnamespace AND " +
        table + " UNION ALL SELECT 'type', '', '', '', '', '' FROM pg_type t WHERE t.typname = '" +
        prefix_ +
        "e'"
        " UNION ALL SELECT 'function', '', '', '', '', '' FROM pg_proc p WHERE p.proname = '" +
        prefix_ +
        "f'"
        " UNION ALL SELECT 'shared', s.name, (a.attname IS NOT NULL)::text, (i.indexrelid IS NOT "
        "NULL)::text, coalesce("
        "i.indisvalid, true)::text, s.n::text FROM unnest(" +
        array_of(options_.shared) +
        ") WITH ORDINALITY AS s(name, n) LEFT JOIN pg_attribute a ON a.attrelid = s.name::regclass "
        "AND a.attname = '" +
        prefix_ +
        "x' AND NOT a.attisdropped LEFT JOIN pg_class x ON x.relnamespace = 'app'::regnamespace "
        "AND x.relname = '" +
        prefix_ + "s' || s.n LEFT JOIN pg_index i ON i.indexrelid = x.oid ORDER BY 1, 2");
    if (!answer.ok) return answer;
    server_version_ = PQserverVersion(sql.raw());
    state_ = {};
    for (const auto& row : answer.rows) take(row);
    return answer;
}

void SchemaCommandMaker::take(const std::vector<std::string>& row) {
    const std::string& name = row[1];
    if (row[0] == "column") {
        if (name.starts_with("x")) state_.columns.push_back(name);
    } else if (row[0] == "constraint") {
        if (row[2] == "p") state_.key = name;
        if (row[2] == "c" && name.starts_with("c")) state_.checks.push_back(name);
    } else if (row[0] == "type") {
        state_.type = true;
    } else if (row[0] == "function") {
        state_.function = true;
    } else if (row[0] == "shared") {
        if (row[4] == "false")
            state_.broken.push_back(mine("s" + row[5]));
        else if (row[2] == "true")
            state_.shared.emplace_back(name, row[3] == "true");
    } else if (name == prefix_ + "a" || name == prefix_ + "b") {
        state_.table = "app." + name;
        state_.partitioned = row[2] == "p";
    } else if (name.starts_with(prefix_ + "p") && row[2] == "r") {
        state_.pieces.push_back({"app." + name, row[3] == "true", row[5] == "true"});
    } else if (name.starts_with(prefix_ + "i") && row[3] == "false") {
        (row[4] == "true" ? state_.indexes : state_.broken).push_back("app." + name);
    } else if (name == prefix_ + "v") {
        state_.view = true;
    } else if (name == prefix_ + "m") {
        state_.materialized = true;
    } else if (name == prefix_ + "q") {
        state_.sequence = true;
    }
}

SchemaCommands SchemaCommandMaker::make(std::int64_t number, bool may_rename) {
    number_ = number;
    // What a command that died has left behind.
    for (const Piece& piece : state_.pieces) {
        if (piece.pending)
            return {{on_table("DETACH PARTITION " + piece.name + " FINALIZE")}, true};
    }
    if (!state_.broken.empty()) return {{"DROP INDEX IF EXISTS " + state_.broken.front()}};
    const unsigned kind = dice_.below(100);
    if (kind < 15 && !options_.shared.empty()) return on_shared();
    if (kind < 25) return {beside()};
    if (state_.table.empty()) return {create()};
    if (kind < 40) return state_.partitioned ? on_pieces() : SchemaCommands{{rows()}};
    if (kind < 52) return on_indexes();
    if (kind < 76) return {on_columns()};
    if (kind < 86) return {on_rules()};
    if (kind < 90) return {{rows()}};
    if (kind < 94 && may_rename) return {rename()};
    if (kind < 97)
        return {
            {"TRUNCATE " + state_.table + (dice_.percent(50) ? " RESTART IDENTITY" : ""), rows()}};
    return {{"DROP TABLE " + state_.table + " CASCADE"}};
}

std::vector<std::string> SchemaCommandMaker::create() {
    const std::string name = mine(dice_.percent(50) ? "a" : "b");
    std::vector<std::string> sql;
    switch (dice_.below(6)) {
        case 0:
            sql = {"CREATE TABLE " + name + " (id bigint, body text)"};
            break;
        case 1:
            sql = {"CREATE TABLE " + name +
                   " AS SELECT i::bigint AS id, 'made ' || i AS body, random() AS x0 FROM "
                   "generate_series(1, 20) i"};
            break;
        case 2:
            sql = {"CREATE TABLE " + name +
                       " (id bigint PRIMARY KEY, body text) PARTITION BY RANGE (id)",
                   "CREATE TABLE " + mine(new_name("p")) + " PARTITION OF " + name +
                       " FOR VALUES FROM (MINVALUE) TO (" + std::to_string(piece_size) + ")"};
            break;
        case 3:
            sql = {"CREATE TABLE " + name +
                   " (id bigint PRIMARY KEY, body text, n bigint GENERATED BY DEFAULT AS IDENTITY, "
                   "doubled bigint"
                   " GENERATED ALWAYS AS (id * 2) STORED)"};
            break;
        default:
            sql = {"CREATE TABLE " + name +
                   " (id bigint PRIMARY KEY, body text DEFAULT 'none', n bigserial UNIQUE)"};
            break;
    }
    state_ = {};
    state_.table = name;
    sql.push_back(rows());
    return sql;
}

std::string SchemaCommandMaker::rows() {
    const std::string from = std::to_string(dice_.below(piece_size - 20));
    switch (dice_.below(state_.partitioned ? 2 : 4)) {  // Its partitions come and go.
        case 0:
            return "UPDATE " + state_.table + " SET body = left(body || '!', 40) WHERE id % 3 = 0";
        case 1:
            return "DELETE FROM " + state_.table + " WHERE id % 7 = 0";
        default:
            return "INSERT INTO " + state_.table +
                   " (id, body) SELECT i, 'row ' || i FROM generate_series(" + from + ", " + from +
                   " + 9) i WHERE i NOT IN (SELECT id FROM " + state_.table + ")";
    }
}

SchemaCommands SchemaCommandMaker::on_shared() {
    const std::size_t at = dice_.below(static_cast<unsigned>(options_.shared.size()));
    const std::string& name = options_.shared[at];
    const auto there = std::find_if(state_.shared.begin(),
                                    state_.shared.end(),
                                    [&](const auto& one) { return one.first == name; });
    const std::string column = prefix_ + "x", index = prefix_ + "s" + std::to_string(at + 1);
    if (there == state_.shared.end()) {
        const char* const types[] = {
            " int", " int DEFAULT 7", " text NOT NULL DEFAULT 'n'", " timestamptz DEFAULT now()"};
        return {{"ALTER TABLE " + name + " ADD COLUMN " + column + types[dice_.below(4)]}};
    }
    if (!there->second && dice_.percent(50)) {
        const bool concurrently = dice_.percent(50);
        return {{std::string{"CREATE INDEX "} + (concurrently ? "CONCURRENTLY " : "") + index +
                 " ON " + name + " (" + column + ")"},
                concurrently};
    }
    if (there->second && dice_.percent(50)) {
        const bool concurrently = dice_.percent(50);
        return {
            {std::string{"DROP INDEX "} + (concurrently ? "CONCURRENTLY " : "") + "app." + index},
            concurrently};
    }
    return {{"ALTER TABLE " + name + " DROP COLUMN " + column}};
}

SchemaCommands SchemaCommandMaker::on_pieces() {
    std::vector<std::string> attached, detached;
    for (const Piece& piece : state_.pieces)
        (piece.attached ? attached : detached).push_back(piece.name);
    const std::string name = mine(new_name("p"));
    const std::string bounds = " FOR VALUES FROM (" + std::to_string(number_ * piece_size) +
                               ") TO (" + std::to_string((number_ + 1) * piece_size) + ")";
    const std::string first = std::to_string(number_ * piece_size);
    const std::string filled = " (id, body) SELECT i, 'in a part' FROM generate_series(" + first +
                               ", " + first + " + 5) i";
    if (attached.size() < pieces_max && dice_.percent(60)) {
        if (dice_.percent(50))
            return {{"CREATE TABLE " + name + " PARTITION OF " + state_.table + bounds,
                     "INSERT INTO " + state_.table + filled}};
        return {{"CREATE TABLE " + name + " (LIKE " + state_.table +
                     " INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
                 "ALTER TABLE " + name + " ADD PRIMARY KEY (id)",
                 "INSERT INTO " + name + filled,
                 on_table("ATTACH PARTITION " + name + bounds)}};
    }
    if (!detached.empty()) return {{"DROP TABLE " + dice_.one_of(detached)}};
    if (attached.empty()) return {{rows()}};
    const std::string& one = dice_.one_of(attached);
    if (dice_.percent(25)) return {{"DROP TABLE " + one}};
    const bool concurrently = server_version_ >= 140000 && dice_.percent(40);
    return {{on_table("DETACH PARTITION " + one + (concurrently ? " CONCURRENTLY" : ""))},
            concurrently};
}

SchemaCommands SchemaCommandMaker::on_indexes() {
    const bool concurrently = !state_.partitioned && dice_.percent(50);
    const std::string how = concurrently ? " CONCURRENTLY " : " ";
    if (!state_.indexes.empty() && dice_.percent(60)) {
        const std::string& one = dice_.one_of(state_.indexes);
        switch (dice_.below(4)) {
            case 0:
                return {{"ALTER INDEX " + one + " RENAME TO " + prefix_ + new_name("i")}};
            case 1:
                return {
                    {"COMMENT ON INDEX " + one + " IS 'index " + std::to_string(number_) + "'"}};
            default:
                return {{"DROP INDEX" + how + one}, concurrently};
        }
    }
    const char* const what[] = {" (body)", " (id) WHERE id > 5", " (lower(body), id DESC)"};
    return {{"CREATE INDEX" + how + prefix_ + new_name("i") + " ON " + state_.table +
             what[dice_.below(3)]},
            concurrently};
}

std::vector<std::string> SchemaCommandMaker::on_columns() {
    const std::string fresh = new_name("x");
    // Values that a command computes need a key, to be shown by.
    const bool keyed = !state_.key.empty();
    if (!state_.columns.empty() && dice_.percent(55)) {
        const std::string& one = dice_.one_of(state_.columns);
        switch (dice_.below(5)) {
            case 0:
                return {on_table("RENAME COLUMN " + one + " TO " + fresh), rows()};
            case 1:
                return {on_table("ALTER COLUMN " + one + " DROP DEFAULT"),
                        on_table(
                            "ALTER COLUMN " + one + " TYPE text" +
                            (keyed && dice_.percent(50) ? " USING " + one + "::text || '.'" : ""))};
            default:
                return {on_table("DROP COLUMN " + one), rows()};
        }
    }
    std::vector<std::string> kinds = {
        " int",
        " text DEFAULT 'a; b'",
        " int NOT NULL DEFAULT 3",
        " timestamptz NOT NULL DEFAULT now()",
        " numeric(10, 2) DEFAULT 1.5, ADD COLUMN y" + fresh + " text"};
    if (keyed)
        kinds.insert(kinds.end(), {" uuid DEFAULT gen_random_uuid()", " float8 DEFAULT random()"});
    if (state_.type) kinds.push_back(" app." + prefix_ + "e DEFAULT 'first'");
    return {on_table("ADD COLUMN " + fresh + dice_.one_of(kinds)), rows()};
}

std::vector<std::string> SchemaCommandMaker::on_rules() {
    switch (dice_.below(6)) {
        case 0:
            if (state_.checks.empty())
                return {on_table("ADD CONSTRAINT " + new_name("c") + " CHECK (length(body) < 900)" +
                                 (dice_.percent(50) ? " NOT VALID" : ""))};
            return {on_table("VALIDATE CONSTRAINT " + state_.checks.front()),
                    on_table("DROP CONSTRAINT " + state_.checks.front())};
        case 1:
            if (state_.partitioned) return {"ANALYZE " + state_.table};
            if (!state_.key.empty()) return {on_table("DROP CONSTRAINT " + state_.key), rows()};
            return {"DELETE FROM " + state_.table + " t USING " + state_.table +
                        " o WHERE t.id = o.id AND t.ctid > o.ctid",
                    "DELETE FROM " + state_.table + " WHERE id IS NULL",
                    on_table("ADD PRIMARY KEY (id)")};
        case 2:
            return {"GRANT SELECT ON " + state_.table + " TO PUBLIC"};
        case 3:
            return {"COMMENT ON TABLE " + state_.table + " IS 'it''s number " +
                    std::to_string(number_) + "; really'"};
        case 4:
            return {on_table("ALTER COLUMN body SET STATISTICS " +
                             std::to_string(10 + dice_.below(90)))};
        default:
            return {on_table("ALTER COLUMN body SET DEFAULT 'd " + std::to_string(number_) + "'"),
                    rows()};
    }
}

// Objects beside the table.
std::vector<std::string> SchemaCommandMaker::beside() {
    const unsigned kind = dice_.below(options_.functions ? 5 : 4);
    if (kind == 4)
        return {state_.function && dice_.percent(40)
                    ? "DROP FUNCTION " + mine("f") + "(int)"
                    : "CREATE OR REPLACE FUNCTION " + mine("f") +
                          "(i int) RETURNS int LANGUAGE sql AS 'SELECT i + " +
                          std::to_string(number_) + "'"};
    if (kind == 0)
        return {state_.type ? "ALTER TYPE " + mine("e") + " ADD VALUE '" + new_name("v") + "'"
                            : "CREATE TYPE " + mine("e") + " AS ENUM ('first')"};
    if (kind == 1)
        return {state_.sequence
                    ? (dice_.percent(60) ? "ALTER SEQUENCE " + mine("q") + " INCREMENT BY " +
                                               std::to_string(1 + dice_.below(5))
                                         : "DROP SEQUENCE " + mine("q"))
                    : "CREATE SEQUENCE " + mine("q")};
    if (state_.table.empty()) return create();
    if (kind == 2)
        return {state_.view && dice_.percent(40) ? "DROP VIEW " + mine("v")
                                                 : "CREATE OR REPLACE VIEW " + mine("v") +
                                                       " AS SELECT id, body FROM " + state_.table};
    if (!state_.materialized)
        return {"CREATE MATERIALIZED VIEW " + mine("m") + " AS SELECT id, body FROM " +
                state_.table};
    return {dice_.percent(60) ? "REFRESH MATERIALIZED VIEW " + mine("m")
                              : "DROP MATERIALIZED VIEW " + mine("m")};
}

std::vector<std::string> SchemaCommandMaker::rename() {
    const bool first = state_.table.ends_with("a");
    const std::string to = prefix_ + (first ? "b" : "a");
    std::vector<std::string> sql = {on_table("RENAME TO " + to)};
    state_.table = "app." + to;
    sql.push_back(rows());
    return sql;
}

}  // namespace segue::test
