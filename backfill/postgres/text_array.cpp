#include "backfill/postgres/text_array.hpp"

#include <utility>

namespace segue::backfill::postgres {

std::string text_array(const std::vector<std::string>& elements) {
    std::string text{'{'};
    for (const std::string& element : elements) {
        if (text.size() > 1) text.push_back(',');
        text.push_back('"');
        for (const char c : element) {
            if (c == '"' || c == '\\') text.push_back('\\');
            text.push_back(c);
        }
        text.push_back('"');
    }
    text.push_back('}');
    return text;
}

std::vector<std::string> parse_text_array(std::string_view text) {
    std::vector<std::string> elements;
    if (text.size() < 2 || text == "{}") return elements;
    std::string element;
    bool quoted = false;
    for (std::size_t i = 1; i < text.size(); ++i) {
        const char c = text[i];
        const bool last = i + 1 == text.size();
        if (c == '\\' && !last) {
            element.push_back(text[++i]);
        } else if (c == '"') {
            quoted = !quoted;
        } else if (!quoted && (c == ',' || last)) {
            elements.push_back(std::exchange(element, {}));
        } else {
            element.push_back(c);
        }
    }
    return elements;
}

std::vector<std::optional<std::string>> parse_text_record(std::string_view text) {
    std::vector<std::optional<std::string>> fields;
    std::optional<std::string> field;
    bool quoted = false;
    for (std::size_t i = 1; i < text.size(); ++i) {
        const char c = text[i];
        const bool last = i + 1 == text.size();
        if (!quoted && (c == ',' || last)) {
            fields.push_back(std::exchange(field, std::nullopt));
            continue;
        }
        if (!field) field.emplace();
        // Doubled, they are themselves; a quote alone begins or ends what is quoted.
        const bool doubled = quoted && (c == '"' || c == '\\') && text[i + 1] == c;
        if (doubled) ++i;
        if (c == '"' && !doubled)
            quoted = !quoted;
        else
            field->push_back(c);
    }
    return fields;
}

}  // namespace segue::backfill::postgres
