#include "backfill/postgres/text_array.hpp"

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

}  // namespace segue::backfill::postgres
