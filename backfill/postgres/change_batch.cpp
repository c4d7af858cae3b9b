#include "backfill/postgres/change_batch.hpp"

#include <utility>

#include "backfill/postgres/change_statement.hpp"

namespace segue::backfill::postgres {

namespace {

bool names_row(const FollowerTable& table, const Relation& relation, std::size_t column) {
    return relation.full_identity ? table.is_key(relation.columns[column].name)
                                  : relation.columns[column].part_of_key;
}

// Never written: computed by the follower.
bool is_generated(const FollowerTable& table, const Relation& relation, std::size_t column) {
    const Column* const known = table.column(relation.columns[column].name);
    return known && known->generated;
}

bool is_set(const FollowerTable& table, const Change& change, std::size_t column) {
    const Relation& relation = change.relation();
    return !is_generated(table, relation, column) && !names_row(table, relation, column) &&
           !table.column(relation.columns[column].name)->identity_always &&
           change.new_cell(column).kind != CellKind::unchanged;
}

bool key_stays(const FollowerTable& table, const Change& change) {
    if (change.old_row() == OldRow::none) return true;
    if (change.old_row() == OldRow::key) return false;
    for (std::size_t i = 0; i < change.relation().columns.size(); ++i) {
        if (names_row(table, change.relation(), i) && !(change.old_cell(i) == change.new_cell(i)))
            return false;
    }
    return true;
}

// Length-prefixed, so that no two keys have the same text.
std::string key_text(const FollowerTable& table, const Change& change) {
    std::string key;
    for (std::size_t i = 0; i < change.relation().columns.size(); ++i) {
        if (!names_row(table, change.relation(), i)) continue;
        const std::string_view value = change.key_cell(i).text;
        key += std::to_string(value.size()) + ":";
        key += value;
    }
    return key;
}

void append_element(std::string& array, const Cell& cell) {
    if (array.size() > 1) array.push_back(',');
    if (cell.kind != CellKind::text) {
        array += "NULL";
        return;
    }
    array.push_back('"');
    for (const char c : cell.text) {
        if (c == '"' || c == '\\') array.push_back('\\');
        array.push_back(c);
    }
    array.push_back('"');
}

class Builder {
public:
    Builder(const FollowerTable& table, const Change& change)
        : table_(table), change_(change), relation_(change.relation()) {}

    BatchStatement build() && {
        const std::string target = qualified(relation_.schema, relation_.name);
        if (change_.kind() == ChangeKind::insert) {
            std::string names, values;
            for (std::size_t i = 0; i < relation_.columns.size(); ++i) {
                if (is_generated(table_, relation_, i)) continue;
                names += (names.empty() ? "" : ", ") + column(i);
                values += (values.empty() ? "" : ", ") + value(i);
            }
            statement_.sql = "INSERT INTO " + target + " (" + names +
                             ") OVERRIDING SYSTEM VALUE SELECT " + values + " FROM " + rows();
            return std::move(statement_);
        }
        std::string set, condition;
        for (std::size_t i = 0; i < relation_.columns.size(); ++i) {
            if (names_row(table_, relation_, i)) {
                condition += (condition.empty() ? "t." : " AND t.") + column(i) +
                             table_.equals(relation_.columns[i].name) + value(i);
            } else if (change_.kind() == ChangeKind::update && is_set(table_, change_, i)) {
                set += (set.empty() ? "" : ", ") + column(i) + " = " + value(i);
            }
        }
        statement_.sql =
            change_.kind() == ChangeKind::update
                ? "UPDATE ONLY " + target + " AS t SET " + set + " FROM " + rows() + " WHERE " +
                      condition
                : "DELETE FROM ONLY " + target + " AS t USING " + rows() + " WHERE " + condition;
        return std::move(statement_);
    }

private:
    std::string column(std::size_t i) const { return quote_identifier(relation_.columns[i].name); }
    std::string value(std::size_t i) {
        statement_.columns.push_back(i);
        return "v.c" + std::to_string(statement_.columns.size()) +
               "::" + table_.column(relation_.columns[i].name)->type;
    }
    // unnest($1::text[], ...) AS v(c1, ...), for the values taken so far.
    std::string rows() const {
        std::string arrays, names;
        for (std::size_t i = 1; i <= statement_.columns.size(); ++i) {
            arrays += (i == 1 ? "$" : ", $") + std::to_string(i) + "::text[]";
            names += (i == 1 ? "c" : ", c") + std::to_string(i);
        }
        return "unnest(" + arrays + ") AS v(" + names + ")";
    }

    const FollowerTable& table_;
    const Change& change_;
    const Relation& relation_;
    BatchStatement statement_;
};

}  // namespace

std::string batch_shape(const FollowerTable& table, const Change& change) {
    if (change.kind() == ChangeKind::truncate) return "";
    const Relation& relation = change.relation();
    bool named = false, sets = false, written = false;
    std::string unchanged;
    for (std::size_t i = 0; i < relation.columns.size(); ++i) {
        if (!table.column(relation.columns[i].name))
            return "";  // The single statement lets the server name it.
        named = named || names_row(table, relation, i);
        written = written || !is_generated(table, relation, i);
        if (change.kind() != ChangeKind::update) continue;
        sets = sets || is_set(table, change, i);
        if (change.new_cell(i).kind == CellKind::unchanged) unchanged += std::to_string(i) + ",";
    }
    switch (change.kind()) {
        case ChangeKind::insert:
            return written ? "insert" : "";
        case ChangeKind::remove:
            return named ? "remove" : "";
        case ChangeKind::update:
            if (!named || !sets || !key_stays(table, change) || changes_identity(table, change))
                return "";
            return "update " + unchanged;
        case ChangeKind::truncate:
            break;
    }
    return "";
}

BatchStatement batch_statement(const FollowerTable& table, const Change& change) {
    return Builder{table, change}.build();
}

Status ChangeBatch::add(StatementPipeline& pipeline, Change change) {
    const TableName name{change.relation().schema, change.relation().name};
    const auto table = tables_.find(name);
    std::string shape = table == tables_.end() ? "" : batch_shape(table->second, change);
    if (shape.empty()) {
        // A TRUNCATE may name several tables.
        const bool all = change.kind() == ChangeKind::truncate;
        if (const Status sent = all ? flush(pipeline) : send(pipeline, runs_[name]); !sent)
            return sent;
        return writer_.write(pipeline, change);
    }
    Run& run = runs_[name];
    const bool other_relation =
        !run.changes.empty() && &run.changes.front().relation() != &change.relation();
    if (run.shape != shape || other_relation) {
        if (const Status sent = send(pipeline, run); !sent) return sent;
        run.shape = std::move(shape);
    }
    if (change.kind() == ChangeKind::update) {
        // The same columns were left out of both, so the later one says all that the earlier one
        // said.
        const auto [earlier, fresh] =
            run.by_key.try_emplace(key_text(table->second, change), run.changes.size());
        if (!fresh) {
            run.changes[earlier->second] = std::move(change);
            return Done{};
        }
    }
    run.changes.push_back(std::move(change));
    return Done{};
}

Status ChangeBatch::flush(StatementPipeline& pipeline) {
    for (auto& [name, run] : runs_) {
        if (const Status sent = send(pipeline, run); !sent) return sent;
    }
    return Done{};
}

Result<const ChangeBatch::Prepared*> ChangeBatch::prepared(StatementPipeline& pipeline,
                                                           const FollowerTable& table,
                                                           const Run& run) {
    const Change& change = run.changes.front();
    const TableShape shape{&change.relation(), run.shape};
    if (const auto known = prepared_.find(shape); known != prepared_.end()) return &known->second;
    if (const Status same = check_described(table, change.relation()); !same) return same.error();
    if (prepared_.size() >= prepared_statements_max) {
        if (const Status forgotten = forget_statements(pipeline); !forgotten)
            return forgotten.error();
    }
    Prepared made{"segue_rows" + std::to_string(next_statement_++),
                  table.table.plain_name(),
                  batch_statement(table, change)};
    const auto& kept = prepared_.emplace(shape, std::move(made)).first->second;
    if (const Status sent = pipeline.prepare(kept.name, kept.statement.sql, kept.subject); !sent)
        return sent.error();
    return &kept;
}

Status ChangeBatch::forget_statements(StatementPipeline& pipeline) {
    for (const auto& [shape, old] : prepared_) {
        const Status sent = pipeline.query("DEALLOCATE " + old.name, {}, {{}, "statements"});
        if (!sent) return sent;
    }
    prepared_.clear();
    return Done{};
}

Status ChangeBatch::send(StatementPipeline& pipeline, Run& run) {
    if (run.changes.empty()) return Done{};
    const Run taken = std::exchange(run, Run{});
    if (taken.changes.size() == 1) return writer_.write(pipeline, taken.changes.front());
    const Relation& relation = taken.changes.front().relation();
    const auto statement = prepared(pipeline, tables_.at({relation.schema, relation.name}), taken);
    if (!statement) return statement.error();
    std::vector<std::string> arrays((*statement)->statement.columns.size(), "{");
    std::vector<const char*> values;
    for (std::size_t i = 0; i < arrays.size(); ++i) {
        const std::size_t column = (*statement)->statement.columns[i];
        for (const Change& change : taken.changes) {
            append_element(arrays[i],
                           change.kind() == ChangeKind::remove ? change.key_cell(column)
                                                               : change.new_cell(column));
        }
        arrays[i].push_back('}');
        values.push_back(arrays[i].c_str());
    }
    return pipeline.execute((*statement)->name,
                            values,
                            {static_cast<long long>(taken.changes.size()), (*statement)->subject});
}

}  // namespace segue::backfill::postgres
