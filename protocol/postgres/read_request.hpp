#pragma once
// Recognises a client's request that could be a read answered elsewhere: exactly one Query message,
// or one execution by extended messages that ends in its only Sync. Anything else is none, and goes
// its usual way.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/bytes.hpp"
#include "protocol/postgres/messages_client.hpp"

namespace segue::protocol::postgres {

// Request := Query | [Parse ""] [Describe] Bind [Describe] Execute (all rows) [Close portal] Sync
struct ReadRequest {
    bool simple = false;
    std::optional<Parse> parse;  // Of the unnamed statement; in a Query, only its text is set.
    Bind bind;                   // Extended only.
    bool describes_statement = false;

    // The text, where the request itself carries it; else it is that of statement `bind.statement`.
    std::optional<std::string_view> text() const {
        return parse ? std::optional{parse->text} : std::nullopt;
    }
};

// `slice` must hold the request and nothing else. The result views it.
std::optional<ReadRequest> recognise_read_request(Bytes slice);

}  // namespace segue::protocol::postgres
