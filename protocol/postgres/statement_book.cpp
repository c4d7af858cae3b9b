#include "protocol/postgres/statement_book.hpp"

#include <algorithm>
#include <utility>

#include "protocol/postgres/messages_client.hpp"

namespace segue::protocol::postgres {

std::optional<StatementBook::Seen> StatementBook::see(const Piece& piece) {
    if (piece.first && piece.last) return take(piece.tag, text(piece.body), true);
    if (piece.first) pending_.clear();
    const std::size_t room =
        statement_message_size_max - std::min(statement_message_size_max, pending_.size());
    pending_ += text(piece.body.first(std::min(room, piece.body.size())));
    if (!piece.last) return std::nullopt;
    seen_ = std::exchange(pending_, {});
    return take(piece.tag, seen_, seen_.size() == piece.body_size);
}

std::optional<StatementBook::Seen> StatementBook::take(char tag,
                                                       std::string_view body,
                                                       bool whole) {
    switch (tag) {
        case Query::tag: {
            erase({});  // A Query destroys the unnamed statement.
            const Result<Query> message = parse_query(bytes(body));
            if (!whole || !message) return Seen{};
            return Seen{message->text};
        }
        case Parse::tag:
            if (!whole) return Seen{};
            return take_parse(body);
        case Bind::tag:
            return take_bind(body);
        case Close::tag:
            take_close(body);
            return std::nullopt;
        case 'F':
            return Seen{};
        default:  // Execute and whatever else: nothing that Bind has not told.
            return std::nullopt;
    }
}

std::optional<StatementBook::Seen> StatementBook::take_parse(std::string_view body) {
    const Result<Parse> message = parse_parse(bytes(body));
    if (!message) return Seen{};
    std::string name{message->name};
    if (!name.empty() && (entries_.contains(name) || is_fresh(name))) {
        // The server refuses it, or the one we know has gone without our knowing: which, we cannot
        // tell.
        erase(name);
        std::erase_if(fresh_, [&](const Fresh& one) { return one.name == name; });
        return Seen{message->text};
    }
    if (fresh_.size() >= statements_in_flight_max) return Seen{message->text};
    Entry entry{std::string{message->text}, {}};
    append_message(entry.message, Parse::tag, body);
    fresh_.push_back({std::move(name), std::move(entry)});
    return Seen{message->text};
}

// Only its first two fields count, so that a long one need not be whole.
std::optional<StatementBook::Seen> StatementBook::take_bind(std::string_view body) {
    ByteReader reader{bytes(body)};
    reader.zero_terminated();
    const std::string_view name = reader.zero_terminated();
    if (reader.failed()) return Seen{};
    if (is_fresh(name)) return std::nullopt;
    const Entry* entry = find(name);
    return entry == nullptr ? Seen{} : Seen{std::string_view{entry->text}};
}

void StatementBook::take_close(std::string_view body) {
    const Result<Close> message = parse_close(bytes(body));
    if (!message || message->kind != 'S') return;
    const std::string name{message->name};
    erase(name);
    std::erase_if(fresh_, [&](const Fresh& one) { return one.name == name; });
}

void StatementBook::settle(bool error) {
    for (Fresh& one : std::exchange(fresh_, {})) {
        erase(one.name);
        if (!error) put(std::move(one.name), std::move(one.entry));
    }
}

void StatementBook::forget() {
    entries_.clear();
    fresh_.clear();
    size_ = 0;
}

void StatementBook::learn(std::string_view name,
                          std::string_view text,
                          const std::vector<std::uint32_t>& types) {
    if (find(name) != nullptr) return;
    Entry entry{std::string{text}, {}};
    append(entry.message, Parse{name, text, types});
    put(std::string{name}, std::move(entry));
}

void StatementBook::set_unnamed(std::string_view text, std::string_view message) {
    erase({});
    put({}, Entry{std::string{text}, std::string{message}});
}

const StatementBook::Entry* StatementBook::find(std::string_view name) const {
    const auto found = entries_.find(std::string{name});
    return found == entries_.end() ? nullptr : &found->second;
}

bool StatementBook::is_fresh(std::string_view name) const {
    return std::any_of(
        fresh_.begin(), fresh_.end(), [&](const Fresh& one) { return one.name == name; });
}

void StatementBook::put(std::string name, Entry entry) {
    const std::size_t size = name.size() + entry.text.size() + entry.message.size();
    if (size_ + size > statement_book_size_max) return;
    size_ += size;
    entries_.insert_or_assign(std::move(name), std::move(entry));
}

void StatementBook::erase(const std::string& name) {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return;
    size_ -= found->first.size() + found->second.text.size() + found->second.message.size();
    entries_.erase(found);
}

}  // namespace segue::protocol::postgres
