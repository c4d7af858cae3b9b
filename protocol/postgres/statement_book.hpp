#pragma once
// Which text stands behind each prepared statement of a session, learned from the client's messages
// as they are forwarded, so that a later Bind can be classified. A statement counts only once the
// server cannot have refused it; what is not certain is unknown. Bounded: beyond the limit new
// statements stay unknown.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "protocol/postgres/boundary.hpp"

namespace segue::protocol::postgres {

inline constexpr std::size_t statement_book_size_max = 1024 * 1024;
// Of a message that comes in several pieces; a longer statement stays unknown.
inline constexpr std::size_t statement_message_size_max = 128 * 1024;
// Prepared in one pipeline; further ones stay unknown.
inline constexpr std::size_t statements_in_flight_max = 256;

class StatementBook {
public:
    struct Entry {
        std::string text;
        std::string message;  // The whole Parse message.
    };
    // Something that the server may execute with this message.
    struct Seen {
        // Empty: it cannot be told what. Valid until the next call, and as long as the piece.
        std::optional<std::string_view> text;
    };

    // A piece of a message that is being forwarded to the authority. Something for each statement
    // that goes by in a Query or Parse, and for executions of what is not known.
    std::optional<Seen> see(const Piece& piece);
    // The server has answered everything; `error`: with at least one error since the last call.
    void settle(bool error);
    // Everything becomes unknown: SQL may have given names another meaning.
    void forget();

    // A statement known to exist (asked of the server). Ignored when the name is known already.
    void learn(std::string_view name,
               std::string_view text,
               const std::vector<std::uint32_t>& types);
    // A request with a Parse of the unnamed statement was answered elsewhere.
    void set_unnamed(std::string_view text, std::string_view message);

    // Null when unknown. Valid until the next change.
    const Entry* find(std::string_view name) const;
    std::size_t size() const { return size_; }

private:
    struct Fresh {
        std::string name;
        Entry entry;
    };

    std::optional<Seen> take(char tag, std::string_view body, bool whole);
    std::optional<Seen> take_parse(std::string_view body);
    std::optional<Seen> take_bind(std::string_view body);
    void take_close(std::string_view body);
    void put(std::string name, Entry entry);
    void erase(const std::string& name);
    bool is_fresh(std::string_view name) const;

    std::unordered_map<std::string, Entry> entries_;
    std::vector<Fresh> fresh_;  // Sent, not yet acknowledged.
    std::string pending_;       // A body in several pieces, up to the limit.
    std::string seen_;          // Keeps the text of a message that came in several pieces.
    std::size_t size_ = 0;
};

}  // namespace segue::protocol::postgres
