#include "protocol/postgres/reply_digest.hpp"

#include <algorithm>
#include <string_view>

namespace segue::protocol::postgres {

namespace {

constexpr std::size_t header_size = 5;
// Object identifiers from here on are assigned per server and say nothing about another one.
constexpr std::uint32_t first_user_oid = 16384;

}  // namespace

std::size_t ReplyReader::update(Bytes slice) {
    const std::size_t size = slice.size();
    while (!slice.empty() && !digest_.complete) {
        if (header_size_ < header_size) {
            header_[header_size_++] = slice.front();
            slice = slice.subspan(1);
            if (header_size_ == header_size) begin_message();
        } else {
            const Bytes part = slice.first(
                static_cast<std::size_t>(std::min<std::uint64_t>(body_rest_, slice.size())));
            switch (body_) {
                case Body::kept:
                    kept_ += text(part);
                    break;
                case Body::hashed:
                    row_.update(part);
                    break;
                case Body::skipped:
                    break;
            }
            body_rest_ -= part.size();
            slice = slice.subspan(part.size());
        }
        if (header_size_ == header_size && body_rest_ == 0) end_message();
    }
    return size - slice.size();
}

void ReplyReader::begin_message() {
    ByteReader reader{Bytes{header_}.subspan(1)};
    const auto length = reader.big_endian<std::uint32_t>();
    body_rest_ = length < 4 ? 0 : length - 4;
    kept_.clear();
    switch (static_cast<char>(header_[0])) {
        case 'D':
            row_ = HashStream{};
            body_ = Body::hashed;
            return;
        case 'T':
        case 'C':
        case 'E':
        case 'Z':
            body_ = Body::kept;
            break;
        case 'G':
        case 'H':
        case 'W':
        case 'd':
        case 'c':
        case 'V':
            digest_.comparable = false;  // COPY and function calls.
            body_ = Body::skipped;
            return;
        default:  // Acknowledgements, notices, settings: not part of the answer.
            body_ = Body::skipped;
            return;
    }
    if (body_rest_ > reply_header_size_max) {
        digest_.comparable = false;
        body_ = Body::skipped;
    }
}

void ReplyReader::end_message() {
    header_size_ = 0;
    switch (static_cast<char>(header_[0])) {
        case 'D': {
            const Hash128 row = row_.finish();
            digest_.add_row(row);
            // The hash of the rows' hashes in their order: row borders cannot slide.
            rows_.update(std::as_bytes(std::span{&row, 1}));
            digest_.ordered = rows_.finish();
            break;
        }
        case 'T':
            read_row_description();
            break;
        case 'C':
            digest_.outcome.assign(kept_.c_str());
            break;
        case 'E':
            read_error();
            break;
        case 's':
            digest_.outcome = "suspended";
            break;
        case 'I':
            digest_.outcome = "empty";
            break;
        case 'Z':
            status_ = kept_.empty() ? '\0' : kept_.front();
            digest_.complete = true;
            break;
        default:
            break;
    }
}

// RowDescription := 'T' int32 size, int16 count, count * (cstring name, int32 table, int16 column,
//                   int32 type, int16 type_size, int32 modifier, int16 format)
void ReplyReader::read_row_description() {
    ByteReader reader{bytes(kept_)};
    HashStream shape;
    column_types_.clear();
    const auto count = reader.big_endian<std::uint16_t>();
    for (std::uint16_t i = 0; i < count && !reader.failed(); ++i) {
        const std::string_view name = reader.zero_terminated();
        reader.raw(6);  // Table and column number: other numbers on another server.
        const auto type = reader.big_endian<std::uint32_t>();
        reader.raw(6);
        const auto format = reader.big_endian<std::uint16_t>();
        column_types_.push_back(type);
        const std::uint32_t known[] = {
            type < first_user_oid ? type : 0, format, static_cast<std::uint32_t>(name.size())};
        shape.update(std::as_bytes(std::span{known}));
        shape.update(bytes(name));
    }
    if (reader.failed()) digest_.comparable = false;
    digest_.shape = shape.finish();
}

// ErrorResponse := 'E' int32 size, (byte field, cstring value)*, byte zero
void ReplyReader::read_error() {
    ByteReader reader{bytes(kept_)};
    digest_.error_code = "unknown";
    while (!reader.failed()) {
        const auto field = reader.big_endian<char>();
        if (field == '\0') break;
        const std::string_view value = reader.zero_terminated();
        if (field == 'C') digest_.error_code.assign(value);
    }
}

}  // namespace segue::protocol::postgres
