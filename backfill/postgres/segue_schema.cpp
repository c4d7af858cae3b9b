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

}  // namespace segue::backfill::postgres
