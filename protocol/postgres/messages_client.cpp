#include "protocol/postgres/messages_client.hpp"

namespace segue::protocol::postgres {

namespace {

template <class T>
void big_endian_list(ByteWriter& fields, const std::vector<T>& list) {
    fields.big_endian(static_cast<std::uint16_t>(list.size()));
    for (const T item : list) fields.big_endian(item);
}

// The count is 16 bits wide, so a hostile one cannot grow our memory much; a truncated list ends at
// once.
template <class T>
std::vector<T> take_list(ByteReader& reader) {
    std::vector<T> list;
    const auto count = reader.big_endian<std::uint16_t>();
    for (std::uint16_t i = 0; i < count && !reader.failed(); ++i)
        list.push_back(reader.big_endian<T>());
    return list;
}

template <class T>
Result<T> parse_named(Bytes body) {
    ByteReader reader{body};
    T message;
    message.kind = static_cast<char>(reader.big_endian<std::uint8_t>());
    message.name = reader.zero_terminated();
    if (!reader.failed() && message.kind != 'S' && message.kind != 'P') {
        return Error{Errc::bad_value, "neither a statement nor a portal"};
    }
    return reader.finish(message);
}

void append_named(std::string& output, char tag, char kind, std::string_view name) {
    std::string body(1, kind);
    ByteWriter{body}.zero_terminated(name);
    append_message(output, tag, body);
}

}  // namespace

Result<Query> parse_query(Bytes body) {
    ByteReader reader{body};
    Query message;
    message.text = reader.zero_terminated();
    return reader.finish(message);
}

Result<Parse> parse_parse(Bytes body) {
    ByteReader reader{body};
    Parse message;
    message.name = reader.zero_terminated();
    message.text = reader.zero_terminated();
    message.types = take_list<std::uint32_t>(reader);
    return reader.finish(std::move(message));
}

Result<Bind> parse_bind(Bytes body) {
    ByteReader reader{body};
    Bind message;
    message.portal = reader.zero_terminated();
    message.statement = reader.zero_terminated();
    message.formats = take_list<std::int16_t>(reader);
    const auto count = reader.big_endian<std::uint16_t>();
    for (std::uint16_t i = 0; i < count && !reader.failed(); ++i) {
        const auto size = reader.big_endian<std::int32_t>();
        if (size < -1) return Error{Errc::bad_value, "parameter of a negative size"};
        if (size < 0) {
            message.values.emplace_back(std::nullopt);
        } else {
            message.values.emplace_back(text(reader.raw(static_cast<std::size_t>(size))));
        }
    }
    message.result_formats = take_list<std::int16_t>(reader);
    return reader.finish(std::move(message));
}

Result<Describe> parse_describe(Bytes body) { return parse_named<Describe>(body); }
Result<Close> parse_close(Bytes body) { return parse_named<Close>(body); }

Result<Execute> parse_execute(Bytes body) {
    ByteReader reader{body};
    Execute message;
    message.portal = reader.zero_terminated();
    message.row_limit = reader.big_endian<std::int32_t>();
    return reader.finish(message);
}

void append_message(std::string& output, char tag, std::string_view body) {
    ByteWriter writer{output};
    writer.raw(std::string_view{&tag, 1});
    writer.big_endian(static_cast<std::uint32_t>(body.size() + 4));
    writer.raw(body);
}

void append(std::string& output, const Query& message) {
    std::string body;
    ByteWriter{body}.zero_terminated(message.text);
    append_message(output, Query::tag, body);
}

void append(std::string& output, const Parse& message) {
    std::string body;
    ByteWriter fields{body};
    fields.zero_terminated(message.name);
    fields.zero_terminated(message.text);
    big_endian_list(fields, message.types);
    append_message(output, Parse::tag, body);
}

void append(std::string& output, const Bind& message) {
    std::string body;
    ByteWriter fields{body};
    fields.zero_terminated(message.portal);
    fields.zero_terminated(message.statement);
    big_endian_list(fields, message.formats);
    fields.big_endian(static_cast<std::uint16_t>(message.values.size()));
    for (const auto& value : message.values) {
        fields.big_endian(value ? static_cast<std::int32_t>(value->size()) : std::int32_t{-1});
        if (value) fields.raw(*value);
    }
    big_endian_list(fields, message.result_formats);
    append_message(output, Bind::tag, body);
}

void append(std::string& output, const Describe& message) {
    append_named(output, Describe::tag, message.kind, message.name);
}
void append(std::string& output, const Close& message) {
    append_named(output, Close::tag, message.kind, message.name);
}

void append(std::string& output, const Execute& message) {
    std::string body;
    ByteWriter fields{body};
    fields.zero_terminated(message.portal);
    fields.big_endian(message.row_limit);
    append_message(output, Execute::tag, body);
}

void append_sync(std::string& output) { append_message(output, 'S', {}); }
void append_flush(std::string& output) { append_message(output, 'H', {}); }
void append_terminate(std::string& output) { append_message(output, 'X', {}); }
void append_password(std::string& output, std::string_view body) {
    append_message(output, 'p', body);
}

}  // namespace segue::protocol::postgres
