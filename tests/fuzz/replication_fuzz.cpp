// Any bytes as a CopyData body of the replication protocol, and any names in its statements.

#include "protocol/postgres/replication.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace segue::protocol::postgres;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {"w\0\0\0\0\x01\x6b\x37\x48\0\0\0\x01\0\0\0\x02\0\0\0\0\0\x0f\x42\x40payload"sv,
            "k\0\0\0\0\x01\x6b\x37\x48\0\0\0\0\0\x0f\x42\x40\x01"sv,
            "it's \"a\" slot"sv};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input = fuzz::text_of(data, size);
    const auto message = parse_replication_message(bytes(input));
    if (message) {
        if (const auto* log = std::get_if<XLogData>(&*message))
            fuzz::require(log->payload.size() + 25 == size);
        if (const auto* keepalive = std::get_if<Keepalive>(&*message)) {
            fuzz::require(size == 18);
            const StandbyStatus status{
                keepalive->server_end, {}, {}, keepalive->sent_at, keepalive->reply_requested};
            fuzz::require(standby_status(status).size() == 34);
        }
    }
    // Quotes come in pairs, whatever the names hold.
    std::size_t quotes = 0;
    for (const char c : start_replication(input, Position{1}, {std::string{input}}))
        quotes += c == '"' ? 1 : 0;
    fuzz::require(quotes % 2 == 0);
    return 0;
}
