#include "backfill/postgres/statement_plan.hpp"

#include <optional>

#include "backfill/postgres/link.hpp"
#include "backfill/postgres/text_array.hpp"
#include "protocol/postgres/classify.hpp"
#include "protocol/postgres/redacted.hpp"

namespace segue::backfill::postgres {

namespace {

// Built-in types have the same OID on every server (below FirstGenbkiObjectId).
constexpr std::uint32_t first_own_oid = 10000;

// Settings that decide what a name means and which plan is chosen; of a session's others a plan
// does not depend, and another server may not know them.
constexpr const char* planner_settings =
    "^(search_path|enable_.*|.*_cost|work_mem|hash_mem_multiplier|effective_cache_size"
    "|.*_collapse_limit|constraint_exclusion|cursor_tuple_fraction|geqo.*|jit.*"
    "|max_parallel_workers_per_gather|min_parallel_.*|row_security)$";

// What a login of the role would have in force, the most particular last.
constexpr const char* settings_of_role =
    "SELECT pg_catalog.split_part(c, '=', 1), pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1)"
    " FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) AS c"
    " WHERE setrole IN (0, pg_catalog.to_regrole(pg_catalog.quote_ident($1))::oid)"
    " AND setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database"
    "                         WHERE datname = pg_catalog.current_database()))"
    " ORDER BY setrole <> 0, setdatabase <> 0";

constexpr const char* type_names =
    "SELECT pg_catalog.string_agg(CASE WHEN o = 0 THEN 'unknown'"
    " ELSE pg_catalog.format_type(o, NULL) END, ', ' ORDER BY n)"
    " FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY AS t(o, n)";

// Runs with the rights of its owner, the application's role: in there the server lets nobody take
// another role, as any function that the statement plans could after SET ROLE. The settings are
// taken in there too: the role may set them, or it is not done.
constexpr const char* plan_function = R"sql(
CREATE FUNCTION pg_temp.segue_plan(names text[], vals text[], planner text, prepare text)
RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER AS $body$
DECLARE
  line text;
  arguments text;
BEGIN
  FOR i IN 1 .. pg_catalog.cardinality(names) LOOP
    IF pg_catalog.strpos(names[i], '.') > 0 THEN
      PERFORM pg_catalog.set_config(names[i], vals[i], true);
    ELSE
      PERFORM pg_catalog.set_config(s.name, vals[i], true) FROM pg_catalog.pg_settings s
        WHERE s.name = names[i] AND s.name ~ planner;
    END IF;
  END LOOP;
  -- Whatever its values: ours are NULL.
  SET LOCAL plan_cache_mode = force_generic_plan;
  EXECUTE prepare;
  SELECT pg_catalog.array_to_string(
      pg_catalog.array_fill('NULL'::text, ARRAY[pg_catalog.cardinality(p.parameter_types)]), ', ')
    INTO arguments FROM pg_catalog.pg_prepared_statements p WHERE p.name = 'segue_plan';
  FOR line IN EXECUTE 'EXPLAIN EXECUTE segue_plan' || CASE arguments WHEN '' THEN '' ELSE ' (' || arguments || ')' END LOOP
    RETURN NEXT line;
  END LOOP;
END $body$)sql";
// The fence of a follower lets nobody but the mover make anything.
constexpr const char* as_mover =
    "DO $$ BEGIN IF pg_catalog.to_regclass('segue.control') IS NOT NULL THEN"
    " PERFORM pg_catalog.set_config('segue.mover', migration_id, true) FROM segue.control;"
    " END IF; END $$";
constexpr const char* as_nobody = "SELECT pg_catalog.set_config('segue.mover', '', true)";
constexpr const char* call_plan_function =
    "SELECT * FROM pg_temp.segue_plan($1::text[], $2::text[], $3, $4)";

class Planning {
public:
    Planning(Connection& connection, const PlanQuestion& question)
        : connection_(connection), question_(question) {}

    Result<std::vector<std::string>> run() {
        execute("BEGIN");
        execute("SET LOCAL lock_timeout = " + std::to_string(plan_lock_wait_max.count()));
        make_function();
        execute("SET LOCAL transaction_read_only = on");
        find_settings();
        const std::string prepare = prepare_text();
        const auto plan =
            execute(call_plan_function,
                    Parameters{text_array(names_), text_array(values_), planner_settings, prepare});
        std::vector<std::string> lines;
        for (int row = 0; plan && row < plan->size(); ++row)
            lines.push_back(protocol::postgres::without_strings(plan->at(row, 0)));
        if (failure_) return *failure_;
        execute("ROLLBACK");
        return lines;
    }

private:
    // Nothing more is asked after an error.
    std::optional<Rows> execute(const std::string& sql,
                                const std::optional<Parameters>& parameters = std::nullopt) {
        if (failure_) return std::nullopt;
        auto rows = execute_before(connection_, sql, parameters, deadline_);
        if (rows) return std::move(*rows);
        failure_ = rows.error();
        return std::nullopt;
    }

    // Only a superuser gives a function away to a role that may not create it. Another one takes
    // the role first; who leaves it again then has no more than the rights of Segue's own.
    void make_function() {
        const std::string role = quote_identifier(question_.context->role);
        const auto super = execute("SELECT pg_catalog.current_setting('is_superuser')");
        if (!super) return;
        const bool gives = super->at(0, 0) == "on";
        execute(as_mover);
        if (!gives) execute("SET LOCAL ROLE " + role);
        execute(plan_function);
        if (gives) execute("ALTER FUNCTION pg_temp.segue_plan OWNER TO " + role);
        execute(as_nobody);
    }

    void find_settings() {
        const auto of_role = execute(settings_of_role, Parameters{question_.context->role});
        for (int row = 0; of_role && row < of_role->size(); ++row) {
            names_.push_back(of_role->text(row, 0));
            values_.push_back(of_role->text(row, 1));
        }
        for (const auto& [name, value] : question_.context->settings) {
            names_.push_back(name);
            values_.push_back(value);
        }
    }

    std::string prepare_text() {
        std::string types;
        if (!question_.parameter_types.empty()) {
            std::string oids = "{";
            for (const std::uint32_t oid : question_.parameter_types) {
                if (oids.size() > 1) oids += ',';
                oids += std::to_string(oid < first_own_oid ? oid : 0);
            }
            const auto names = execute(type_names, Parameters{oids + "}"});
            if (names) types = " (" + names->text(0, 0) + ")";
        }
        return "PREPARE segue_plan" + types + " AS " + question_.statement;
    }

    Connection& connection_;
    const PlanQuestion& question_;
    std::vector<std::string> names_, values_;  // Of settings.
    Deadline deadline_ = std::chrono::steady_clock::now() + plan_time_max;
    std::optional<Error> failure_;
};

}  // namespace

Result<std::vector<std::string>> plan_of(Connection& connection, const PlanQuestion& question) {
    // One statement, which only reads: nothing else may stand behind PREPARE.
    if (protocol::postgres::classify(question.statement).kind !=
        protocol::postgres::StatementKind::read)
        return Error{Errc::refused, "its text without its values is not understood"};
    if (question.context->role.empty())
        return Error{Errc::refused, "it is not known as which role it was executed"};
    return Planning{connection, question}.run();
}

}  // namespace segue::backfill::postgres
