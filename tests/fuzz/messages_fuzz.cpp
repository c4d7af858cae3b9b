// The first byte chooses the message; a client message that is read and written again means the
// same.

#include <string>

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace segue::protocol::postgres;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {"\0select 1\0"sv,
            "\1name\0select $1\0\0\x01\0\0\0\x17"sv,
            "\2portal\0name\0\0\x01\0\0\0\x01\0\0\0\x01"
            "7\0\0"sv,
            "\3Sname\0"sv,
            "\4Pportal\0"sv,
            "\5portal\0\0\0\0\0"sv,
            "\6SERROR\0C42601\0Mno\0\0"sv,
            "\7I"sv,
            "\x08TimeZone\0UTC\0"sv,
            "\x09\0\0\0\x07\0\0\0\x09"sv,
            "\x0a\0\0\0\x0aSCRAM-SHA-256\0\0"sv,
            "\x0b\0\x02\xff\xff\xff\xff\0\0\0\x01x"sv,
            "\x0c\0\x01id\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"sv,
            "\x0d\0\x01\0\0\0\x17"sv,
            "\x0eSELECT 1\0"sv};
}

namespace {

template <class Message, class Parse>
void round_trip(Bytes body, Parse parse) {
    const Result<Message> message = parse(body);
    if (!message) return;
    std::string wire;
    append(wire, *message);
    const auto step = next_frame(bytes(wire), wire.size());
    const auto* frame = std::get_if<Frame>(&step);
    fuzz::require(frame != nullptr && frame->tag == Message::tag &&
                  frame->wire.size() == wire.size());
    const Result<Message> again = parse(frame->body);
    fuzz::require(again && *again == *message);
}

template <class Value>
void ignore(const Result<Value>& result) {
    if (!result) fuzz::require(!result.error().detail.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const Bytes body = bytes(fuzz::text_of(data + 1, size - 1));
    switch (data[0] % 15) {
        case 0:
            round_trip<Query>(body, parse_query);
            break;
        case 1:
            round_trip<Parse>(body, parse_parse);
            break;
        case 2:
            round_trip<Bind>(body, parse_bind);
            break;
        case 3:
            round_trip<Describe>(body, parse_describe);
            break;
        case 4:
            round_trip<Close>(body, parse_close);
            break;
        case 5:
            round_trip<Execute>(body, parse_execute);
            break;
        case 6:
            ignore(parse_error_fields(body));
            break;
        case 7:
            ignore(parse_ready_for_query(body));
            break;
        case 8:
            ignore(parse_parameter_status(body));
            break;
        case 9:
            ignore(parse_backend_key_data(body));
            break;
        case 10: {
            const auto authentication = parse_authentication(body);
            ignore(authentication);
            ignore(parse_sasl_mechanisms(body));
            break;
        }
        case 11:
            ignore(parse_data_row(body));
            break;
        case 12:
            ignore(parse_row_description(body));
            break;
        case 13:
            ignore(parse_parameter_description(body));
            break;
        case 14:
            ignore(parse_command_complete(body));
            break;
    }
    return 0;
}
