#include "backfill/plan_store.hpp"

#include <utility>

#include "backfill/postgres/bounded_query.hpp"
#include "backfill/postgres/connection.hpp"

namespace segue::backfill {

namespace {

constexpr const char* as_mover =
    "SELECT set_config('segue.mover', migration_id, false) FROM segue.control";
constexpr const char* as_nobody = "SELECT set_config('segue.mover', '', false)";
// Apart from the rest of the schema: only migrations that are driven by a plan have it.
constexpr std::chrono::seconds answer_max{8};
constexpr const char* table_query = "SELECT to_regclass('segue.autopilot') IS NOT NULL";
constexpr const char* table_ddl =
    "CREATE TABLE IF NOT EXISTS segue.autopilot ("
    " only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),"
    " revision bigint NOT NULL, plan text NOT NULL, state text NOT NULL,"
    " changed_at timestamptz NOT NULL DEFAULT now())";

class PostgresPlanStore : public PlanStore {
public:
    PostgresPlanStore(std::string source_url, std::string target_url)
        : urls_{std::move(source_url), std::move(target_url)} {}

    Result<std::optional<StoredPlan>> read(Side side) override {
        const auto there = run(side, table_query);
        if (!there) return there.error();
        if (!there->truth(0, 0)) return std::optional<StoredPlan>{};
        const auto rows = run(side, "SELECT revision, plan, state FROM segue.autopilot");
        if (!rows) return rows.error();
        if (rows->size() == 0) return std::optional<StoredPlan>{};
        return std::optional{StoredPlan{
            static_cast<std::uint64_t>(rows->number(0, 0)), rows->text(0, 1), rows->text(0, 2)}};
    }

    Status write(Side side, const StoredPlan& plan) override {
        const auto there = run(side, table_query);
        if (!there) return there.error();
        if (!there->truth(0, 0)) {
            // The fence keeps everybody but the mover from making tables.
            for (const char* sql : {as_mover, table_ddl, as_nobody}) {
                if (const auto made = run(side, sql); !made) return made.error();
            }
        }
        const auto written =
            run(side,
                "INSERT INTO segue.autopilot (revision, plan, state) VALUES ($1::bigint, $2, $3)"
                " ON CONFLICT (only_row) DO UPDATE SET revision = excluded.revision,"
                " plan = excluded.plan, state = excluded.state, changed_at = now()"
                " WHERE autopilot.revision < excluded.revision RETURNING revision",
                {std::to_string(plan.revision), plan.plan, plan.state});
        if (!written) return written.error();
        if (written->size() > 0) return Done{};
        return Error{Errc::refused,
                     "another Segue has written a plan to the " + std::string{name(side)}};
    }

private:
    Result<postgres::Rows> run(Side side,
                               const std::string& sql,
                               const postgres::Parameters& parameters = {}) {
        if (const Status there = connect(side); !there) return there.error();
        auto& connection = connections_[index(side)];
        auto rows = postgres::execute_within(*connection, answer_max, sql, parameters);
        if (!rows && rows.error().code == Errc::closed) connection.reset();
        return rows;
    }

    Status connect(Side side) {
        auto& connection = connections_[index(side)];
        if (connection && connection->good()) return Done{};
        postgres::Connection::Options options;
        options.application_name = "segue auto";
        options.settings = {{"statement_timeout", "5s"}, {"lock_timeout", "2s"}};
        options.connect_timeout = std::chrono::seconds{3};
        auto opened = postgres::Connection::open(urls_[index(side)], options);
        if (!opened) return opened.error();
        connection.emplace(std::move(*opened));
        return Done{};
    }

    std::string urls_[2];
    std::optional<postgres::Connection> connections_[2];
};

}  // namespace

std::unique_ptr<PlanStore> make_postgres_plan_store(std::string source_url,
                                                    std::string target_url) {
    return std::make_unique<PostgresPlanStore>(std::move(source_url), std::move(target_url));
}

}  // namespace segue::backfill
