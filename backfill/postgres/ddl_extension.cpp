#include "backfill/postgres/ddl_extension.hpp"

#include <vector>

#include "backfill/postgres/sql_scanner.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

Result<Rows> read_extension(Connection& follower, const std::string& name) {
    return follower.execute(
        "SELECT e.extversion, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid ="
        " e.extnamespace WHERE e.extname = $1",
        {name});
}

Result<std::string> dropped_remedy(Connection& follower, const DdlRecord& record) {
    constexpr std::string_view of_extension = "extension ";
    for (const std::string& object : record.objects) {
        if (!object.starts_with(of_extension)) continue;
        const std::string name = object.substr(of_extension.size());
        const auto there = read_extension(follower, unquoted_name(name));
        if (!there) return there.error();
        if (there->size() > 0) return "DROP EXTENSION " + name;
    }
    return std::string{};
}

}  // namespace

Result<std::string> extension_remedy(Connection& follower, const DdlRecord& record) {
    if (record.tag.starts_with("DROP ")) return dropped_remedy(follower, record);
    for (const std::string& entry : record.extensions) {
        const std::vector<std::string> fields = parse_text_array(entry);
        if (fields.size() != 3) return Error{Errc::bad_value, "segue.ddl: look is unreadable"};
        const std::string name = quote_identifier(fields[0]);
        const auto there = read_extension(follower, fields[0]);
        if (!there) return there.error();
        if (there->size() == 0) {
            return "CREATE EXTENSION " + name + " SCHEMA " + quote_identifier(fields[2]) +
                   " VERSION " + quote_literal(fields[1]);
        }
        if (there->at(0, 0) != fields[1])
            return "ALTER EXTENSION " + name + " UPDATE TO " + quote_literal(fields[1]);
        if (there->at(0, 1) != fields[2])
            return "ALTER EXTENSION " + name + " SET SCHEMA " + quote_identifier(fields[2]);
    }
    return std::string{};
}

}  // namespace segue::backfill::postgres
