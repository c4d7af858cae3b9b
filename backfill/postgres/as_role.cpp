#include "backfill/postgres/as_role.hpp"

namespace segue::backfill::postgres {

namespace {

// Built-in types have the same OID on every server (below FirstGenbkiObjectId).
constexpr std::uint32_t first_own_oid = 10000;

constexpr const char* role_settings_sql =
    "SELECT pg_catalog.split_part(c, '=', 1), pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1)"
    " FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) AS c"
    " WHERE setrole IN (0, pg_catalog.to_regrole(pg_catalog.quote_ident($1))::oid)"
    " AND setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database"
    "                         WHERE datname = pg_catalog.current_database()))"
    " ORDER BY setrole <> 0, setdatabase <> 0";

constexpr const char* type_names_sql =
    "SELECT pg_catalog.string_agg(CASE WHEN o = 0 THEN 'unknown'"
    " ELSE pg_catalog.format_type(o, NULL) END, ', ' ORDER BY n)"
    " FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY AS t(o, n)";

// The fence of a follower lets nobody but the mover make anything.
constexpr const char* as_mover_sql =
    "DO $$ BEGIN IF pg_catalog.to_regclass('segue.control') IS NOT NULL THEN"
    " PERFORM pg_catalog.set_config('segue.mover', migration_id, true) FROM segue.control;"
    " END IF; END $$";

}  // namespace

Result<bool> make_for_role(Connection& connection,
                           const std::string& role,
                           const std::string& name,
                           const std::string& definition,
                           Deadline deadline) {
    const auto execute = [&](const std::string& sql) {
        return execute_before(connection, sql, std::nullopt, deadline);
    };
    const auto super = execute("SELECT pg_catalog.current_setting('is_superuser')");
    if (!super) return super.error();
    const bool gives = super->at(0, 0) == "on";
    // Only a superuser gives a function away to a role that may not create it. Another one takes
    // the role first; who leaves it again then has no more than the rights of Segue's own. Event
    // triggers of others are to see neither a superuser nor somebody whom the fence lets through.
    std::vector<std::string> steps;
    steps.push_back("SET LOCAL session_replication_role = replica");
    steps.push_back(as_mover_sql);
    if (!gives) steps.push_back("SET LOCAL ROLE " + quote_identifier(role));
    steps.push_back(definition);
    if (gives)
        steps.push_back("ALTER FUNCTION pg_temp." + name + " OWNER TO " + quote_identifier(role));
    steps.push_back(as_nobody_sql);
    // The application's role could not put it back: the transaction's end does.
    if (gives) steps.push_back("SET LOCAL session_replication_role = origin");
    for (const std::string& step : steps) {
        if (const auto done = execute(step); !done) return done.error();
    }
    return gives;
}

Result<SettingValues> settings_of_role(Connection& connection,
                                       const std::string& role,
                                       Deadline deadline) {
    const auto rows = execute_before(connection, role_settings_sql, Parameters{role}, deadline);
    if (!rows) return rows.error();
    SettingValues settings;
    for (int row = 0; row < rows->size(); ++row)
        settings.emplace_back(rows->text(row, 0), rows->text(row, 1));
    return settings;
}

Result<std::string> prepare_sql(Connection& connection,
                                const std::string& name,
                                const std::vector<std::uint32_t>& parameter_types,
                                const std::string& statement,
                                Deadline deadline) {
    std::string types;
    if (!parameter_types.empty()) {
        std::string oids = "{";
        for (const std::uint32_t oid : parameter_types) {
            if (oids.size() > 1) oids += ',';
            oids += std::to_string(oid < first_own_oid ? oid : 0);
        }
        const auto names =
            execute_before(connection, type_names_sql, Parameters{oids + "}"}, deadline);
        if (!names) return names.error();
        types = " (" + names->text(0, 0) + ")";
    }
    return "PREPARE " + name + types + " AS " + statement;
}

}  // namespace segue::backfill::postgres
