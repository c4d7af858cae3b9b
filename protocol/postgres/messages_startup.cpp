#include "protocol/postgres/messages_startup.hpp"

namespace segue::protocol::postgres {

std::string_view StartupMessage::parameter(std::string_view name) const {
    for (const auto& [key, value] : parameters) {
        if (key == name) return value;
    }
    return {};
}

Result<StartupMessage> parse_startup(std::uint32_t code, Bytes body) {
    StartupMessage message;
    message.version = code;
    ByteReader reader{body};
    for (;;) {
        const std::string_view name = reader.zero_terminated();
        if (reader.failed() || name.empty()) break;
        const std::string_view value = reader.zero_terminated();
        if (name.starts_with("_pq_.")) {
            message.protocol_options.emplace_back(name);
        } else {
            message.parameters.emplace_back(name, value);
        }
    }
    return reader.finish(std::move(message));
}

std::string encode_startup(const StartupMessage& message) {
    std::string body;
    ByteWriter fields{body};
    fields.big_endian(message.version);
    for (const auto& [name, value] : message.parameters) {
        fields.zero_terminated(name);
        fields.zero_terminated(value);
    }
    fields.raw(std::string_view{"\0", 1});
    std::string packet;
    ByteWriter writer{packet};
    writer.big_endian(static_cast<std::uint32_t>(body.size() + 4));
    writer.raw(body);
    return packet;
}

Result<CancelRequest> parse_cancel_request(Bytes body) {
    ByteReader reader{body};
    CancelRequest request;
    request.pid = reader.big_endian<std::int32_t>();
    request.key = text(reader.take_rest());
    if (!reader.failed() && (request.key.size() < 4 || request.key.size() > cancel_key_size_max)) {
        return Error{Errc::bad_value, "cancel key of a wrong length"};
    }
    return reader.finish(std::move(request));
}

std::string encode_cancel_request(const CancelRequest& request) {
    std::string packet;
    ByteWriter writer{packet};
    writer.big_endian(static_cast<std::uint32_t>(12 + request.key.size()));
    writer.big_endian(cancel_request_code);
    writer.big_endian(request.pid);
    writer.raw(request.key);
    return packet;
}

std::string encode_ssl_request() {
    std::string packet;
    ByteWriter writer{packet};
    writer.big_endian(std::uint32_t{8});
    writer.big_endian(ssl_request_code);
    return packet;
}

}  // namespace segue::protocol::postgres
