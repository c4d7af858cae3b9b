#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill::postgres {

namespace {

std::string plain(const std::string& migration) {
    std::string result;
    for (const char c : migration) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        result.push_back(letter ? c : '_');
    }
    return result;
}

}  // namespace

std::string slot_name(const std::string& migration, Side stream_of) {
    return "segue_" + plain(migration) + "_" + std::string{name(stream_of)};
}

std::string publication_name(const std::string& migration) { return "segue_" + plain(migration); }

std::vector<std::string> new_table_publication_names(const std::string& migration) {
    std::vector<std::string> names;
    for (int i = 1; i <= new_table_publications; ++i)
        names.push_back(publication_name(migration) + "_new_" + std::to_string(i));
    return names;
}

std::vector<std::string> publication_names(const std::string& migration) {
    std::vector<std::string> names = new_table_publication_names(migration);
    names.insert(names.begin(), publication_name(migration));
    return names;
}

}  // namespace segue::backfill::postgres
