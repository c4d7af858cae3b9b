#include "protocol/postgres/replication.hpp"

#include <array>
#include <cstdio>
#include <limits>

namespace segue::protocol::postgres {

namespace {

constexpr char xlog_data_tag = 'w';
constexpr char keepalive_tag = 'k';
constexpr char standby_status_tag = 'r';

// 2000-01-01 in microseconds since 1970-01-01.
constexpr std::int64_t epoch_2000 = 946'684'800ll * 1'000'000;

void append_quoted(std::string& output, std::string_view value, char quote) {
    output.push_back(quote);
    for (const char c : value) {
        if (c == quote) output.push_back(quote);
        output.push_back(c);
    }
    output.push_back(quote);
}

std::string lsn_text(Position position) {
    std::array<char, 20> buffer;
    const int size = std::snprintf(buffer.data(),
                                   buffer.size(),
                                   "%X/%X",
                                   static_cast<unsigned>(position.value >> 32),
                                   static_cast<unsigned>(position.value & 0xffffffffu));
    return {buffer.data(), static_cast<std::size_t>(size)};
}

}  // namespace

std::optional<ReplicationTime> replication_time(std::int64_t microseconds_since_2000) {
    if (microseconds_since_2000 > std::numeric_limits<std::int64_t>::max() - epoch_2000) return {};
    return ReplicationTime{std::chrono::microseconds{microseconds_since_2000 + epoch_2000}};
}

Result<ReplicationMessage> parse_replication_message(Bytes body) {
    ByteReader reader{body};
    const char tag = reader.big_endian<char>();
    if (reader.failed()) return Error{Errc::truncated, "replication: empty message"};
    if (tag == xlog_data_tag) {
        XLogData message;
        message.start = Position{reader.big_endian<std::uint64_t>()};
        message.server_end = Position{reader.big_endian<std::uint64_t>()};
        const auto time = replication_time(reader.big_endian<std::int64_t>());
        message.payload = reader.take_rest();
        if (reader.failed())
            return Error{Errc::truncated, "replication: XLogData without its head"};
        if (!time) return Error{Errc::bad_value, "replication: time out of range"};
        message.sent_at = *time;
        return ReplicationMessage{message};
    }
    if (tag == keepalive_tag) {
        Keepalive message;
        message.server_end = Position{reader.big_endian<std::uint64_t>()};
        const auto time = replication_time(reader.big_endian<std::int64_t>());
        message.reply_requested = reader.big_endian<std::uint8_t>() != 0;
        if (!time) return Error{Errc::bad_value, "replication: time out of range"};
        message.sent_at = *time;
        const auto finished = reader.finish(message);
        if (!finished) return finished.error();
        return ReplicationMessage{*finished};
    }
    return Error{Errc::bad_value, "replication: unknown message"};
}

std::string standby_status(const StandbyStatus& status) {
    std::string body;
    ByteWriter writer{body};
    writer.big_endian(standby_status_tag);
    writer.big_endian(status.written.value);
    writer.big_endian(status.flushed.value);
    writer.big_endian(status.applied.value);
    writer.big_endian(static_cast<std::int64_t>(status.now.time_since_epoch().count()) -
                      epoch_2000);
    writer.big_endian(static_cast<std::uint8_t>(status.reply_requested ? 1 : 0));
    return body;
}

std::string start_replication(std::string_view slot,
                              Position from,
                              const std::vector<std::string>& publications) {
    std::string statement = "START_REPLICATION SLOT ";
    append_quoted(statement, slot, '"');
    statement += " LOGICAL " + lsn_text(from) + " (proto_version '1', publication_names ";
    // A literal that holds a list of quoted identifiers.
    std::string names;
    for (const std::string& publication : publications) {
        if (!names.empty()) names += ',';
        append_quoted(names, publication, '"');
    }
    append_quoted(statement, names, '\'');
    statement += ")";
    return statement;
}

}  // namespace segue::protocol::postgres
