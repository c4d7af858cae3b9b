#include "protocol/postgres/wrapped_read.hpp"

#include <algorithm>

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"

namespace segue::protocol::postgres {

namespace {

constexpr std::string_view our_statement = "segue: read";
constexpr int opening_statements = 2;
constexpr std::size_t error_size_max = 16 * 1024;

// Executes one statement and leaves nothing behind. Closing a statement that does not exist is no
// error.
void append_ours(std::string& output, std::string_view text) {
    append(output, Close{'S', our_statement});
    append(output, Parse{our_statement, text, {}});
    append(output, Bind{{}, our_statement, {}, {}, {}});
    append(output, Execute{{}, 0});
    append(output, Close{'S', our_statement});
}

}  // namespace

WrappedRead::WrappedRead(std::string_view request,
                         bool simple,
                         std::string_view parse,
                         std::string_view forget)
    : simple_(simple), parse_pending_(!parse.empty()) {
    append_ours(to_send_, "BEGIN TRANSACTION READ ONLY");
    append_ours(to_send_, "SELECT 1");  // Takes the snapshot.
    to_send_ += parse;
    to_send_ += request;
    append_ours(to_send_, "COMMIT");
    if (!forget.empty()) postgres::append(to_send_, Close{'S', forget});
    append_sync(to_send_);
}

std::size_t WrappedRead::receive(Bytes slice, std::string& for_client) {
    const std::size_t size = slice.size();
    while (!slice.empty() && state_ == State::running) {
        if (header_size_ < header_size) {
            header_[header_size_++] = slice.front();
            slice = slice.subspan(1);
            if (header_size_ == header_size) {
                ByteReader reader{Bytes{header_}.subspan(1)};
                const auto length = reader.big_endian<std::uint32_t>();
                body_rest_ = length < length_size ? 0 : length - length_size;
                action_ = begin_message();
                kept_.clear();
                append(header_);
            }
        } else {
            const Bytes part = slice.first(
                static_cast<std::size_t>(std::min<std::uint64_t>(body_rest_, slice.size())));
            append(part);
            body_rest_ -= part.size();
            slice = slice.subspan(part.size());
        }
        if (header_size_ == header_size && body_rest_ == 0) {
            header_size_ = 0;
            end_message();
        }
    }
    if (!failed_ &&
        (exposed_ || held_.size() > answer_held_size_max || state_ == State::answered)) {
        exposed_ = exposed_ || !held_.empty();
        for_client += held_;
        held_.clear();
    }
    return size - slice.size();
}

WrappedRead::Action WrappedRead::begin_message() const {
    const char tag = static_cast<char>(header_[0]);
    if (tag == 'Z') return Action::keep;
    if (tag == 'E' && !exposed_) return Action::keep;
    if (part_ != Part::request || failed_) return Action::drop;
    // Not part of the answer: told by the connection that the client does not know of.
    if (tag == 'A' || tag == 'S') return Action::drop;
    if (tag == '1' && parse_pending_) return Action::drop;
    return Action::relay;
}

void WrappedRead::append(Bytes bytes) {
    switch (action_) {
        case Action::relay:
            held_ += text(bytes);
            break;
        case Action::keep:
            if (kept_.size() < error_size_max) kept_ += text(bytes);
            break;
        case Action::drop:
            break;
    }
}

void WrappedRead::end_message() {
    const char tag = static_cast<char>(header_[0]);
    if (tag == 'E') {
        if (action_ == Action::keep) note_error();
        return;
    }
    if (tag == 'Z') return end_part(kept_.empty() ? '\0' : kept_.back());
    if (tag == '1' && part_ == Part::request) parse_pending_ = false;
    if (part_ != Part::opening) return;
    if (tag == 'C') ++completions_;
    // The acknowledgement of our last Close: what follows is the client's.
    if (tag == '3' && completions_ == opening_statements) part_ = Part::request;
}

void WrappedRead::note_error() {
    const Result<ErrorFields> fields =
        parse_error_fields(bytes(kept_).subspan(std::min(header_size, kept_.size())));
    if (sqlstate_.empty()) sqlstate_ = fields ? std::string{fields->sqlstate} : "XX000";
    failed_ = true;
    held_.clear();
}

void WrappedRead::end_part(char status) {
    switch (part_) {
        case Part::opening:
            // Our own statements failed, so that the request was skipped up to its Sync; a Query
            // has none.
            part_ = Part::closing;
            if (simple_) state_ = State::failed;
            return;
        case Part::request:
            part_ = Part::closing;
            if (failed_) return;
            kept_.back() = 'I';  // For the client there was no transaction.
            held_ += kept_;
            return;
        case Part::closing:
            // A read-only transaction that ended is one that was read right; COMMIT changes nothing
            // else.
            failed_ = failed_ || status != 'I';
            state_ = failed_ && !exposed_ ? State::failed : State::answered;
            return;
    }
}

}  // namespace segue::protocol::postgres
