#include "protocol/postgres/acknowledgement.hpp"

#include <string_view>

#include "protocol/postgres/framer.hpp"

namespace segue::protocol::postgres {

namespace {

enum class Effect { none, opens_block, ends_transaction };

// Empty when the tag does not lie whole in this slice.
std::string_view command_tag(const ServerEvent& event, Bytes slice) {
    const Bytes message = slice.subspan(event.start, event.end - event.start);
    if (!event.complete || message.size() <= header_size ||
        static_cast<char>(message[0]) != event.tag) {
        return {};
    }
    // A message that began in an earlier slice may by chance begin with its tag's byte here: then
    // the length does not fit.
    ByteReader header{message.subspan(tag_size)};
    if (header.big_endian<std::uint32_t>() != message.size() - tag_size) return {};
    const std::string_view body = text(message.subspan(header_size));
    return body.substr(0, body.find('\0'));
}

Effect effect(std::string_view tag) {
    if (tag == "BEGIN" || tag == "START TRANSACTION") return Effect::opens_block;
    // ROLLBACK TO a savepoint has the same tag and stays in its block; held for nothing, it does no
    // harm.
    if (tag.empty() || tag == "COMMIT" || tag == "ROLLBACK" || tag == "PREPARE TRANSACTION" ||
        tag == "COMMIT PREPARED" || tag == "ROLLBACK PREPARED") {
        return Effect::ends_transaction;
    }
    return Effect::none;
}

}  // namespace

bool Acknowledgements::sees(const ServerEvent& event, Bytes slice, bool extended) {
    if (event.tag == 'Z') {
        // In pieces the status is unknown until the last one.
        in_block_ = event.complete && event.status != 'I';
        return !in_block_;
    }
    if (event.tag != 'C') return false;
    const bool was_in_block = in_block_;
    const std::string_view tag = command_tag(event, slice);
    doubt_ = doubt_ || tag.empty() || tag.ends_with(" PREPARED") || tag == "PREPARE TRANSACTION";
    switch (effect(tag)) {
        case Effect::none:
            return !was_in_block && !extended;
        case Effect::opens_block:
            in_block_ = true;
            return false;
        case Effect::ends_transaction:
            in_block_ = false;
            return true;
    }
    return true;
}

}  // namespace segue::protocol::postgres
