#pragma once
// SQL text, piece by piece, as far as it is read without the server: where words, literals and
// comments begin and end. Pure.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace segue::backfill::postgres {

// Walks over SQL text: a word, a literal or quoted name, a comment, or one character.
class SqlScanner {
public:
    enum class Piece : std::uint8_t { word, quoted, comment, space, other };
    // `text` outlives it.
    explicit SqlScanner(std::string_view text) : text_(text) {}

    bool done() const { return at_ >= text_.size(); }
    std::size_t at() const { return at_; }

    // The next piece; its text is [before, at()).
    Piece next();

private:
    bool starts(std::string_view what) const { return text_.substr(at_).starts_with(what); }
    Piece advance(std::size_t count, Piece piece);
    Piece until(std::string_view end, Piece piece, std::size_t from);
    Piece line_comment();
    Piece block_comment();
    Piece quoted(char quote, bool escapes);
    // $$ or $tag$ at this place.
    std::optional<std::string_view> dollar_tag() const;

    std::string_view text_;
    std::size_t at_ = 0;
};

std::string upper(std::string_view text);

// A name as the server reads it: quoted as it stands, else in lower case. And one with its schema.
std::string sql_name(std::string_view text);
std::string unquoted_name(std::string_view text);

// The first words of the statement, in upper case.
std::vector<std::string> words(std::string_view statement, std::size_t count_max);

}  // namespace segue::backfill::postgres
