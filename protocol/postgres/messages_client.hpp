#pragma once
// Messages that a client sends. Parsed fields view the frame; valid until its buffer is consumed.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/result.hpp"

namespace segue::protocol::postgres {

// Query := 'Q' int32 size, cstring text
struct Query {
    static constexpr char tag = 'Q';
    std::string_view text;
    friend bool operator==(const Query&, const Query&) = default;
};

// Parse := 'P' int32 size, cstring name, cstring text, int16 count, int32 type OID *
struct Parse {
    static constexpr char tag = 'P';
    std::string_view name, text;
    std::vector<std::uint32_t> types;  // Zero: unspecified.
    friend bool operator==(const Parse&, const Parse&) = default;
};

// Bind := 'B' int32 size, cstring portal, cstring statement, int16 count, int16 format *, int16
// count, (int32 size or -1, bytes) *,
//         int16 count, int16 result format *
struct Bind {
    static constexpr char tag = 'B';
    std::string_view portal, statement;
    std::vector<std::int16_t> formats;
    std::vector<std::optional<std::string_view>> values;
    std::vector<std::int16_t> result_formats;
    friend bool operator==(const Bind&, const Bind&) = default;
};

// Describe := 'D' int32 size, byte 'S' or 'P', cstring name        Close := 'C' ... the same
struct Describe {
    static constexpr char tag = 'D';
    char kind = 'S';
    std::string_view name;
    friend bool operator==(const Describe&, const Describe&) = default;
};
struct Close {
    static constexpr char tag = 'C';
    char kind = 'S';
    std::string_view name;
    friend bool operator==(const Close&, const Close&) = default;
};

// Execute := 'E' int32 size, cstring portal, int32 row_limit
struct Execute {
    static constexpr char tag = 'E';
    std::string_view portal;
    std::int32_t row_limit = 0;  // Zero means all rows.
    friend bool operator==(const Execute&, const Execute&) = default;
};

Result<Query> parse_query(Bytes body);
Result<Parse> parse_parse(Bytes body);
Result<Bind> parse_bind(Bytes body);
Result<Describe> parse_describe(Bytes body);
Result<Close> parse_close(Bytes body);
Result<Execute> parse_execute(Bytes body);

// Each appends one whole message.
void append(std::string& output, const Query& message);
void append(std::string& output, const Parse& message);
void append(std::string& output, const Bind& message);
void append(std::string& output, const Describe& message);
void append(std::string& output, const Close& message);
void append(std::string& output, const Execute& message);
void append_sync(std::string& output);
void append_flush(std::string& output);
void append_terminate(std::string& output);

// PasswordMessage, SASLInitialResponse and SASLResponse share the tag 'p'; `body` as it is.
void append_password(std::string& output, std::string_view body);

// Any message of `tag` with `body`.
void append_message(std::string& output, char tag, std::string_view body);

}  // namespace segue::protocol::postgres
