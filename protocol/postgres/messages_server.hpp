#pragma once
// Messages that a server sends. Parsed fields view the frame; valid until its buffer is consumed.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/result.hpp"

namespace segue::protocol::postgres {

// ErrorResponse := 'E', NoticeResponse := 'N' int32 size, (byte field, cstring value)*, byte 0
struct ErrorFields {
    std::string_view severity, sqlstate, message, detail, hint;  // Severity: V where given, else S.
    bool fatal() const { return severity == "FATAL" || severity == "PANIC"; }
};
Result<ErrorFields> parse_error_fields(Bytes body);

// An ErrorResponse of ours.
struct ErrorReport {
    std::string_view severity = "FATAL";
    std::string_view sqlstate;
    std::string_view message;
    std::string_view hint = {};
};
std::string encode_error_response(const ErrorReport& report);

// ReadyForQuery := 'Z' int32 5, byte status
Result<char> parse_ready_for_query(Bytes body);

// ParameterStatus := 'S' int32 size, cstring name, cstring value
struct ParameterStatus {
    std::string_view name, value;
    friend bool operator==(const ParameterStatus&, const ParameterStatus&) = default;
};
Result<ParameterStatus> parse_parameter_status(Bytes body);

// BackendKeyData := 'K' int32 size, int32 pid, key
struct BackendKeyData {
    std::int32_t pid = 0;
    std::string_view key;
    friend bool operator==(const BackendKeyData&, const BackendKeyData&) = default;
};
Result<BackendKeyData> parse_backend_key_data(Bytes body);

// Authentication* := 'R' int32 size, int32 code, rest
enum class AuthenticationCode : std::uint32_t {
    ok = 0,
    cleartext_password = 3,
    md5_password = 5,  // rest: 4 bytes of salt
    gss = 7,
    gss_continue = 8,
    sspi = 9,
    sasl = 10,           // rest: cstring mechanism *, byte 0
    sasl_continue = 11,  // rest: data
    sasl_final = 12,     // rest: data
};
struct Authentication {
    std::uint32_t code = 0;  // May be none of the above: the peer's.
    Bytes rest;
    bool is(AuthenticationCode known) const { return code == static_cast<std::uint32_t>(known); }
};
Result<Authentication> parse_authentication(Bytes body);
Result<std::vector<std::string_view>> parse_sasl_mechanisms(Bytes rest);
std::string encode_authentication(AuthenticationCode code, std::string_view rest = {});

// NegotiateProtocolVersion := 'v' int32 size, int32 newest minor, int32 count, cstring option *
std::string encode_negotiate_protocol_version(std::uint32_t newest,
                                              const std::vector<std::string>& unknown_options);

// DataRow := 'D' int32 size, int16 count, (int32 size or -1, bytes) *
using DataRow = std::vector<std::optional<std::string_view>>;
Result<DataRow> parse_data_row(Bytes body);

// RowDescription := 'T' int32 size, int16 count, (cstring name, int32 table, int16 column, int32
// type, int16 size, int32 modifier,
//                   int16 format) *
struct Column {
    std::string_view name;
    std::uint32_t table = 0;
    std::int16_t attribute = 0;
    std::uint32_t type = 0;
    std::int16_t type_size = 0;
    std::int32_t modifier = 0;
    std::int16_t format = 0;
    friend bool operator==(const Column&, const Column&) = default;
};
Result<std::vector<Column>> parse_row_description(Bytes body);

// ParameterDescription := 't' int32 size, int16 count, int32 type *
Result<std::vector<std::uint32_t>> parse_parameter_description(Bytes body);

// CommandComplete := 'C' int32 size, cstring command tag
Result<std::string_view> parse_command_complete(Bytes body);

}  // namespace segue::protocol::postgres
