#include "protocol/postgres/redacted.hpp"

#include <pg_query.h>

#include <algorithm>
#include <array>
#include <utility>

#include "protocol/postgres/classify.hpp"

namespace segue::protocol::postgres {

namespace {

// Constants that no parameter has taken the place of.
enum class Strings : std::uint8_t { hidden, refused };

// Types whose names stand before a constant (`interval '3 days'`), which a parameter cannot follow.
constexpr std::array<std::string_view, 17> types = {"timestamp with time zone",
                                                    "timestamp without time zone",
                                                    "time with time zone",
                                                    "time without time zone",
                                                    "interval",
                                                    "date",
                                                    "time",
                                                    "timestamp",
                                                    "timestamptz",
                                                    "timetz",
                                                    "uuid",
                                                    "json",
                                                    "jsonb",
                                                    "inet",
                                                    "text",
                                                    "numeric",
                                                    "bytea"};

// Copies a normalised text without what only its author needs.
class Tidying {
public:
    Tidying(std::string_view text, Strings strings) : rest_(text), strings_(strings) {}

    // Empty where a constant stands that cannot be kept.
    std::string run() {
        while (!rest_.empty()) {
            if (rest_.starts_with("--")) {
                drop(rest_.find('\n'));
            } else if (rest_.starts_with("/*")) {
                drop_comment();
            } else if (rest_.front() == '"' || rest_.front() == '\'') {
                quoted(rest_.front());
            } else if (is_space(rest_.front())) {
                drop(1);
            } else {
                keep(1);
            }
        }
        return refused_ ? std::string{} : std::move(tidy_);
    }

private:
    static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

    // What is dropped parts words as a blank does.
    void drop(std::size_t size) {
        rest_.remove_prefix(std::min(size, rest_.size()));
        blank_ = !tidy_.empty();
    }
    void keep(std::size_t size) {
        if (blank_) tidy_ += ' ';
        blank_ = false;
        tidy_ += rest_.substr(0, size);
        rest_.remove_prefix(size);
    }
    void drop_comment() {
        int depth = 0;
        std::size_t at = 0;
        do {
            const std::string_view two = rest_.substr(at, 2);
            const int change = two == "/*" ? 1 : two == "*/" ? -1 : 0;
            depth += change;
            at += change == 0 ? 1 : 2;
        } while (depth > 0 && at < rest_.size());
        drop(at);
    }
    // A doubled quote ends one string and begins the next, which comes to the same.
    void quoted(char quote) {
        const std::size_t end = rest_.find(quote, 1);
        const std::size_t size = end == std::string_view::npos ? rest_.size() : end + 1;
        if (quote == '"') return keep(size);
        refused_ = refused_ || strings_ == Strings::refused;
        keep(0);
        tidy_ += '?';
        rest_.remove_prefix(size);
    }

    std::string_view rest_;
    Strings strings_;
    std::string tidy_;
    bool blank_ = false, refused_ = false;
};

// Puts parameters where the grammar takes them: `interval $1` becomes a cast, and `extract($1 FROM
// x)` the function behind it.
class Casting {
public:
    explicit Casting(std::string_view text) : rest_(text) {}

    std::string run() {
        while (!rest_.empty()) {
            const char next = rest_.front();
            const std::size_t quoted = next == '"' ? rest_.find('"', 1) : std::string_view::npos;
            if (quoted != std::string_view::npos) {
                take(quoted + 1);
            } else if (next == '$') {
                parameter();
            } else {
                take(1);
            }
        }
        return std::move(done_);
    }

private:
    static bool is_of_name(char c) {
        const char letter = static_cast<char>(c | 0x20);
        return (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
               c == '"' || c == '$' || static_cast<unsigned char>(c) >= 0x80;
    }
    static bool same(std::string_view text, std::string_view lower) {
        return std::equal(
            text.begin(), text.end(), lower.begin(), lower.end(), [](char one, char other) {
                const bool capital = one >= 'A' && one <= 'Z';
                return (capital ? static_cast<char>(one | 0x20) : one) == other;
            });
    }
    // A word of its own.
    bool ends_with(std::string_view word) const {
        if (done_.size() < word.size()) return false;
        const std::size_t begin = done_.size() - word.size();
        return same(std::string_view{done_}.substr(begin), word) &&
               (begin == 0 || !is_of_name(done_[begin - 1]));
    }
    void take(std::size_t size) {
        done_ += rest_.substr(0, size);
        rest_.remove_prefix(size);
    }
    void parameter() {
        std::size_t size = 1;
        while (size < rest_.size() && rest_[size] >= '0' && rest_[size] <= '9') ++size;
        const std::string number{rest_.substr(0, size)};
        constexpr std::string_view field = "extract(", from = " from ";
        if (ends_with(field) && same(rest_.substr(size, from.size()), from)) {
            done_.resize(done_.size() - field.size());
            done_ += "date_part(" + number + ", ";
            rest_.remove_prefix(size + from.size());
            return;
        }
        for (const std::string_view type : types) {
            if (!ends_with(std::string{type} + " ")) continue;
            done_.resize(done_.size() - type.size() - 1);
            done_ += "CAST(" + number + " AS " + std::string{type} + ")";
            rest_.remove_prefix(size);
            return;
        }
        take(size);
    }

    std::string_view rest_;
    std::string done_;
};

void cut(std::string& text) {
    if (text.size() <= redacted_size_max) return;
    std::size_t size = redacted_size_max;
    while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
    text.resize(size);
}

bool is_parseable(std::string_view statement) {
    return statement.size() <= statement_size_max && statement.find('\0') == std::string_view::npos;
}

std::string normalised(std::string_view statement, Strings strings) {
    if (!is_parseable(statement)) return {};
    const PgQueryNormalizeResult result = pg_query_normalize(std::string{statement}.c_str());
    std::string text;
    if (result.error == nullptr) text = Tidying{result.normalized_query, strings}.run();
    pg_query_free_normalize_result(result);
    return text;
}

}  // namespace

std::string redacted(std::string_view statement) {
    std::string text = normalised(statement, Strings::hidden);
    cut(text);
    return text;
}

std::string plannable(std::string_view statement) {
    std::string text = Casting{normalised(statement, Strings::refused)}.run();
    if (text.size() > plannable_size_max) text.clear();
    return text;
}

std::optional<std::uint64_t> fingerprint(std::string_view statement) {
    if (!is_parseable(statement)) return std::nullopt;
    const PgQueryFingerprintResult result = pg_query_fingerprint(std::string{statement}.c_str());
    std::optional<std::uint64_t> value;
    if (result.error == nullptr) value = result.fingerprint;
    pg_query_free_fingerprint_result(result);
    return value;
}

std::string without_strings(std::string_view line) {
    std::string shown;
    while (!line.empty()) {
        const char quote = line.front();
        std::size_t size = 1;
        if (quote == '"' || quote == '\'') {
            const std::size_t end = line.find(quote, 1);
            size = end == std::string_view::npos ? line.size() : end + 1;
        }
        // A doubled quote begins another string, which comes to the same.
        if (quote != '\'') {
            shown += line.substr(0, size);
        } else if (!shown.ends_with("'?'")) {
            shown += "'?'";
        }
        line.remove_prefix(size);
    }
    return shown;
}

}  // namespace segue::protocol::postgres
