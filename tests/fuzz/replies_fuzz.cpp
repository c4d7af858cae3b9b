// Any bytes of a server: a reply's digest does not depend on how it was cut, nor does what a
// wrapped read gives the client.

#include <string>

#include "protocol/postgres/reply_digest.hpp"
#include "protocol/postgres/wrapped_read.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace segue::protocol::postgres;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {
        "T\0\0\0\x1b\0\x01id\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"
        "D\0\0\0\x0b\0\x01\0\0\0\x01"
        "7"
        "C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I"sv,
        "C\0\0\0\x0a"
        "BEGIN\0Z\0\0\0\x05T"
        "E\0\0\0\x15SERROR\0C25006\0\0Z\0\0\0\x05"
        "E"
        "C\0\0\0\x0dROLLBACK\0Z\0\0\0\x05I"sv,
        "D\x7f\xff\xff\xff\0\x01"sv,
        "Z\0\0\0\x05I"sv};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes input = bytes(fuzz::text_of(data, size));
    ReplyReader whole, single;
    std::size_t taken = 0;
    const std::size_t taken_whole = whole.update(input);
    for (std::size_t i = 0; i < size; ++i) taken += single.update(input.subspan(i, 1));
    fuzz::require(taken == taken_whole && taken <= size);
    fuzz::require(whole.finished() == single.finished() && whole.status() == single.status());
    fuzz::require(whole.digest() == single.digest());

    WrappedRead at_once{"Q\0\0\0\x0dselect 1\0"sv, true, {}};
    WrappedRead bytewise{"Q\0\0\0\x0dselect 1\0"sv, true, {}};
    std::string client_at_once, client_bytewise;
    at_once.receive(input, client_at_once);
    for (std::size_t i = 0; i < size; ++i) bytewise.receive(input.subspan(i, 1), client_bytewise);
    fuzz::require(at_once.state() == bytewise.state() && client_at_once == client_bytewise);
    if (at_once.state() == WrappedRead::State::failed) fuzz::require(client_at_once.empty());
    return 0;
}
