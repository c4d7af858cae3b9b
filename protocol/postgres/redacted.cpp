#include "protocol/postgres/redacted.hpp"

#include <pg_query.h>

#include <algorithm>
#include <utility>

#include "protocol/postgres/classify.hpp"

namespace segue::protocol::postgres {

namespace {

// Copies a normalised text without what only its author needs.
class Tidying {
public:
    explicit Tidying(std::string_view text) : rest_(text) {}

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
        return std::move(tidy_);
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
        keep(0);
        tidy_ += '?';  // A constant in a place where no parameter can stand.
        rest_.remove_prefix(size);
    }

    std::string_view rest_;
    std::string tidy_;
    bool blank_ = false;
};

void cut(std::string& text) {
    if (text.size() <= redacted_size_max) return;
    std::size_t size = redacted_size_max;
    while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
    text.resize(size);
}

}  // namespace

std::string redacted(std::string_view statement) {
    const std::string terminated{statement};
    if (statement.size() > statement_size_max || terminated.find('\0') != std::string::npos)
        return {};
    const PgQueryNormalizeResult normalised = pg_query_normalize(terminated.c_str());
    std::string text;
    if (normalised.error == nullptr) text = Tidying{normalised.normalized_query}.run();
    pg_query_free_normalize_result(normalised);
    cut(text);
    return text;
}

}  // namespace segue::protocol::postgres
