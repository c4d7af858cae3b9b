#pragma once
// The text that a client sent, and which of its statements an event of the server may stand for: an
// event knows the whole string only. Pure. What is found here is a candidate; the follower's server
// tells what it did.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace segue::backfill::postgres {

// The statements of the text, in order, without comments before them. Splits at semicolons outside
// quotes, comments and parentheses; a text with a body that is no literal (BEGIN ATOMIC) is left
// whole, and the server then refuses it as one command.
std::vector<std::string_view> statements_of(std::string_view text);

// The statement may be a command with that tag, e.g. CREATE UNIQUE INDEX ... for "CREATE INDEX".
bool may_be(std::string_view statement, std::string_view tag);

// Whether one of them undoes what others did: then what ran before this text's other commands is
// not known.
bool takes_some_back(const std::vector<std::string_view>& statements);

// Of several statements the one that ran as the `place`th (from 1) of those with that tag. Empty
// when that cannot be told, and then `why` says so.
std::optional<std::string_view> statement_at(const std::vector<std::string_view>& statements,
                                             std::string_view tag,
                                             int place,
                                             std::string& why);

// The text of a message, split once however many of its commands are asked for.
class MessageText {
public:
    explicit MessageText(std::string text) : text_(std::move(text)) {}
    MessageText(const MessageText&) = delete;
    MessageText& operator=(const MessageText&) = delete;

    // As statement_at(). Valid as long as this object.
    std::optional<std::string_view> statement_at(std::string_view tag, int place, std::string& why);

private:
    const std::string text_;
    const std::vector<std::string_view> statements_ = statements_of(text_);
    const bool takes_back_ = takes_some_back(statements_);
    std::map<std::string, std::vector<std::string_view>, std::less<>> by_tag_;
};

// The commands that are carried, by the tags that the server gives them. All others stop.
bool is_carried_tag(std::string_view tag);

// CREATE TABLE AS, CREATE or REFRESH MATERIALIZED VIEW, so that it reads no row.
std::string with_no_data(std::string_view statement);

// Without CONCURRENTLY, or the FINALIZE of what was interrupted on the other side only: inside the
// applier's transaction only the plain form can be run.
std::string plain_form(std::string_view statement);

}  // namespace segue::backfill::postgres
