#pragma once
// What tests of shifted reads say and expect on either side of a relay.

#include <string>
#include <string_view>

#include "protocol/postgres/messages_server.hpp"
#include "relay_rig.hpp"

namespace segue::proxy {

// Built by hand: a catalog with the table t and nothing that writes.
inline Result<backfill::postgres::LoadedCatalog> catalog_with_t(Side) {
    backfill::postgres::LoadedCatalog loaded;
    protocol::postgres::RelationFacts facts;
    facts.schema = "public";
    facts.table = true;
    loaded.catalog.relations["t"] = {facts};
    loaded.catalog.functions["writes"] = {};
    loaded.catalog.functions_change_session = false;
    return loaded;
}

inline std::string ours(std::string_view tag) {
    return message('3', "") + message('1', "") + message('2', "") + complete(tag) +
           message('3', "");
}
inline std::string wrapped(const std::string& answer, char status = 'T') {
    return ours("BEGIN") + ours("SELECT 1") + answer + ready(status) + ours("COMMIT") + ready('I');
}
inline std::string error(std::string_view code) {
    return protocol::postgres::encode_error_response({"ERROR", code, "x"});
}

inline const std::string read_t = query("SELECT * FROM t");
inline const std::string row = message('D', "\0\0"sv);
inline const std::string answer = row + complete("SELECT 1");

}  // namespace segue::proxy
