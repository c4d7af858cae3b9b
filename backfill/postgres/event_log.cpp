#include "backfill/event_log.hpp"

#include <optional>
#include <utility>

#include "backfill/postgres/connection.hpp"

namespace segue::backfill {

namespace {

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
};

}  // namespace

std::unique_ptr<EventLog> make_postgres_event_log(std::string source_url, std::string target_url) {
    return std::make_unique<PostgresEventLog>(std::move(source_url), std::move(target_url));
}

}  // namespace segue::backfill
