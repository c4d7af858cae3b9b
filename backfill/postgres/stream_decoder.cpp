#include "backfill/postgres/stream_decoder.hpp"

#include "backfill/postgres/text_array.hpp"
#include "backfill/snapshot.hpp"

namespace segue::backfill::postgres {

namespace {

namespace pgoutput = protocol::postgres::pgoutput;

OldRow old_row(pgoutput::OldKind kind) {
    switch (kind) {
        case pgoutput::OldKind::none:
            return OldRow::none;
        case pgoutput::OldKind::key:
            return OldRow::key;
        case pgoutput::OldKind::row:
            return OldRow::full;
    }
    return OldRow::none;
}

Error malformed(const char* what) { return Error{Errc::bad_value, std::string{"stream: "} + what}; }

Status add_cells(ChangeBuilder& builder, const pgoutput::Tuple& tuple, bool old) {
    for (const pgoutput::Cell& cell : tuple) {
        switch (cell.kind) {
            case pgoutput::CellKind::null:
                builder.add(CellKind::null);
                break;
            case pgoutput::CellKind::text:
                builder.add(CellKind::text, cell.value);
                break;
            case pgoutput::CellKind::unchanged_toast:
                if (old) return malformed("an old row with a value left out");
                builder.add(CellKind::unchanged);
                break;
            case pgoutput::CellKind::binary:
                return malformed("a binary value that nobody asked for");
        }
    }
    return Done{};
}

}  // namespace

Result<std::optional<StreamEvent>> StreamDecoder::decode(Bytes payload) {
    const auto message = pgoutput::parse(payload);
    if (!message) return message.error();
    const pgoutput::Tuple none;
    return std::visit(
        Overloaded{
            [&](const pgoutput::Begin& value) { return begin(value); },
            [&](const pgoutput::Commit& value) { return commit(value); },
            [&](const pgoutput::Relation& value) { return relation(value); },
            [&](const pgoutput::Truncate& value) { return truncate(value); },
            [&](const pgoutput::Insert& value) {
                return row(value.relation, ChangeKind::insert, OldRow::none, none, value.row);
            },
            [&](const pgoutput::Update& value) {
                return row(value.relation,
                           ChangeKind::update,
                           old_row(value.old_kind),
                           value.old,
                           value.row);
            },
            [&](const pgoutput::Delete& value) {
                return row(
                    value.relation, ChangeKind::remove, old_row(value.old_kind), value.old, none);
            },
            [](const pgoutput::Origin&) -> Event { return std::optional<StreamEvent>{}; },
            [](const pgoutput::Type&) -> Event { return std::optional<StreamEvent>{}; },
            [](const pgoutput::Message&) -> Event { return std::optional<StreamEvent>{}; },
        },
        *message);
}

StreamDecoder::Event StreamDecoder::begin(const pgoutput::Begin& message) {
    if (in_transaction_) return malformed("a transaction inside a transaction");
    in_transaction_ = true;
    is_mover_ = touches_user_tables_ = false;
    xid_ = widen_xid(message.xid, xid_reference_.load(std::memory_order_relaxed));
    return std::optional<StreamEvent>{
        TransactionBegin{xid_, message.commit_time, message.final_lsn}};
}

StreamDecoder::Event StreamDecoder::commit(const pgoutput::Commit& message) {
    if (!in_transaction_) return malformed("a commit without a transaction");
    in_transaction_ = false;
    return std::optional<StreamEvent>{TransactionCommit{
        xid_, message.end_lsn, message.commit_time, is_mover_, touches_user_tables_}};
}

StreamDecoder::Event StreamDecoder::relation(const pgoutput::Relation& message) {
    Relation described;
    described.id = message.oid;
    described.schema = message.schema;
    described.name = message.name;
    described.full_identity = message.replica_identity == 'f';
    for (const auto& column : message.columns) {
        described.columns.push_back(
            {std::string{column.name}, column.type_oid, column.part_of_key, column.type_modifier});
    }
    Known known;
    if (described.schema == "segue") {
        known.kind = described.name == "progress" ? Kind::progress
                     : described.name == "ddl"    ? Kind::ddl
                                                  : Kind::other_of_segue;
    }
    known.relation = relations_.remember(std::move(described));
    if (!known.relation) return Error{Errc::too_large, "stream: tables were altered too often"};
    known_[message.oid] = known;
    return std::optional<StreamEvent>{};
}

Result<const Relation*> StreamDecoder::user_relation(std::uint32_t id) {
    if (!in_transaction_) return malformed("a change outside a transaction");
    const auto known = known_.find(id);
    if (known == known_.end()) return malformed("a change of a table that was not described");
    switch (known->second.kind) {
        case Kind::user:
            touches_user_tables_ = true;
            return known->second.relation;
        case Kind::progress:
            is_mover_ = true;
            break;
        case Kind::ddl:
        case Kind::other_of_segue:
            break;
    }
    return static_cast<const Relation*>(nullptr);
}

StreamDecoder::Event StreamDecoder::truncate(const pgoutput::Truncate& message) {
    std::vector<const Relation*> relations;
    for (const std::uint32_t id : message.relations) {
        const auto relation = user_relation(id);
        if (!relation) return relation.error();
        if (*relation) relations.push_back(*relation);
    }
    if (relations.empty()) return std::optional<StreamEvent>{};
    return std::optional<StreamEvent>{Change::truncate(relations, message.restart_identity)};
}

StreamDecoder::Event StreamDecoder::row(std::uint32_t id,
                                        ChangeKind kind,
                                        OldRow old_kind,
                                        const pgoutput::Tuple& old,
                                        const pgoutput::Tuple& row) {
    const auto relation = user_relation(id);
    if (!relation) return relation.error();
    const Known& known = known_.at(id);
    if (known.kind == Kind::ddl && kind == ChangeKind::insert)
        return schema_change(*known.relation, row);
    if (!*relation) return std::optional<StreamEvent>{};
    const std::size_t columns = (*relation)->columns.size();
    const std::size_t old_columns = old_kind == OldRow::none ? 0 : columns;
    const std::size_t new_columns = kind == ChangeKind::remove ? 0 : columns;
    if (old.size() != old_columns || row.size() != new_columns) {
        return malformed("a row with another number of columns than its table");
    }
    ChangeBuilder builder{**relation, kind, old_kind, 0};
    if (const Status added = add_cells(builder, old, true); !added) return added.error();
    if (const Status added = add_cells(builder, row, false); !added) return added.error();
    return std::optional<StreamEvent>{builder.take()};
}

// A row of segue.ddl (ddl_capture.hpp).
StreamDecoder::Event StreamDecoder::schema_change(const Relation& relation,
                                                  const pgoutput::Tuple& row) {
    if (row.size() != relation.columns.size()) return malformed("a row of segue.ddl is not whole");
    SchemaChange change;
    std::vector<std::string> schemas, names;
    std::size_t at = 0;
    for (const pgoutput::Cell& cell : row) {
        if (cell.kind != pgoutput::CellKind::text) return malformed("segue.ddl has no such value");
        const std::string& column = relation.columns[at++].name;
        const std::string value{cell.value};
        if (column == "tag") change.what = value;
        if (column == "table_schemas") schemas = parse_text_array(value);
        if (column == "table_names") names = parse_text_array(value);
        change.record.push_back(column);
        change.record.push_back(value);
    }
    change.reshapes_tables = change.what == "ALTER TABLE" || change.what.starts_with("DROP ");
    change.creates_tables =
        change.what.starts_with("CREATE TABLE") || change.what == "CREATE SCHEMA";
    if (schemas.size() != names.size())
        return malformed("segue.ddl names tables that have no name");
    for (std::size_t i = 0; i < names.size(); ++i) {
        change.tables.push_back({std::move(schemas[i]), std::move(names[i])});
    }
    return std::optional<StreamEvent>{std::move(change)};
}

}  // namespace segue::backfill::postgres
