#include "backfill/postgres/statement_plan.hpp"

#include <optional>

#include "backfill/postgres/link.hpp"
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

constexpr const char* set_planner_setting =
    "SELECT pg_catalog.set_config(name, $2, true) FROM pg_catalog.pg_settings"
    " WHERE name = $1 AND name ~ $3";
constexpr const char* set_custom_setting = "SELECT pg_catalog.set_config($1, $2, true)";

constexpr const char* type_names =
    "SELECT pg_catalog.string_agg(CASE WHEN o = 0 THEN 'unknown'"
    " ELSE pg_catalog.format_type(o, NULL) END, ', ' ORDER BY n)"
    " FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY AS t(o, n)";

constexpr const char* parameter_count =
    "SELECT pg_catalog.cardinality(parameter_types) FROM pg_catalog.pg_prepared_statements"
    " WHERE name = 'segue_plan'";

class Planning {
public:
    Planning(Connection& connection, const PlanQuestion& question)
        : connection_(connection), question_(question) {}

    Result<std::vector<std::string>> run() {
        execute("BEGIN TRANSACTION READ ONLY");
        execute("SET LOCAL lock_timeout = " + std::to_string(plan_lock_wait_max.count()));
        take_settings();
        // Whatever its values: ours are NULL.
        execute("SET LOCAL plan_cache_mode = force_generic_plan");
        if (!question_.context->role.empty())
            execute("SET LOCAL ROLE " + quote_identifier(question_.context->role));
        prepare();
        std::vector<std::string> lines = explain();
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

    void set(const std::string& name, const std::string& value) {
        if (name.find('.') != std::string::npos) {
            execute(set_custom_setting, Parameters{name, value});
        } else {
            execute(set_planner_setting, Parameters{name, value, planner_settings});
        }
    }

    void take_settings() {
        const auto of_role = execute(settings_of_role, Parameters{question_.context->role});
        for (int row = 0; of_role && row < of_role->size(); ++row)
            set(of_role->text(row, 0), of_role->text(row, 1));
        for (const auto& [name, value] : question_.context->settings) set(name, value);
    }

    void prepare() {
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
        execute("PREPARE segue_plan" + types + " AS " + question_.statement);
    }

    std::vector<std::string> explain() {
        std::vector<std::string> lines;
        const auto count = execute(parameter_count);
        if (!count) return lines;
        std::string values;
        for (long long i = 0; i < count->number(0, 0); ++i) values += i == 0 ? "NULL" : ", NULL";
        if (!values.empty()) values = " (" + values + ")";
        const auto plan = execute("EXPLAIN EXECUTE segue_plan" + values);
        for (int row = 0; plan && row < plan->size(); ++row)
            lines.push_back(protocol::postgres::without_strings(plan->at(row, 0)));
        return lines;
    }

    Connection& connection_;
    const PlanQuestion& question_;
    Deadline deadline_ = std::chrono::steady_clock::now() + plan_time_max;
    std::optional<Error> failure_;
};

}  // namespace

Result<std::vector<std::string>> plan_of(Connection& connection, const PlanQuestion& question) {
    // One statement, which only reads: nothing else may stand behind PREPARE.
    if (protocol::postgres::classify(question.statement).kind !=
        protocol::postgres::StatementKind::read)
        return Error{Errc::refused, "its text without its values is not understood"};
    return Planning{connection, question}.run();
}

}  // namespace segue::backfill::postgres
