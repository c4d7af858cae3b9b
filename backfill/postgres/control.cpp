#include "backfill/postgres/control.hpp"

#include <charconv>
#include <optional>
#include <utility>

#include "backfill/postgres/glance.hpp"
#include "backfill/postgres/link.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr const char* undefined_table = "42P01";
constexpr const char* invalid_schema_name = "3F000";
constexpr const char* undefined_column = "42703";
constexpr const char* unique_violation = "23505";

// An answer that takes longer is counted as lost. Longer than any statement of ours waits for a
// lock.
constexpr std::chrono::seconds answer_time_max{15};

constexpr const char* columns =
    "migration, migration_id, side, epoch, authority, phase, attempt, since, backfill, paused, "
    "mirror,"
    " shadow_percent, shift_percent, system_identifier, timeline, shift_scope, sync_given_up";

// A migration that an earlier build has started. A fenced side lets nobody but the mover do it.
constexpr const char* as_mover =
    "SELECT set_config('segue.mover', migration_id, false) FROM segue.control";
constexpr const char* add_columns =
    "ALTER TABLE segue.control ADD COLUMN IF NOT EXISTS shift_scope text NOT NULL DEFAULT '',"
    " ADD COLUMN IF NOT EXISTS sync_given_up text NOT NULL DEFAULT ''";
constexpr const char* as_nobody = "SELECT set_config('segue.mover', '', false)";

std::optional<Side> parse_side(std::string_view text) {
    for (const Side side : {Side::source, Side::target}) {
        if (text == name(side)) return side;
    }
    return std::nullopt;
}

template <class Enumeration>
std::optional<Enumeration> parse_name(std::string_view text, int count) {
    for (int value = 0; value < count; ++value) {
        if (text == router::name(static_cast<Enumeration>(value))) {
            return static_cast<Enumeration>(value);
        }
    }
    return std::nullopt;
}

std::string decimal(double value) {
    char buffer[40];
    const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
    return error == std::errc{} ? std::string{buffer, end} : "0";
}

double parse_decimal(std::string_view text) {
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

Parameters parameters_of(const ControlRecord& record) {
    return {record.migration,
            record.migration_id,
            std::string{name(record.side)},
            std::to_string(record.epoch),
            std::string{name(record.authority)},
            std::string{router::name(record.phase)},
            std::to_string(record.attempt),
            format_lsn(record.since),
            std::string{router::name(record.backfill)},
            record.knobs.paused ? "t" : "f",
            std::string{router::name(record.knobs.mirror)},
            decimal(record.knobs.shadow_percent),
            decimal(record.knobs.shift_percent),
            record.system_identifier,
            std::to_string(record.timeline),
            router::encode(record.knobs.shift_scope),
            record.knobs.sync_given_up};
}

Result<std::optional<ControlRecord>> record_of(const Rows& rows) {
    if (rows.size() == 0) return std::optional<ControlRecord>{};
    ControlRecord record;
    record.migration = rows.text(0, 0);
    record.migration_id = rows.text(0, 1);
    const auto side = parse_side(rows.at(0, 2));
    record.epoch = static_cast<std::uint64_t>(rows.number(0, 3));
    const auto authority = parse_side(rows.at(0, 4));
    const auto phase = parse_name<router::Phase>(rows.at(0, 5), 4);
    record.attempt = static_cast<std::uint32_t>(rows.number(0, 6));
    const auto since = parse_lsn(rows.at(0, 7));
    const auto backfill = parse_name<router::Backfill>(rows.at(0, 8), 3);
    record.knobs.paused = rows.truth(0, 9);
    const auto mirror = parse_name<router::Mirror>(rows.at(0, 10), 3);
    record.knobs.shadow_percent = parse_decimal(rows.at(0, 11));
    record.knobs.shift_percent = parse_decimal(rows.at(0, 12));
    record.system_identifier = rows.text(0, 13);
    record.timeline = static_cast<std::uint32_t>(rows.number(0, 14));
    const auto scope = router::decode_shift_scope(rows.at(0, 15));
    if (!side || !authority || !phase || !since || !backfill || !mirror) {
        return Error{Errc::bad_value,
                     "table segue.control holds a value that this version does not know"};
    }
    record.side = *side;
    record.authority = *authority;
    record.phase = *phase;
    record.since = *since;
    record.backfill = *backfill;
    record.knobs.mirror = *mirror;
    record.knobs.sync_given_up = rows.text(0, 16);
    if (scope) record.knobs.shift_scope = *scope;
    if (!scope) record.knobs.shift_percent = 0;  // Rather nothing than what was not to be shifted.
    record.shift_not_understood = !scope;
    return std::optional<ControlRecord>{std::move(record)};
}

bool certainly_not_written(const Error& error, const Connection& connection) {
    // An ERROR on a live connection rolled the statement back; everything else leaves the outcome
    // open.
    return error.code == Errc::server && usable(connection);
}

void note_warning(void* warned, const PGresult* notice) {
    const char* severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity && std::string_view{severity} == "WARNING") *static_cast<bool*>(warned) = true;
}

class PostgresControlStore final : public ControlStore {
public:
    explicit PostgresControlStore(std::string url)
        : link_(std::move(url),
                Connection::Options{.application_name = "segue control",
                                    .settings = {{"synchronous_commit", "on"}},
                                    .connect_timeout = std::chrono::seconds{5}}),
          glance_(link_.url(), link_.options()) {}

    Result<std::optional<ControlRecord>> read() override {
        glanced_ = false;
        auto rows = link_.run(read_sql(), Parameters{}, deadline());
        if (!rows && rows.error().sqlstate == undefined_column) {
            if (const Status added = add_missing_columns(); !added) return added.error();
            rows = link_.run(read_sql(), Parameters{}, deadline());
        }
        if (rows) return record_of(*rows);
        const std::string& state = rows.error().sqlstate;
        if (state == undefined_table || state == invalid_schema_name) {
            return std::optional<ControlRecord>{};
        }
        return rows.error();
    }

    std::optional<ControlRecord> glance() override {
        std::optional<Rows> answer;
        Connection* const connection = link_.at_hand();
        if (connection != nullptr && usable(*connection)) {
            glanced_ = PQsendQuery(connection->raw(), read_sql().c_str()) == 1;
            glanced_at_ = std::chrono::steady_clock::now();
        } else if (connection != nullptr && glanced_ &&
                   std::chrono::steady_clock::now() - glanced_at_ < glance_time_max) {
            answer = answer_at_hand(*connection);
            if (answer) glanced_ = false;
        } else {  // It is gone, or something was not answered in time.
            answer = glance_.look(read_sql());
        }
        if (!answer || PQresultStatus(answer->raw()) != PGRES_TUPLES_OK) return std::nullopt;
        const auto record = record_of(*answer);
        return record ? *record : std::nullopt;
    }

    Status create(const ControlRecord& record) override {
        const auto connection = live_connection();
        if (!connection) return connection.error();
        const auto rows = execute_before(
            **connection,
            std::string{"INSERT INTO segue.control ("} + columns +
                ") VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17)",
            parameters_of(record),
            deadline());
        if (rows) return Done{};
        if (rows.error().sqlstate == unique_violation) {
            return Error{Errc::refused,
                         std::string{"the "} + std::string{name(record.side)} +
                             " has a control record already",
                         rows.error().sqlstate};
        }
        return rows.error();
    }

    Result<Written> compare_and_set(const ControlRecord& expected,
                                    const ControlRecord& next,
                                    std::optional<std::int64_t> lease) override {
        const auto connection = live_connection();
        if (!connection) return connection.error();
        Parameters parameters = parameters_of(next);
        parameters.push_back(expected.migration_id);
        parameters.push_back(std::to_string(expected.epoch));
        parameters.push_back(std::string{router::name(expected.phase)});
        parameters.push_back(std::to_string(expected.attempt));
        std::string held, by_holder;
        if (lease) {
            // Locked until the commit: whoever takes the lease waits for it, and reads the record
            // then.
            held =
                "WITH held AS MATERIALIZED (SELECT FROM segue.lease WHERE generation = $22::bigint"
                " FOR SHARE) ";
            by_holder = " AND EXISTS (SELECT FROM held)";
            parameters.push_back(std::to_string(*lease));
        }
        bool warned = false;
        PQsetNoticeReceiver((*connection)->raw(), note_warning, &warned);
        const auto rows =
            execute_before(**connection,
                           held + "UPDATE segue.control SET (" + columns +
                               ", changed_at) = ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,"
                               "$13,$14,$15,$16,$17, now()) WHERE migration_id = $18"
                               " AND epoch = $19 AND phase = $20 AND attempt = $21" +
                               by_holder,
                           parameters,
                           deadline());
        PQsetNoticeReceiver((*connection)->raw(), [](void*, const PGresult*) {}, nullptr);
        if (!rows) {
            if (certainly_not_written(rows.error(), **connection)) return rows.error();
            link_.drop();
            return Written::unknown;
        }
        if (rows->affected() == 0) return Written::conflict;
        return warned ? Written::unknown : Written::yes;
    }

private:
    Status add_missing_columns() {
        for (const char* sql : {as_mover, add_columns}) {
            if (const auto done = link_.run(sql, std::nullopt, deadline()); !done) {
                (void)link_.run(as_nobody, std::nullopt, deadline());
                return done.error();
            }
        }
        const auto done = link_.run(as_nobody, std::nullopt, deadline());
        return done ? Status{Done{}} : Status{done.error()};
    }

    static std::string read_sql() {
        return std::string{"SELECT "} + columns + " FROM segue.control";
    }
    static Deadline deadline() { return std::chrono::steady_clock::now() + answer_time_max; }

    // A dead connection is found by a statement that may be lost without harm.
    Result<Connection*> live_connection() {
        glanced_ = false;
        if (const auto alive = link_.run("SELECT 1", std::nullopt, deadline()); !alive) {
            return alive.error();
        }
        return link_.connection();
    }

    Link link_;
    bool glanced_ = false;  // What the connection is busy with is a glance.
    std::chrono::steady_clock::time_point glanced_at_;
    Glance glance_;  // By connections of its own.
};

}  // namespace

std::unique_ptr<ControlStore> make_control_store(std::string url) {
    return std::make_unique<PostgresControlStore>(std::move(url));
}

Result<ServerIdentity> read_server_identity(Connection& connection) {
    // The first eight digits of a log file's name are the timeline that is being written.
    const auto rows = connection.execute(
        "SELECT (SELECT system_identifier FROM pg_control_system()),"
        " left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)");
    if (!rows) return rows.error();
    ServerIdentity identity;
    identity.system_identifier = rows->text(0, 0);
    const std::string_view digits = rows->at(0, 1);
    std::from_chars(digits.data(), digits.data() + digits.size(), identity.timeline, 16);
    return identity;
}

}  // namespace segue::backfill::postgres
