#include "backfill/event_log.hpp"

#include <map>
#include <optional>
#include <utility>

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill {

namespace {

// $1: the kind. $2: how many are kept, of those that have changed the authority, or ended the move,
// and of the others. $3: how many may go at once.
constexpr const char* delete_old =
    "WITH told AS NOT MATERIALIZED (SELECT id, detail ~"
    " '^((cutover|rollback|finish)(,.*)?: done|a change of authority was)' AS lasts"
    " FROM segue.event WHERE kind = $1)"
    " DELETE FROM segue.event WHERE id IN (SELECT old.id FROM (VALUES (true), (false)) of (lasts)"
    " CROSS JOIN LATERAL (SELECT id FROM told WHERE told.lasts = of.lasts AND id < (SELECT id FROM"
    " told WHERE told.lasts = of.lasts ORDER BY id DESC OFFSET $2::bigint - 1 LIMIT 1)"
    " ORDER BY id LIMIT $3::bigint) old)";

// Whoever writes these has no time to look.
constexpr const char* others_kinds[] = {"fence", "schema"};
// Of an earlier build: short, for whoever writes an event then waits for it, the fence among them.
constexpr const char* index_waits = "SET LOCAL lock_timeout = '100ms'; ";

class PostgresEventLog : public EventLog {
public:
    PostgresEventLog(std::string source_url, std::string target_url)
        : urls_{std::move(source_url), std::move(target_url)} {}

    Status append(Side side, const std::string& kind, const std::string& detail) override {
        auto connection = connected(side);
        if (!connection) return connection.error();
        auto inserted = (*connection)
                            ->execute("INSERT INTO segue.event (kind, detail) VALUES ($1, $2)",
                                      postgres::Parameters{kind, detail});
        if (!inserted) return inserted.error();
        if (appended_[index(side)][kind]++ % events_between_looks == 0)
            forget_old(**connection, kind);
        return Done{};
    }

    Result<std::vector<Event>> last(Side side, std::size_t count) override {
        auto connection = connected(side);
        if (!connection) return connection.error();
        const auto there = (*connection)->execute("SELECT to_regclass('segue.event') IS NOT NULL");
        if (!there) return there.error();
        if (!there->truth(0, 0)) return std::vector<Event>{};
        const auto rows =
            (*connection)
                ->execute(
                    "SELECT (extract(epoch FROM at) * 1000000)::bigint, kind, detail FROM"
                    " (SELECT * FROM segue.event ORDER BY id DESC LIMIT $1::bigint) newest"
                    " ORDER BY id",
                    postgres::Parameters{std::to_string(count)});
        if (!rows) return rows.error();
        std::vector<Event> events;
        for (int row = 0; row < rows->size(); ++row) {
            const std::chrono::microseconds at{rows->number(row, 0)};
            events.push_back({std::chrono::system_clock::time_point{at},
                              rows->text(row, 1),
                              rows->text(row, 2)});
        }
        return events;
    }

private:
    // What fails is tried again, with one of the next events.
    static void forget_old(postgres::Connection& connection, const std::string& kind) {
        const auto indexed =
            connection.execute("SELECT to_regclass('segue.event_of_kind') IS NOT NULL");
        if (indexed && !indexed->truth(0, 0)) {
            (void)connection.execute(std::string{index_waits} + postgres::mover_for_now_sql +
                                     postgres::event_index_ddl);
        }
        const auto forget = [&](const std::string& which) {
            (void)connection.execute(
                delete_old,
                postgres::Parameters{
                    which, std::to_string(events_kept_max), std::to_string(events_deleted_max)});
        };
        forget(kind);
        for (const char* others : others_kinds) forget(others);
    }

    Result<postgres::Connection*> connected(Side side) {
        auto& connection = connections_[index(side)];
        if (connection && connection->good()) return &*connection;
        postgres::Connection::Options options;
        options.application_name = "segue events";
        // Nobody waits for a disk because of an account of what happened.
        options.settings = {{"synchronous_commit", "off"}, {"statement_timeout", "5s"}};
        options.connect_timeout = std::chrono::seconds{3};
        auto opened = postgres::Connection::open(urls_[index(side)], options);
        if (!opened) return opened.error();
        connection.emplace(std::move(*opened));
        return &*connection;
    }

    std::string urls_[2];
    std::optional<postgres::Connection> connections_[2];
    std::map<std::string, std::size_t> appended_[2];  // By kind, of which there are few.
};

}  // namespace

std::unique_ptr<EventLog> make_postgres_event_log(std::string source_url, std::string target_url) {
    return std::make_unique<PostgresEventLog>(std::move(source_url), std::move(target_url));
}

}  // namespace segue::backfill
