#include "backfill/plan_store.hpp"

#include <utility>

#include "backfill/postgres/bounded_query.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill {

namespace {

constexpr const char* as_mover =
    "SELECT set_config('segue.mover', migration_id, false) FROM segue.control";
constexpr const char* as_nobody = "SELECT set_config('segue.mover', '', false)";
// Apart from the rest of the schema: only migrations that are driven by a plan have it.
constexpr std::chrono::seconds answer_max{8};
// Rows: none without the table; then whether it has the newest column.
constexpr const char* table_query =
    "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = found AND attname = 'writer')"
    " FROM to_regclass('segue.autopilot') found WHERE found IS NOT NULL";
// `finish` writes its tombstone before it drops the table. Whoever sees no tombstone here keeps it
// from being written until the table is there, which is then dropped; who is later makes none.
constexpr const char* table_ddl =
    "DO $$ BEGIN PERFORM FROM segue.control WHERE phase <> 'finished' FOR SHARE;"
    " IF NOT FOUND THEN RETURN; END IF;"
    " CREATE TABLE IF NOT EXISTS segue.autopilot ("
    " only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),"
    " revision bigint NOT NULL, plan text NOT NULL, state text NOT NULL,"
    " changed_at timestamptz NOT NULL DEFAULT now(), writer text NOT NULL DEFAULT ''); END $$";
// An earlier build has made it.
constexpr const char* column_ddl =
    "ALTER TABLE IF EXISTS segue.autopilot ADD COLUMN IF NOT EXISTS writer text NOT NULL DEFAULT "
    "''";
constexpr const char* undefined_table = "42P01";

Error finished(Side side) {
    return {Errc::closed,
            "the migration is finished, and the " + std::string{name(side)} +
                " keeps no plan any more"};
}

class PostgresPlanStore : public PlanStore {
public:
    PostgresPlanStore(std::string source_url, std::string target_url)
        : urls_{std::move(source_url), std::move(target_url)} {}

    Result<std::optional<StoredPlan>> read(Side side) override {
        const auto there = run(side, table_query);
        if (!there) return there.error();
        seen_[index(side)] = 0;
        if (there->size() == 0) return std::optional<StoredPlan>{};
        const std::string writer = there->truth(0, 0) ? "writer" : "''";
        const auto rows =
            run(side, "SELECT revision, plan, state, " + writer + " FROM segue.autopilot");
        if (!rows) return rows.error();
        if (rows->size() == 0) return std::optional<StoredPlan>{};
        StoredPlan plan{static_cast<std::uint64_t>(rows->number(0, 0)),
                        rows->text(0, 1),
                        rows->text(0, 2),
                        rows->text(0, 3)};
        seen_[index(side)] = plan.revision;
        return std::optional{std::move(plan)};
    }

    Status write(Side side, const StoredPlan& plan) override {
        if (const Status made = make_table(side); !made) return made;
        const auto written = run(
            side,
            "INSERT INTO segue.autopilot AS was (revision, plan, state, writer)"
            " VALUES ($1::bigint, $2, $3, $4) ON CONFLICT (only_row) DO UPDATE"
            " SET revision = excluded.revision, plan = excluded.plan, state = excluded.state,"
            " writer = excluded.writer, changed_at = now()"
            " WHERE was.writer = excluded.writer OR was.revision = $5::bigint RETURNING revision",
            {std::to_string(plan.revision),
             plan.plan,
             plan.state,
             plan.writer,
             std::to_string(seen_[index(side)])});
        if (!written && written.error().sqlstate == undefined_table) return finished(side);
        if (!written) return written.error();
        if (written->size() == 0) {
            return Error{Errc::refused,
                         "another Segue has written a plan to the " + std::string{name(side)}};
        }
        seen_[index(side)] = plan.revision;
        return Done{};
    }

private:
    Status make_table(Side side) {
        const auto there = run(side, table_query);
        if (!there) return there.error();
        if (there->size() > 0 && there->truth(0, 0)) return Done{};
        // The fence keeps everybody but the mover from making tables.
        Status made = Done{};
        for (const char* sql : {as_mover, table_ddl, column_ddl, postgres::keep_to_ourselves_sql}) {
            const auto done = run(side, sql);
            if (done) continue;
            made = done.error();
            break;
        }
        const auto over = run(side, as_nobody);
        return made && !over ? Status{over.error()} : made;
    }

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
        options.settings = {
            {"statement_timeout", "5s"}, {"lock_timeout", "2s"}, {"synchronous_commit", "on"}};
        options.connect_timeout = std::chrono::seconds{3};
        auto opened = postgres::Connection::open(urls_[index(side)], options);
        if (!opened) return opened.error();
        connection.emplace(std::move(*opened));
        return Done{};
    }

    std::string urls_[2];
    std::optional<postgres::Connection> connections_[2];
    std::uint64_t seen_[2] = {0, 0};  // The revisions there, as far as this store knows.
};

}  // namespace

std::unique_ptr<PlanStore> make_postgres_plan_store(std::string source_url,
                                                    std::string target_url) {
    return std::make_unique<PostgresPlanStore>(std::move(source_url), std::move(target_url));
}

}  // namespace segue::backfill
