#include "protocol/postgres/pgoutput.hpp"

#include <utility>

#include "protocol/postgres/replication.hpp"

namespace segue::protocol::postgres::pgoutput {

namespace {

// Tags of cells.
constexpr char null_tag = 'n';
constexpr char unchanged_tag = 'u';
constexpr char text_tag = 't';
constexpr char binary_tag = 'b';

constexpr std::int8_t key_column_flag = 1;
constexpr std::int8_t cascade_flag = 1;
constexpr std::int8_t restart_identity_flag = 2;
constexpr std::int8_t transactional_flag = 1;

Error bad(const char* what) { return Error{Errc::bad_value, std::string{"pgoutput: "} + what}; }

Position read_position(ByteReader& reader) { return Position{reader.big_endian<std::uint64_t>()}; }

// One cell; false when it is cut off or its tag is unknown.
bool skip_cell(ByteReader& reader) {
    const char tag = reader.big_endian<char>();
    if (reader.failed()) return false;
    if (tag == null_tag || tag == unchanged_tag) return true;
    if (tag != text_tag && tag != binary_tag) return false;
    const auto size = reader.big_endian<std::int32_t>();
    if (size < 0) return false;
    reader.raw(static_cast<std::size_t>(size));
    return !reader.failed();
}

Result<Tuple> parse_tuple(ByteReader& reader) {
    const auto count = reader.big_endian<std::int16_t>();
    if (reader.failed()) return Error{Errc::truncated, "pgoutput: tuple without a column count"};
    if (count < 0) return bad("negative column count");
    if (static_cast<std::size_t>(count) > columns_max)
        return bad("column count above the server's limit");

    const std::string_view before = text(reader.rest());
    for (std::int16_t i = 0; i < count; ++i) {
        if (!skip_cell(reader)) return bad("malformed cell");
    }
    const std::size_t size = before.size() - reader.rest().size();
    return Tuple{static_cast<std::size_t>(count), before.substr(0, size)};
}

// Turns a message's last check into the variant.
template <class T>
Result<Any> finish(const ByteReader& reader, T message) {
    auto finished = reader.finish(std::move(message));
    if (!finished) return finished.error();
    return Any{std::move(*finished)};
}

Result<Any> parse_begin(ByteReader& reader) {
    Begin message;
    message.final_lsn = read_position(reader);
    const auto time = replication_time(reader.big_endian<std::int64_t>());
    message.xid = reader.big_endian<std::uint32_t>();
    if (!time) return bad("commit time out of range");
    message.commit_time = *time;
    return finish(reader, message);
}

Result<Any> parse_commit(ByteReader& reader) {
    Commit message;
    const auto flags = reader.big_endian<std::int8_t>();
    message.commit_lsn = read_position(reader);
    message.end_lsn = read_position(reader);
    const auto time = replication_time(reader.big_endian<std::int64_t>());
    if (flags != 0) return bad("commit with unknown flags");
    if (!time) return bad("commit time out of range");
    message.commit_time = *time;
    return finish(reader, message);
}

Result<Any> parse_origin(ByteReader& reader) {
    Origin message;
    message.lsn = read_position(reader);
    message.name = reader.zero_terminated();
    return finish(reader, message);
}

std::string_view schema_name(ByteReader& reader) {
    const std::string_view name = reader.zero_terminated();
    return name.empty() ? std::string_view{"pg_catalog"} : name;
}

Result<Any> parse_relation(ByteReader& reader) {
    Relation message;
    message.oid = reader.big_endian<std::uint32_t>();
    message.schema = schema_name(reader);
    message.name = reader.zero_terminated();
    message.replica_identity = reader.big_endian<char>();
    const auto count = reader.big_endian<std::int16_t>();
    if (reader.failed()) return finish(reader, std::move(message));
    if (std::string_view{"dnfi"}.find(message.replica_identity) == std::string_view::npos) {
        return bad("unknown replica identity");
    }
    if (count < 0 || static_cast<std::size_t>(count) > columns_max)
        return bad("column count out of range");

    for (std::int16_t i = 0; i < count && !reader.failed(); ++i) {
        RelationColumn column;
        column.part_of_key = (reader.big_endian<std::int8_t>() & key_column_flag) != 0;
        column.name = reader.zero_terminated();
        column.type_oid = reader.big_endian<std::uint32_t>();
        column.type_modifier = reader.big_endian<std::int32_t>();
        message.columns.push_back(column);
    }
    return finish(reader, std::move(message));
}

Result<Any> parse_type(ByteReader& reader) {
    Type message;
    message.oid = reader.big_endian<std::uint32_t>();
    message.schema = schema_name(reader);
    message.name = reader.zero_terminated();
    return finish(reader, message);
}

Result<Any> parse_insert(ByteReader& reader) {
    Insert message;
    message.relation = reader.big_endian<std::uint32_t>();
    const char tag = reader.big_endian<char>();
    if (!reader.failed() && tag != 'N') return bad("insert without a new row");
    const auto row = parse_tuple(reader);
    if (!row) return row.error();
    message.row = *row;
    return finish(reader, message);
}

Result<Any> parse_update(ByteReader& reader) {
    Update message;
    message.relation = reader.big_endian<std::uint32_t>();
    char tag = reader.big_endian<char>();
    if (tag == 'K' || tag == 'O') {
        message.old_kind = tag == 'K' ? OldKind::key : OldKind::row;
        const auto old = parse_tuple(reader);
        if (!old) return old.error();
        message.old = *old;
        tag = reader.big_endian<char>();
    }
    if (!reader.failed() && tag != 'N') return bad("update without a new row");
    const auto row = parse_tuple(reader);
    if (!row) return row.error();
    message.row = *row;
    return finish(reader, message);
}

Result<Any> parse_delete(ByteReader& reader) {
    Delete message;
    message.relation = reader.big_endian<std::uint32_t>();
    const char tag = reader.big_endian<char>();
    if (!reader.failed() && tag != 'K' && tag != 'O') return bad("delete without an old row");
    message.old_kind = tag == 'K' ? OldKind::key : OldKind::row;
    const auto old = parse_tuple(reader);
    if (!old) return old.error();
    message.old = *old;
    return finish(reader, message);
}

Result<Any> parse_truncate(ByteReader& reader) {
    Truncate message;
    const auto count = reader.big_endian<std::int32_t>();
    const auto options = reader.big_endian<std::int8_t>();
    if (reader.failed()) return finish(reader, std::move(message));
    if (count < 0) return bad("negative relation count");
    if (static_cast<std::size_t>(count) > truncated_relations_max) {
        return Error{Errc::too_large, "pgoutput: TRUNCATE of more relations than the limit"};
    }
    message.cascade = (options & cascade_flag) != 0;
    message.restart_identity = (options & restart_identity_flag) != 0;
    // Ends at the bytes' end, so a false count cannot grow the vector beyond what was sent.
    for (std::int32_t i = 0; i < count && !reader.failed(); ++i) {
        message.relations.push_back(reader.big_endian<std::uint32_t>());
    }
    return finish(reader, std::move(message));
}

Result<Any> parse_message(ByteReader& reader) {
    Message message;
    message.transactional = (reader.big_endian<std::int8_t>() & transactional_flag) != 0;
    message.lsn = read_position(reader);
    message.prefix = reader.zero_terminated();
    const auto size = reader.big_endian<std::int32_t>();
    if (size < 0) return bad("negative message size");
    message.content = text(reader.raw(static_cast<std::size_t>(size)));
    return finish(reader, message);
}

}  // namespace

// The cells were checked by parse_tuple: here nothing can be cut off.
void Tuple::Iterator::read() {
    cell_ = Cell{};
    if (left_ == 0) return;
    const char tag = *at_++;
    if (tag == null_tag) return;
    if (tag == unchanged_tag) {
        cell_.kind = CellKind::unchanged_toast;
        return;
    }
    ByteReader length{bytes({at_, sizeof(std::int32_t)})};
    const auto size = static_cast<std::size_t>(length.big_endian<std::int32_t>());
    at_ += sizeof(std::int32_t);
    cell_ = Cell{tag == text_tag ? CellKind::text : CellKind::binary, {at_, size}};
    at_ += size;
}

Result<Any> parse(Bytes payload) {
    ByteReader reader{payload};
    const char tag = reader.big_endian<char>();
    if (reader.failed()) return Error{Errc::truncated, "pgoutput: empty message"};
    switch (tag) {
        case 'B':
            return parse_begin(reader);
        case 'C':
            return parse_commit(reader);
        case 'O':
            return parse_origin(reader);
        case 'R':
            return parse_relation(reader);
        case 'Y':
            return parse_type(reader);
        case 'I':
            return parse_insert(reader);
        case 'U':
            return parse_update(reader);
        case 'D':
            return parse_delete(reader);
        case 'T':
            return parse_truncate(reader);
        case 'M':
            return parse_message(reader);
        default:
            return bad("unknown message");
    }
}

}  // namespace segue::protocol::postgres::pgoutput
