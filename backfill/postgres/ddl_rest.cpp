#include "backfill/postgres/ddl_rest.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

Result<bool> may_change_the_rest(Connection& follower, const DdlRecord& record) {
    if (!record.tag.starts_with("CREATE ")) return true;
    if (record.tag != "CREATE TRIGGER") return false;  // Nothing else is replaced by its creation.
    const auto there = follower.execute(
        "SELECT FROM pg_trigger t, pg_identify_object('pg_trigger'::regclass, t.oid, 0) i WHERE NOT"
        " t.tgisinternal AND 'trigger ' || i.identity = ANY ($1::text[]) LIMIT 1",
        {text_array(record.objects)});
    if (!there) return there.error();
    return there->size() == 1;
}

bool is_left_to_the_rest(const Error& error) {
    constexpr std::array<std::string_view, 5> states = {
        "42704", "42P01", "3F000", "42710", "42P07"};
    return std::find(states.begin(), states.end(), error.sqlstate) != states.end();
}

}  // namespace segue::backfill::postgres
