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
        auto& connection = connections_[index(side)];
        if (!connection || !connection->good()) {
            postgres::Connection::Options options;
            options.application_name = "segue events";
            // Nobody waits for a disk because of an account of what happened.
            options.settings = {{"synchronous_commit", "off"}, {"statement_timeout", "5s"}};
            options.connect_timeout = std::chrono::seconds{3};
            auto opened = postgres::Connection::open(urls_[index(side)], options);
            if (!opened) return opened.error();
            connection.emplace(std::move(*opened));
        }
        auto inserted =
            connection->execute("INSERT INTO segue.event (kind, detail) VALUES ($1, $2)",
                                postgres::Parameters{kind, detail});
        if (!inserted) return inserted.error();
        return Done{};
    }

private:
    std::string urls_[2];
    std::optional<postgres::Connection> connections_[2];
};

}  // namespace

std::unique_ptr<EventLog> make_postgres_event_log(std::string source_url, std::string target_url) {
    return std::make_unique<PostgresEventLog>(std::move(source_url), std::move(target_url));
}

}  // namespace segue::backfill
