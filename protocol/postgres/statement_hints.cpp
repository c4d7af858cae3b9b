#include "protocol/postgres/statement_hints.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace segue::protocol::postgres {

namespace {

enum CharClass : std::uint8_t { other = 0, word = 1, candidate = 2 };

// `candidate`: a letter that one of our words begins with.
constexpr std::array<std::uint8_t, 256> make_classes() {
    std::array<std::uint8_t, 256> classes{};
    for (unsigned c = 0; c < 256; ++c) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80 || c == '_';
        if (letter || (c >= '0' && c <= '9') || c == '$') classes[c] = word;
    }
    for (const char c : {'s', 'S', 'c', 'C', 'l', 'L', 'p', 'P'}) classes[static_cast<unsigned char>(c)] = candidate;
    return classes;
}
constexpr std::array<std::uint8_t, 256> classes = make_classes();

constexpr std::uint8_t class_of(char c) { return classes[static_cast<unsigned char>(c)]; }
constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
constexpr bool space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// `rest` begins with `lower_word`, whatever its case, and the word ends there.
bool begins_with_word(std::string_view rest, std::string_view lower_word) {
    if (rest.size() < lower_word.size()) return false;
    for (std::size_t i = 0; i < lower_word.size(); ++i) {
        if (lower(rest[i]) != lower_word[i]) return false;
    }
    return rest.size() == lower_word.size() || class_of(rest[lower_word.size()]) == other;
}

bool begins_with(std::string_view rest, std::string_view lower_text) {
    if (rest.size() < lower_text.size()) return false;
    for (std::size_t i = 0; i < lower_text.size(); ++i) {
        if (lower(rest[i]) != lower_text[i]) return false;
    }
    return true;
}

std::string_view skip_blanks(std::string_view rest) {
    for (;;) {
        while (!rest.empty() && space(rest.front())) rest.remove_prefix(1);
        if (rest.starts_with("--")) {
            const std::size_t end = rest.find('\n');
            rest.remove_prefix(end == std::string_view::npos ? rest.size() : end);
        } else if (rest.starts_with("/*")) {
            const std::size_t end = rest.find("*/");
            rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 2);
        } else {
            return rest;
        }
    }
}

// Takes one identifier off the front, quoted or not, in lower case: names of settings ignore case.
std::string take_identifier(std::string_view& rest) {
    std::string name;
    if (rest.starts_with('"')) {
        std::size_t i = 1;
        for (; i < rest.size(); ++i) {
            if (rest[i] == '"') {
                if (i + 1 >= rest.size() || rest[i + 1] != '"') break;
                ++i;
            }
            name.push_back(lower(rest[i]));
        }
        rest.remove_prefix(std::min(i + 1, rest.size()));
        return name;
    }
    while (!rest.empty() && class_of(rest.front()) != other) {
        name.push_back(lower(rest.front()));
        rest.remove_prefix(1);
    }
    return name;
}

constexpr std::size_t capacity_kept_max = 1024;

void clear(std::string& text) {
    text.clear();
    if (text.capacity() > capacity_kept_max) text.shrink_to_fit();
}

}  // namespace

void StateHints::see(const Piece& piece) {
    if (piece.tag != 'Q' && piece.tag != 'P') return;
    if (piece.first && piece.last) return finish(piece.tag, text(piece.body));
    if (piece.first) {
        pending_.clear();
        pending_cut_ = false;
    }
    pending_.append(text(piece.body));
    if (!piece.last) {
        if (pending_.size() <= pending_size_max) return;
        // Too long to keep: scan what is there, and keep enough that no word or name is cut in two.
        constexpr std::size_t overlap = 512;
        if (!pending_cut_) pending_named_ = pending_.front() != '\0';
        pending_cut_ = true;
        scan(pending_);
        pending_.erase(0, pending_.size() - overlap);
        return;
    }
    if (!pending_cut_) {
        finish(piece.tag, pending_);
    } else {
        scan(pending_);
        if (piece.tag == 'Q' || !pending_named_) clear(unnamed_);
        if (piece.tag == 'Q') unnamed_too_large_ = false;
        if (piece.tag == 'P' && !pending_named_) unnamed_too_large_ = true;
    }
    clear(pending_);
}

void StateHints::finish(char tag, std::string_view body) {
    const std::uint32_t uses_before = sequence_uses_;
    if (tag == 'Q') {
        scan(body);
        clear(unnamed_);  // A simple Query destroys the unnamed statement.
        unnamed_too_large_ = false;
        return;
    }
    const std::size_t name_size = std::min(body.find('\0'), body.size());
    scan(body.substr(name_size));
    if (name_size == 0) return remember_unnamed(body);
    if (sequence_uses_ != uses_before) sequence_use_prepared_ = true;
}

void StateHints::remember_unnamed(std::string_view body) {
    unnamed_too_large_ = body.size() > unnamed_parse_size_max;
    if (unnamed_too_large_) return clear(unnamed_);
    unnamed_.assign(1, 'P');
    ByteWriter writer{unnamed_};
    writer.big_endian(static_cast<std::uint32_t>(body.size() + 4));
    writer.raw(body);
}

void StateHints::scan(std::string_view statement) {
    std::uint8_t before = other;
    bool prepares = false;
    const std::uint32_t uses_before = sequence_uses_;
    for (std::size_t i = 0; i < statement.size(); ++i) {
        const std::uint8_t here = class_of(statement[i]);
        if (here == candidate && before == other) {
            const std::string_view rest = statement.substr(i);
            switch (lower(statement[i])) {
                case 's':
                    if (begins_with_word(rest, "set")) after_set(rest.substr(3));
                    if (begins_with_word(rest, "set_config")) after_set_config(rest.substr(10));
                    break;
                case 'c':
                    if (begins_with_word(rest, "currval")) ++sequence_uses_;
                    break;
                case 'l':
                    if (begins_with_word(rest, "lastval")) ++sequence_uses_;
                    break;
                case 'p':
                    if (begins_with(rest, "pg_advisory") || begins_with(rest, "pg_try_advisory")) advisory_used_ = true;
                    if (begins_with_word(rest, "prepare")) prepares = true;
                    break;
                default:  // A character, not an enumeration of ours.
                    break;
            }
        }
        before = here;
    }
    if (prepares && sequence_uses_ != uses_before) sequence_use_prepared_ = true;
}

void StateHints::after_set(std::string_view rest) {
    rest = skip_blanks(rest);
    for (const std::string_view scope : {"session", "local"}) {
        if (begins_with_word(rest, scope)) rest = skip_blanks(rest.substr(scope.size()));
    }
    if (begins_with(rest, "u&\"")) {
        custom_opaque_ = true;  // An identifier with Unicode escapes.
        return;
    }
    std::string name = take_identifier(rest);
    rest = skip_blanks(rest);
    while (rest.starts_with('.')) {
        rest = skip_blanks(rest.substr(1));
        name.push_back('.');
        name += take_identifier(rest);
        rest = skip_blanks(rest);
    }
    if (name.find('.') != std::string::npos) learn(std::move(name));
}

void StateHints::after_set_config(std::string_view rest) {
    rest = skip_blanks(rest);
    if (!rest.starts_with('(')) return;  // Only named, not called.
    rest = skip_blanks(rest.substr(1));
    const std::size_t end = rest.starts_with('\'') ? rest.find('\'', 1) : std::string_view::npos;
    if (end == std::string_view::npos) {
        custom_opaque_ = true;
        return;
    }
    std::string name{rest.substr(1, end - 1)};
    std::transform(name.begin(), name.end(), name.begin(), lower);
    if (name.find('.') != std::string::npos) learn(std::move(name));
}

void StateHints::learn(std::string name) {
    if (std::find(custom_settings_.begin(), custom_settings_.end(), name) != custom_settings_.end()) return;
    if (custom_settings_.size() >= custom_settings_max || name.size() > custom_name_size_max) {
        custom_opaque_ = true;
        return;
    }
    custom_settings_.push_back(std::move(name));
}

}  // namespace segue::protocol::postgres
