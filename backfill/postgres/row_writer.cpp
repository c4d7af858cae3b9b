#include "backfill/postgres/row_writer.hpp"

#include <algorithm>
#include <functional>

namespace segue::backfill::postgres {

std::size_t RowWriter::ShapeHash::operator()(const Shape& shape) const {
    const std::size_t kinds = static_cast<std::size_t>(shape.kind) * 8 +
                              static_cast<std::size_t>(shape.old_row) * 2 +
                              (shape.replaces ? 1 : 0);
    return std::hash<const void*>{}(shape.relation) ^ (kinds << 1) ^
           (shape.unchanged.empty() ? 0 : std::hash<std::string>{}(shape.unchanged));
}

const std::string& RowWriter::subject(const Relation& relation) {
    std::string& text = subjects_[&relation];
    if (text.empty()) text = relation.schema + "." + relation.name;
    return text;
}

Result<const RowWriter::Prepared*> RowWriter::prepared(StatementPipeline& pipeline,
                                                       const Change& change) {
    const Relation& relation = change.relation();
    const auto table = tables_.find({relation.schema, relation.name});
    if (table == tables_.end()) {
        return Error{Errc::bad_value, subject(relation) + ": the follower has no such table"};
    }
    Shape shape{
        &relation, change.kind(), change.old_row(), changes_identity(table->second, change), {}};
    if (change.has_unchanged()) {
        for (std::size_t i = 0; i < change.new_size(); ++i) {
            if (change.new_cell(i).kind == CellKind::unchanged)
                shape.unchanged += std::to_string(i) + ",";
        }
    }
    if (const auto known = prepared_.find(shape); known != prepared_.end()) return &known->second;

    if (const Status same = check_described(table->second, relation); !same) return same.error();
    auto statement = change_statement(table->second, change);
    if (!statement) return statement.error();
    if (prepared_.size() >= prepared_statements_max) {
        if (const Status forgotten = forget_statements(pipeline); !forgotten)
            return forgotten.error();
    }
    const std::string name = "segue" + std::to_string(next_statement_++);
    if (const Status sent = pipeline.prepare(name, statement->sql, subject(relation)); !sent) {
        return sent.error();
    }
    return &prepared_.emplace(std::move(shape), Prepared{name, std::move(statement->parameters)})
                .first->second;
}

// Not ALL: others keep statements of theirs here.
Status RowWriter::forget_statements(StatementPipeline& pipeline) {
    for (const auto& [shape, old] : prepared_) {
        const Status sent = pipeline.query("DEALLOCATE " + old.name, {}, {{}, "statements"});
        if (!sent) return sent;
    }
    prepared_.clear();
    return Done{};
}

Status RowWriter::write(StatementPipeline& pipeline, const Change& change) {
    if (change.kind() == ChangeKind::truncate) {
        return pipeline.query(
            truncate_statement(tables_, change), {}, {{}, subject(change.relation())});
    }
    const auto statement = prepared(pipeline, change);
    if (!statement) return statement.error();
    values_.clear();
    for (const auto& parameter : (*statement)->parameters) {
        const Cell cell = parameter.old_row ? change.old_cell(parameter.column)
                                            : change.new_cell(parameter.column);
        values_.push_back(cell.kind == CellKind::text ? cell.text.data() : nullptr);
    }
    return pipeline.execute((*statement)->name, values_, {1, subject(change.relation())});
}

Result<bool> RowWriter::write_if_it_fits(Connection& follower, const Change& change) {
    const Relation& relation = change.relation();
    const auto table = tables_.find({relation.schema, relation.name});
    if (table == tables_.end())
        return Error{Errc::bad_value, subject(relation) + ": the follower has no such table"};
    if (const Status same = check_described(table->second, relation); !same) return same.error();
    const auto statement = change_statement(table->second, change);
    if (!statement) return statement.error();
    Parameters values;
    for (const auto& parameter : statement->parameters) {
        const Cell cell = parameter.old_row ? change.old_cell(parameter.column)
                                            : change.new_cell(parameter.column);
        values.push_back(cell.kind == CellKind::text ? std::optional{std::string{cell.text}}
                                                     : std::nullopt);
    }
    if (const auto begun = follower.execute("SAVEPOINT segue_change"); !begun) return begun.error();
    const auto written = follower.execute(statement->sql, values);
    constexpr std::string_view integrity = "23";  // Class of SQLSTATE.
    if (!written && !std::string_view{written.error().sqlstate}.starts_with(integrity))
        return written.error();
    const bool fits = written && written->affected() == 1;
    const auto ended = follower.execute(fits ? "RELEASE SAVEPOINT segue_change"
                                             : "ROLLBACK TO SAVEPOINT segue_change;"
                                               " RELEASE SAVEPOINT segue_change");
    if (!ended) return ended.error();
    return fits;
}

namespace {

// As the server writes a field of a row, always quoted.
void add_field(std::string& row, std::string_view text) {
    row += row.size() > 1 ? ",\"" : "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') row.push_back(c);
        row.push_back(c);
    }
    row.push_back('"');
}

}  // namespace

std::vector<std::string> RowWriter::keys_of(const Change& change) const {
    const Relation& relation = change.relation();
    const auto table = tables_.find({relation.schema, relation.name});
    if (table == tables_.end() || table->second.table.key.empty()) return {};
    std::string before = "(", after = "(";
    for (const int key : table->second.table.key) {
        const std::string& name = table->second.table.columns[static_cast<std::size_t>(key)].name;
        const auto column = std::find_if(
            relation.columns.begin(), relation.columns.end(), [&](const Relation::Column& one) {
                return one.name == name;
            });
        if (column == relation.columns.end()) return {};
        const auto i = static_cast<std::size_t>(column - relation.columns.begin());
        add_field(before, change.key_cell(i).text);
        const bool moved = change.new_size() > 0 && change.new_cell(i).kind == CellKind::text;
        add_field(after, moved ? change.new_cell(i).text : change.key_cell(i).text);
    }
    std::vector<std::string> keys{before + ")"};
    if (after != before) keys.push_back(after + ")");
    return keys;
}

Status RowWriter::forget(StatementPipeline& pipeline, const ForgetChunk& chunk) {
    const auto table = tables_.find(chunk.table);
    if (table == tables_.end())
        return Error{Errc::bad_value, chunk.table.second + ": the follower has no such table"};
    const Status record = pipeline.query(
        "DELETE FROM segue.chunk WHERE table_schema = $1 AND table_name = $2 AND chunk = $3",
        {chunk.table.first, chunk.table.second, std::to_string(chunk.number)},
        {{}, "segue.chunk"});
    if (!record) return record;
    return pipeline.query("DELETE FROM ONLY " + table->second.table.qualified_name() + " WHERE " +
                              range_condition(table->second.table, chunk.range),
                          {},
                          {{}, "chunk"});
}

Status RowWriter::forget(StatementPipeline& pipeline, const ForgetTable& table) {
    return pipeline.query("DELETE FROM segue.chunk WHERE table_schema = $1 AND table_name = $2",
                          {table.table.first, table.table.second},
                          {{}, "segue.chunk"});
}

std::string range_condition(const Table& table, const ChunkRange& range) {
    std::string columns, condition;
    for (const int key : table.key) {
        columns += (columns.empty() ? "" : ", ") +
                   quote_identifier(table.columns[static_cast<std::size_t>(key)].name);
    }
    const auto literals = [&](const Key& bound) {
        std::string text;
        for (std::size_t i = 0; i < bound.size(); ++i) {
            const Column& column = table.columns[static_cast<std::size_t>(table.key[i])];
            text += (text.empty() ? "" : ", ") + quote_literal(bound[i]) + "::" + column.type;
        }
        return text;
    };
    if (range.low) condition = "(" + columns + ") > (" + literals(*range.low) + ")";
    if (range.high) {
        condition += (condition.empty() ? "" : " AND ");
        condition += "(" + columns + ") <= (" + literals(*range.high) + ")";
    }
    return condition.empty() ? "true" : condition;
}

}  // namespace segue::backfill::postgres
