#include "protocol/postgres/late_statements.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "protocol/postgres/framer.hpp"

namespace segue::protocol::postgres {

namespace {

// Ends with ReadyForQuery, or is discarded as a whole.
bool asks_for_ready(char tag) { return tag == 'S' || tag == 'Q' || tag == 'F'; }

// The text up to a zero, which is taken off `body` with it; null where there is none.
std::optional<std::string_view> take_text(Bytes& body) {
    const void* end = body.empty() ? nullptr : std::memchr(body.data(), 0, body.size());
    if (end == nullptr) return std::nullopt;
    const auto size = static_cast<std::size_t>(static_cast<const std::byte*>(end) - body.data());
    const std::string_view taken = text(body.first(size));
    body = body.subspan(size + 1);
    return taken;
}

// The prepared statement that a message is about. `found` false: its name is still to come.
struct Named {
    bool found = false;
    std::optional<std::string_view> statement;
};
Named statement_of(char tag, Bytes body) {
    if (tag == 'D' || tag == 'C') {
        if (body.empty()) return {};
        if (static_cast<char>(body.front()) != 'S') return {true, std::nullopt};
        body = body.subspan(1);
    }
    if (tag == 'B' && !take_text(body)) return {};  // The portal.
    const auto name = take_text(body);
    return {name.has_value(), name};
}

}  // namespace

LateStatements::LateStatements(const std::vector<LateStatement>& statements) {
    for (const LateStatement& one : statements) statements_[one.name] = Entry{one.parse};
}

std::vector<LateStatement> LateStatements::statements() const {
    std::vector<LateStatement> all;
    for (const auto& [name, entry] : statements_) all.push_back({name, entry.parse});
    return all;
}

template <class Judge>
Bytes LateStatements::edit(Stream& stream, Bytes slice, Judge judge) {
    if (!stream.held.empty()) {
        stream.joined = std::exchange(stream.held, {});
        stream.joined += text(slice);
        slice = bytes(stream.joined);
    }
    stream.edited.clear();
    bool changed = false;
    std::size_t at = 0, taken = 0;  // Up to `taken` it is in `edited`, where anything was changed.
    while (at < slice.size()) {
        if (stream.body_rest > 0) {
            const auto size = std::min<std::uint64_t>(stream.body_rest, slice.size() - at);
            at += static_cast<std::size_t>(size);
            stream.body_rest -= size;
            continue;
        }
        const Bytes rest = slice.subspan(at);
        if (rest.size() < header_size) break;
        ByteReader reader{rest.subspan(1)};
        const std::uint64_t size = reader.big_endian<std::uint32_t>();
        // No message: the peer will say so.
        const std::uint64_t body_size =
            size < sizeof(std::uint32_t) ? 0 : size - sizeof(std::uint32_t);
        const Bytes body = rest.subspan(header_size,
                                        static_cast<std::size_t>(std::min<std::uint64_t>(
                                            body_size, rest.size() - header_size)));
        const std::optional<Verdict> verdict =
            judge(static_cast<char>(rest.front()), body, body_size);
        if (!verdict) break;
        if (verdict->drop || !verdict->insert.empty()) {
            stream.edited += text(slice.subspan(taken, at - taken));
            stream.edited += verdict->insert;
            taken = verdict->drop ? at + header_size : at;
            changed = true;
        }
        at += header_size;
        stream.body_rest = body_size;
    }
    stream.held = text(slice.subspan(at));
    if (!changed) return slice.first(at);
    stream.edited += text(slice.subspan(taken, at - taken));
    return bytes(stream.edited);
}

Bytes LateStatements::to_server(Bytes slice) {
    return edit(from_client_, slice, [this](char tag, Bytes body, std::uint64_t size) {
        return judge_client(tag, body, size);
    });
}

Bytes LateStatements::to_client(Bytes slice) {
    return edit(from_server_, slice, [this](char tag, Bytes body, std::uint64_t size) {
        return judge_server(tag, body, size);
    });
}

std::optional<LateStatements::Verdict> LateStatements::judge_client(char tag,
                                                                    Bytes body,
                                                                    std::uint64_t body_size) {
    if (asks_for_ready(tag)) {
        if (tag == 'S') skipping_ = false;
        if (tag == 'Q' && !skipping_) statements_.erase("");  // It destroys the unnamed statement.
        if (!skipping_) awaited_.push_back({Awaited::ready, {}});
        return Verdict{};
    }
    if (tag != 'P' && tag != 'B' && tag != 'D' && tag != 'C') return Verdict{};
    const Named named = statement_of(tag, body);
    if (!named.found && body.size() < std::min<std::uint64_t>(body_size, head_size_max))
        return std::nullopt;
    if (skipping_) return Verdict{};
    if (tag == 'P') awaited_.push_back({Awaited::parse, {}});
    if (!named.statement) return Verdict{};
    const std::string name{named.statement->substr(0, name_size_max)};
    if (tag == 'B' || tag == 'D') return Verdict{use(name)};
    statements_.erase(name);
    return Verdict{};
}

// The message that must come before a use of that statement; empty when none.
std::string LateStatements::use(const std::string& name) {
    const auto found = statements_.find(name);
    if (found == statements_.end() || std::exchange(found->second.sent, true)) return {};
    awaited_.push_back({Awaited::own_parse, name});
    return found->second.parse;
}

std::optional<LateStatements::Verdict> LateStatements::judge_server(char tag,
                                                                    Bytes body,
                                                                    std::uint64_t body_size) {
    constexpr std::string_view discarded = "DISCARD ALL", deallocated = "DEALLOCATE ALL";
    switch (tag) {
        case '1':
            return Verdict{{}, parse_completed()};
        case 'E':
            failed();
            return Verdict{};
        case 'Z':
            ready();
            return Verdict{};
        case 'C': {
            if (body_size > deallocated.size() + 1) return Verdict{};
            if (body.size() < body_size) return std::nullopt;
            const std::string_view what = text(body).substr(0, body.empty() ? 0 : body.size() - 1);
            if (what == discarded || what == deallocated) statements_.clear();
            return Verdict{};
        }
        default:
            return Verdict{};  // Tags are the peer's.
    }
}

// An own one that was discarded with what it stood before is to be sent again.
void LateStatements::drop_front() {
    const Answer& front = awaited_.front();
    if (front.what == Awaited::own_parse) {
        const auto found = statements_.find(front.name);
        if (found != statements_.end()) found->second.sent = false;
    }
    awaited_.pop_front();
}

// True: it answers a message of ours.
bool LateStatements::parse_completed() {
    // A Sync before it was swallowed by a COPY.
    while (!awaited_.empty() && awaited_.front().what == Awaited::ready) awaited_.pop_front();
    if (awaited_.empty()) return false;
    const Answer answer = std::move(awaited_.front());
    awaited_.pop_front();
    if (answer.what == Awaited::own_parse) statements_.erase(answer.name);
    return answer.what == Awaited::own_parse;
}

// Everything up to the next Sync is discarded.
void LateStatements::failed() {
    while (!awaited_.empty() && awaited_.front().what != Awaited::ready) drop_front();
    skipping_ = awaited_.empty();
}

void LateStatements::ready() {
    while (!awaited_.empty()) {
        const bool last = awaited_.front().what == Awaited::ready;
        drop_front();
        if (last) return;
    }
}

void LateStatements::settle() {
    while (!awaited_.empty()) drop_front();
    skipping_ = false;
}

}  // namespace segue::protocol::postgres
