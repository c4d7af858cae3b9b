#include "backfill/postgres/ddl_kinds.hpp"

#include <algorithm>

#include "backfill/postgres/ddl_code.hpp"
#include "backfill/postgres/ddl_text.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

Status refuse_other_types(Connection& follower, const DdlRecord& record, TypesNamed when) {
    const auto others = follower.execute(
        "SELECT FROM unnest($1::text[]) AS o(object) LEFT JOIN pg_type t ON t.oid = CASE WHEN"
        " o.object LIKE 'type %' THEN to_regtype(substr(o.object, 6)) END WHERE t.typtype <> 'e' OR"
        " t.oid IS NULL AND $2",
        {text_array(record.objects), when == TypesNamed::after ? "true" : "false"});
    if (!others) return others.error();
    if (others->size() == 0) return Done{};
    return Error{Errc::refused, "of the types only enums are changed there"};
}

Status may_be_carried(Connection& follower, const DdlRecord& record) {
    if (!is_carried_tag(record.tag))
        return Error{Errc::refused, "it is not one of the commands that are carried"};
    if (record.tag.ends_with(" FUNCTION") || record.tag.ends_with(" PROCEDURE"))
        return record.tag.starts_with("DROP ") ? Done{} : refuse_functions(follower);
    return record.tag == "ALTER TYPE" ? refuse_other_types(follower, record, TypesNamed::before)
                                      : Status{Done{}};
}

Status may_run(Connection& follower, const DdlRecord& record) {
    const auto role = follower.execute("SELECT FROM pg_roles WHERE rolname = $1", {record.role});
    if (!role) return role.error();
    if (role->size() == 0)
        return Error{Errc::refused, "role " + record.role + " does not exist there"};
    const auto strings =
        std::find(record.settings.begin(), record.settings.end(), "standard_conforming_strings");
    if (strings != record.settings.end() && *(strings + 1) == "off")
        return Error{Errc::refused, "its session has standard_conforming_strings off"};
    return Done{};
}

}  // namespace segue::backfill::postgres
