#include "backfill/postgres/statement_plan.hpp"

#include <optional>

#include "backfill/postgres/as_role.hpp"
#include "backfill/postgres/text_array.hpp"
#include "protocol/postgres/classify.hpp"
#include "protocol/postgres/redacted.hpp"

namespace segue::backfill::postgres {

namespace {

// Settings that decide what a name means and which plan is chosen; of a session's others a plan
// does not depend, and another server may not know them.
constexpr const char* planner_settings =
    "^(search_path|enable_.*|.*_cost|work_mem|hash_mem_multiplier|effective_cache_size"
    "|.*_collapse_limit|constraint_exclusion|cursor_tuple_fraction|geqo.*|jit.*"
    "|max_parallel_workers_per_gather|min_parallel_.*|row_security)$";

// The settings are taken in there too: the role may set them, or it is not done.
std::string plan_function() {
    return std::string{R"sql(
CREATE FUNCTION pg_temp.segue_plan(names text[], vals text[], allowed text, prepare text)
RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER AS $body$
DECLARE
  line text;
  arguments text;
BEGIN)sql"} +
           take_settings_sql + R"sql(
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
}

constexpr const char* call_plan_function =
    "SELECT * FROM pg_temp.segue_plan($1::text[], $2::text[], $3, $4)";

Result<std::vector<std::string>> plan_lines(Connection& connection, const PlanQuestion& question) {
    const Deadline deadline = std::chrono::steady_clock::now() + plan_time_max;
    const auto execute = [&](const std::string& sql) {
        return execute_before(connection, sql, std::nullopt, deadline);
    };
    const auto begun =
        execute("BEGIN; SET LOCAL lock_timeout = " + std::to_string(plan_lock_wait_max.count()));
    if (!begun) return begun.error();
    // Where neither the role nor the session has set a path, the server's own tells what a name
    // means. None of our own names is looked up by it.
    const auto path = execute("SHOW search_path");
    if (!path) return path.error();
    if (const auto ours = execute("SET LOCAL search_path = pg_catalog"); !ours) return ours.error();
    const PlanContext& context = *question.context;
    const auto made =
        make_for_role(connection, context.role, "segue_plan", plan_function(), deadline);
    if (!made) return made.error();
    if (const auto reads = execute("SET LOCAL transaction_read_only = on"); !reads)
        return reads.error();
    auto settings = settings_of_role(connection, context.role, deadline);
    if (!settings) return settings.error();
    settings->insert(settings->end(), context.settings.begin(), context.settings.end());
    std::vector<std::string> names{"search_path"}, values{path->text(0, 0)};
    for (const auto& [name, value] : *settings) {
        names.push_back(name);
        values.push_back(value);
    }
    const auto prepare = prepare_sql(
        connection, "segue_plan", question.parameter_types, question.statement, deadline);
    if (!prepare) return prepare.error();
    const auto plan = execute_before(
        connection,
        call_plan_function,
        Parameters{text_array(names), text_array(values), planner_settings, *prepare},
        deadline);
    if (!plan) return plan.error();
    std::vector<std::string> lines;
    for (int row = 0; row < plan->size(); ++row)
        lines.push_back(protocol::postgres::without_strings(plan->at(row, 0)));
    if (const auto ended = execute("ROLLBACK"); !ended) return ended.error();
    return lines;
}

}  // namespace

Result<std::vector<std::string>> plan_of(Connection& connection, const PlanQuestion& question) {
    // One statement, which only reads: nothing else may stand behind PREPARE.
    if (protocol::postgres::classify(question.statement).kind !=
        protocol::postgres::StatementKind::read)
        return Error{Errc::refused, "its text without its values is not understood"};
    if (question.context->role.empty())
        return Error{Errc::refused, "it is not known as which role it was executed"};
    return plan_lines(connection, question);
}

}  // namespace segue::backfill::postgres
