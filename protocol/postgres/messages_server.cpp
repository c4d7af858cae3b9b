#include "protocol/postgres/messages_server.hpp"

#include "protocol/postgres/messages_client.hpp"

namespace segue::protocol::postgres {

Result<ErrorFields> parse_error_fields(Bytes body) {
    ByteReader reader{body};
    ErrorFields fields;
    std::string_view localized_severity;
    for (;;) {
        const auto field = static_cast<char>(reader.big_endian<std::uint8_t>());
        if (reader.failed() || field == '\0') break;
        const std::string_view value = reader.zero_terminated();
        switch (field) {
            case 'S':
                localized_severity = value;
                break;
            case 'V':
                fields.severity = value;
                break;
            case 'C':
                fields.sqlstate = value;
                break;
            case 'M':
                fields.message = value;
                break;
            case 'D':
                fields.detail = value;
                break;
            case 'H':
                fields.hint = value;
                break;
            default:
                break;  // Fields are the peer's; those we do not need are passed over.
        }
    }
    if (fields.severity.empty()) fields.severity = localized_severity;
    return reader.finish(fields);
}

std::string encode_error_response(const ErrorReport& report) {
    std::string body;
    ByteWriter fields{body};
    const auto field = [&fields](char tag, std::string_view value) {
        fields.raw(std::string_view{&tag, 1});
        fields.zero_terminated(value);
    };
    field('S', report.severity);
    field('V', report.severity);
    field('C', report.sqlstate);
    field('M', report.message);
    if (!report.hint.empty()) field('H', report.hint);
    fields.raw(std::string_view{"\0", 1});
    std::string output;
    append_message(output, 'E', body);
    return output;
}

Result<char> parse_ready_for_query(Bytes body) {
    ByteReader reader{body};
    const auto status = static_cast<char>(reader.big_endian<std::uint8_t>());
    if (!reader.failed() && status != 'I' && status != 'T' && status != 'E') {
        return Error{Errc::bad_value, "unknown transaction status"};
    }
    return reader.finish(status);
}

Result<ParameterStatus> parse_parameter_status(Bytes body) {
    ByteReader reader{body};
    ParameterStatus message;
    message.name = reader.zero_terminated();
    message.value = reader.zero_terminated();
    return reader.finish(message);
}

Result<BackendKeyData> parse_backend_key_data(Bytes body) {
    ByteReader reader{body};
    BackendKeyData message;
    message.pid = reader.big_endian<std::int32_t>();
    message.key = text(reader.take_rest());
    if (!reader.failed() && (message.key.size() < 4 || message.key.size() > 256)) {
        return Error{Errc::bad_value, "cancel key of a wrong length"};
    }
    return reader.finish(message);
}

Result<Authentication> parse_authentication(Bytes body) {
    ByteReader reader{body};
    Authentication message;
    message.code = reader.big_endian<std::uint32_t>();
    message.rest = reader.take_rest();
    return reader.finish(message);
}

Result<std::vector<std::string_view>> parse_sasl_mechanisms(Bytes rest) {
    ByteReader reader{rest};
    std::vector<std::string_view> mechanisms;
    for (;;) {
        const std::string_view name = reader.zero_terminated();
        if (reader.failed() || name.empty()) break;
        mechanisms.push_back(name);
    }
    return reader.finish(std::move(mechanisms));
}

std::string encode_authentication(AuthenticationCode code, std::string_view rest) {
    std::string body;
    ByteWriter fields{body};
    fields.big_endian(static_cast<std::uint32_t>(code));
    fields.raw(rest);
    std::string output;
    append_message(output, 'R', body);
    return output;
}

std::string encode_negotiate_protocol_version(std::uint32_t newest,
                                              const std::vector<std::string>& unknown_options) {
    std::string body;
    ByteWriter fields{body};
    fields.big_endian(newest);
    fields.big_endian(static_cast<std::uint32_t>(unknown_options.size()));
    for (const std::string& option : unknown_options) fields.zero_terminated(option);
    std::string output;
    append_message(output, 'v', body);
    return output;
}

Result<DataRow> parse_data_row(Bytes body) {
    ByteReader reader{body};
    DataRow row;
    const auto count = reader.big_endian<std::uint16_t>();
    for (std::uint16_t i = 0; i < count && !reader.failed(); ++i) {
        const auto size = reader.big_endian<std::int32_t>();
        if (size < -1) return Error{Errc::bad_value, "value of a negative size"};
        if (size < 0) {
            row.emplace_back(std::nullopt);
        } else {
            row.emplace_back(text(reader.raw(static_cast<std::size_t>(size))));
        }
    }
    return reader.finish(std::move(row));
}

Result<std::vector<Column>> parse_row_description(Bytes body) {
    ByteReader reader{body};
    std::vector<Column> columns;
    const auto count = reader.big_endian<std::uint16_t>();
    for (std::uint16_t i = 0; i < count && !reader.failed(); ++i) {
        Column column;
        column.name = reader.zero_terminated();
        column.table = reader.big_endian<std::uint32_t>();
        column.attribute = reader.big_endian<std::int16_t>();
        column.type = reader.big_endian<std::uint32_t>();
        column.type_size = reader.big_endian<std::int16_t>();
        column.modifier = reader.big_endian<std::int32_t>();
        column.format = reader.big_endian<std::int16_t>();
        columns.push_back(column);
    }
    return reader.finish(std::move(columns));
}

Result<std::vector<std::uint32_t>> parse_parameter_description(Bytes body) {
    ByteReader reader{body};
    std::vector<std::uint32_t> types;
    const auto count = reader.big_endian<std::uint16_t>();
    for (std::uint16_t i = 0; i < count && !reader.failed(); ++i)
        types.push_back(reader.big_endian<std::uint32_t>());
    return reader.finish(std::move(types));
}

Result<std::string_view> parse_command_complete(Bytes body) {
    ByteReader reader{body};
    const std::string_view command = reader.zero_terminated();
    return reader.finish(command);
}

}  // namespace segue::protocol::postgres
