#include "protocol/postgres/statement_hints.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace segue::protocol::postgres {

namespace {

constexpr std::array<bool, 256> make_word_chars() {
    std::array<bool, 256> word{};
    for (unsigned c = 0; c < 256; ++c) {
        word[c] = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c >= 0x80 || c == '_' || c == '$';
    }
    return word;
}
constexpr std::array<bool, 256> word_chars = make_word_chars();

constexpr bool is_word(char c) { return word_chars[static_cast<unsigned char>(c)]; }
constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
constexpr bool space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// `rest` begins with `lower_word`, whatever its case, and the word ends there.
bool begins_with_word(std::string_view rest, std::string_view lower_word) {
    if (rest.size() < lower_word.size()) return false;
    for (std::size_t i = 0; i < lower_word.size(); ++i) {
        if (lower(rest[i]) != lower_word[i]) return false;
    }
    return rest.size() == lower_word.size() || !is_word(rest[lower_word.size()]);
}

bool begins_with(std::string_view rest, std::string_view lower_text) {
    if (rest.size() < lower_text.size()) return false;
    for (std::size_t i = 0; i < lower_text.size(); ++i) {
        if (lower(rest[i]) != lower_text[i]) return false;
    }
    return true;
}

// Two letters that our words begin with: set, currval, current_setting, lastval, pg_, prepare.
constexpr bool is_candidate(char first, char second) {
    const char a = static_cast<char>(first | 0x20), b = static_cast<char>(second | 0x20);
    return (a == 's' && b == 'e') || (a == 'c' && b == 'u') || (a == 'l' && b == 'a') ||
           (a == 'p' && (b == 'g' || b == 'r'));
}

// The next offset at or after `at` where such a pair stands; the text's size when there is none.
// Every statement passes here, so sixteen bytes are looked at together where the machine can.
std::size_t next_candidate(std::string_view text, std::size_t at) {
#ifdef __SSE2__
    constexpr std::size_t block = 16;
    const auto load = [&text](std::size_t offset) {
        __m128i bytes16;
        std::memcpy(&bytes16, text.data() + offset, block);
        return _mm_or_si128(bytes16, _mm_set1_epi8(0x20));
    };
    for (; at + block + 1 <= text.size(); at += block) {
        const __m128i a = load(at), b = load(at + 1);
        const auto pair = [&a, &b](char first, char second) {
            return _mm_and_si128(_mm_cmpeq_epi8(a, _mm_set1_epi8(first)),
                                 _mm_cmpeq_epi8(b, _mm_set1_epi8(second)));
        };
        const __m128i hits = _mm_or_si128(
            _mm_or_si128(pair('s', 'e'), pair('c', 'u')),
            _mm_or_si128(pair('l', 'a'), _mm_or_si128(pair('p', 'g'), pair('p', 'r'))));
        const auto mask = static_cast<unsigned>(_mm_movemask_epi8(hits));
        if (mask != 0) return at + static_cast<std::size_t>(std::countr_zero(mask));
    }
#endif
    for (; at + 1 < text.size(); ++at) {
        if (is_candidate(text[at], text[at + 1])) return at;
    }
    return text.size();
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
    while (!rest.empty() && is_word(rest.front())) {
        name.push_back(lower(rest.front()));
        rest.remove_prefix(1);
    }
    return name;
}

// The first of a call's arguments, from behind its parenthesis, in lower case: empty unless it is
// one plain literal.
std::string first_literal(std::string_view arguments) {
    arguments = skip_blanks(arguments);
    const std::size_t end =
        arguments.starts_with('\'') ? arguments.find('\'', 1) : std::string_view::npos;
    if (end == std::string_view::npos) return {};
    const std::string_view after = skip_blanks(arguments.substr(end + 1));
    const bool whole = after.starts_with(',') || after.starts_with(')') || after.starts_with("::");
    if (!whole) return {};
    std::string literal{arguments.substr(1, end - 1)};
    std::transform(literal.begin(), literal.end(), literal.begin(), lower);
    return literal;
}

// Whether the last of a call's arguments is the word true; false where they are not easily told
// apart.
bool last_is_true(std::string_view arguments) {
    if (arguments.find('\\') != std::string_view::npos) return false;
    std::size_t begin = 0, depth = 0;
    for (std::size_t at = 0; at < arguments.size(); ++at) {
        const char c = arguments[at];
        if (c == '\'' || c == '"') {
            at = arguments.find(c, at + 1);
            if (at == std::string_view::npos) return false;
        } else if (arguments.substr(at).starts_with("--") ||
                   arguments.substr(at).starts_with("/*") ||
                   (c == '$' && (at + 1 == arguments.size() || arguments[at + 1] < '0' ||
                                 arguments[at + 1] > '9'))) {
            return false;
        } else if (c == '(' || c == '[') {
            ++depth;
        } else if (depth > 0 && (c == ')' || c == ']')) {
            --depth;
        } else if (depth == 0 && c == ',') {
            begin = at + 1;
        } else if (c == ')') {
            const std::string_view last = skip_blanks(arguments.substr(begin, at - begin));
            return begins_with_word(last, "true") && skip_blanks(last.substr(4)).empty();
        }
    }
    return false;
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
    // The room of a large statement is not kept for small ones.
    constexpr std::size_t room_kept_max = 64u << 10;
    if (unnamed_.capacity() > room_kept_max && body.size() < unnamed_.capacity() / 2)
        unnamed_ = std::string{};
    unnamed_.assign(1, 'P');
    ByteWriter writer{unnamed_};
    writer.big_endian(static_cast<std::uint32_t>(body.size() + 4));
    writer.raw(body);
}

void StateHints::scan(std::string_view statement) {
    const std::uint32_t uses_before = sequence_uses_;
    bool prepares = false;
    for (std::size_t at = next_candidate(statement, 0); at < statement.size();
         at = next_candidate(statement, at + 1)) {
        if (at > 0 && is_word(statement[at - 1])) continue;  // Within a word.
        const std::string_view rest = statement.substr(at);
        switch (lower(statement[at])) {
            case 's':
                if (begins_with_word(rest, "set")) after_set(rest.substr(3));
                if (begins_with_word(rest, "set_config")) after_set_config(rest.substr(10));
                break;
            case 'c':
                if (begins_with_word(rest, "currval")) ++sequence_uses_;
                if (begins_with_word(rest, "current_setting"))
                    after_current_setting(rest.substr(15));
                break;
            case 'l':
                if (begins_with_word(rest, "lastval")) ++sequence_uses_;
                break;
            case 'p':
                if (begins_with(rest, "pg_advisory") || begins_with(rest, "pg_try_advisory"))
                    advisory_used_ = true;
                if (begins_with_word(rest, "prepare")) prepares = true;
                break;
            default:  // A character, not an enumeration of ours.
                break;
        }
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
    if (name == "application_name") application_named_ = true;
    if (name.find('.') != std::string::npos) learn(std::move(name));
}

void StateHints::after_set_config(std::string_view rest) {
    rest = skip_blanks(rest);
    if (!rest.starts_with('(')) return;  // Only named, not called.
    rest.remove_prefix(1);
    std::string name = first_literal(rest);
    // What is set for a transaction ends with it, whatever its name.
    if (name.empty() && !last_is_true(rest)) custom_opaque_ = true;
    if (name.empty() || name == "application_name") application_named_ = true;
    if (name.find('.') != std::string::npos) learn(std::move(name));
}

// Who reads a setting may have set it where we do not see it: in a function.
void StateHints::after_current_setting(std::string_view rest) {
    rest = skip_blanks(rest);
    if (!rest.starts_with('(')) return;
    std::string name = first_literal(rest.substr(1));
    const bool room = custom_settings_.size() < custom_settings_max;
    if (room && name.find('.') != std::string::npos && name.size() <= custom_name_size_max)
        learn(std::move(name));
}

void StateHints::learn(std::string name) {
    if (std::find(custom_settings_.begin(), custom_settings_.end(), name) != custom_settings_.end())
        return;
    if (custom_settings_.size() >= custom_settings_max || name.size() > custom_name_size_max) {
        custom_opaque_ = true;
        return;
    }
    custom_settings_.push_back(std::move(name));
}

void StateHints::also_ask_for(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
        if (std::find(custom_settings_.begin(), custom_settings_.end(), name) ==
            custom_settings_.end())
            custom_settings_.push_back(name);
    }
}

}  // namespace segue::protocol::postgres
