#include "backfill/postgres/control.hpp"

#include <array>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "backfill/postgres/glance.hpp"
#include "backfill/postgres/input_at_hand.hpp"
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

// The answer to a glance that nobody has read comes soon, or its connection is given up for another
// one.
constexpr std::chrono::milliseconds unread_patience{200};

constexpr const char* columns =
    "migration, migration_id, side, epoch, authority, phase, attempt, since, backfill, paused, "
    "mirror, shadow_percent, shift_percent, system_identifier, timeline";
// They come last, and a migration that an earlier build has started is without them.
constexpr std::array<const char*, 2> later_columns = {"shift_scope", "sync_given_up"};
// Reads them as they are by default where they are not: nothing that must be read may wait for
// somebody's lock, or need a server that can be written to.
constexpr const char* read_later_columns =
    ", coalesce(to_jsonb(c) ->> 'shift_scope', ''), coalesce(to_jsonb(c) ->> 'sync_given_up', '')";
constexpr const char* find_later_columns =
    "SELECT attname FROM pg_attribute WHERE attrelid = 'segue.control'::regclass AND NOT"
    " attisdropped AND attnum > 0";
// A fenced side lets nobody but the mover do it. Whoever reads the table waits behind it meanwhile:
// for a lock of somebody else's it waits no longer than that, for a standby not at all.
constexpr const char* add_columns =
    "SET LOCAL lock_timeout = '1s'; SET LOCAL synchronous_commit = off;"
    " SELECT set_config('segue.mover', migration_id, true) FROM segue.control;"
    " ALTER TABLE segue.control ADD COLUMN IF NOT EXISTS shift_scope text NOT NULL DEFAULT '',"
    " ADD COLUMN IF NOT EXISTS sync_given_up text NOT NULL DEFAULT ''";
// Until it is tried again, unless something must be written there: a change of authority writes
// several times, while clients are held.
constexpr std::chrono::seconds add_pause{10};

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

struct WrittenColumns {
    std::string names, places;  // As in (a, b) and ($1,$2).
    Parameters parameters;
};

// Of the later columns those that `are_there`; empty optional: the record needs another one.
std::optional<WrittenColumns> columns_to_write(const ControlRecord& record,
                                               const std::vector<bool>& are_there) {
    const Parameters all = parameters_of(record);
    const std::size_t first_later = all.size() - later_columns.size();
    WrittenColumns written{columns, "$1", {}};
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (i >= first_later && !are_there[i - first_later]) {
            if (!all[i]->empty()) return std::nullopt;
            continue;
        }
        if (i >= first_later) written.names += std::string{", "} + later_columns[i - first_later];
        written.parameters.push_back(all[i]);
        if (i > 0) written.places += ",$" + std::to_string(written.parameters.size());
    }
    return written;
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
    PostgresControlStore(std::string url, std::chrono::milliseconds glance_time_max)
        : link_(std::move(url),
                Connection::Options{.application_name = "segue control",
                                    .settings = {{"synchronous_commit", "on"}},
                                    .connect_timeout = std::chrono::seconds{5}}),
          glance_time_max_(glance_time_max),
          glance_(link_.url(), link_.options(), glance_time_max) {}

    Result<std::optional<ControlRecord>> read() override {
        take_unread_glance();
        if (absent_) {  // Who asks again and again leaves no error in the server's log each time.
            const auto there = link_.run(
                "SELECT to_regclass('segue.control') IS NOT NULL", Parameters{}, deadline());
            if (there && !there->truth(0, 0)) return std::optional<ControlRecord>{};
        }
        const auto rows = link_.run(read_sql(), Parameters{}, deadline());
        absent_ = !rows && (rows.error().sqlstate == undefined_table ||
                            rows.error().sqlstate == invalid_schema_name);
        if (absent_) return std::optional<ControlRecord>{};
        if (!rows) return rows.error();
        return record_of(*rows);
    }

    std::optional<ControlRecord> glance() override {
        std::optional<Rows> answer;
        Connection* const connection = link_.at_hand();
        if (connection != nullptr && usable(*connection)) {
            glance_.forget();
            glanced_ = PQsendQuery(connection->raw(), read_sql().c_str()) == 1;
            glanced_at_ = std::chrono::steady_clock::now();
        } else {
            // However old: who asks seldom finds the answer late, and it has come all the same.
            const bool asked = connection != nullptr && glanced_;
            if (asked) answer = answer_at_hand(*connection);
            if (answer) glanced_ = false;
            const bool young = std::chrono::steady_clock::now() - glanced_at_ < glance_time_max_;
            // It is gone, or something was not answered in time.
            if (!answer && !(asked && young)) answer = glance_.look(read_sql());
        }
        if (!answer || PQresultStatus(answer->raw()) != PGRES_TUPLES_OK) return std::nullopt;
        const auto record = record_of(*answer);
        return record ? *record : std::nullopt;
    }

    Status create(const ControlRecord& record) override {
        const auto connection = live_connection();
        if (!connection) return connection.error();
        const auto rows = write(**connection, record, [&](const WrittenColumns& written) {
            return execute_before(
                **connection,
                "INSERT INTO segue.control (" + written.names + ") VALUES (" + written.places + ")",
                written.parameters,
                deadline());
        });
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
        bool warned = false;
        const auto rows = write(**connection, next, [&](const WrittenColumns& written) {
            PQsetNoticeReceiver((*connection)->raw(), note_warning, &warned);
            auto answer = update(**connection, expected, written, lease);
            PQsetNoticeReceiver((*connection)->raw(), [](void*, const PGresult*) {}, nullptr);
            return answer;
        });
        if (!rows) {
            if (certainly_not_written(rows.error(), **connection)) return rows.error();
            link_.drop();
            return Written::unknown;
        }
        if (rows->affected() == 0) return Written::conflict;
        return warned ? Written::unknown : Written::yes;
    }

private:
    static Result<Rows> update(Connection& connection,
                               const ControlRecord& expected,
                               const WrittenColumns& written,
                               std::optional<std::int64_t> lease) {
        Parameters parameters = written.parameters;
        const auto place = [&](std::string value) {
            parameters.push_back(std::move(value));
            return "$" + std::to_string(parameters.size());
        };
        std::string sql = "UPDATE segue.control SET (" + written.names + ", changed_at) = (" +
                          written.places +
                          ", now()) WHERE migration_id = " + place(expected.migration_id);
        sql += " AND epoch = " + place(std::to_string(expected.epoch));
        sql += " AND phase = " + place(std::string{router::name(expected.phase)});
        sql += " AND attempt = " + place(std::to_string(expected.attempt));
        if (lease) {
            // Locked until the commit: whoever takes the lease waits for it, and reads the record
            // then.
            sql = "WITH held AS MATERIALIZED (SELECT FROM segue.lease WHERE generation = " +
                  place(std::to_string(*lease)) + "::bigint FOR SHARE) " + sql +
                  " AND EXISTS (SELECT FROM held)";
        }
        return execute_before(connection, sql, parameters, deadline());
    }

    // Once; and once more where the table is an earlier build's: with the columns that it gets now,
    // or without those that it cannot get as long as nothing must be written there.
    template <class Write>
    Result<Rows> write(Connection& connection, const ControlRecord& record, Write write_once) {
        const std::vector<bool> all(later_columns.size(), true);
        const WrittenColumns whole = *columns_to_write(record, all);
        auto rows = write_once(whole);
        if (rows || rows.error().sqlstate != undefined_column) return rows;
        auto there = later_columns_there(connection);
        if (!there) return there.error();
        auto written = columns_to_write(record, *there);
        if (written && std::chrono::steady_clock::now() < add_again_at_)
            return write_once(*written);
        const auto added = execute_before(connection, add_columns, std::nullopt, deadline());
        if (added) return write_once(whole);
        add_again_at_ = std::chrono::steady_clock::now() + add_pause;
        if (!usable(connection)) return added.error();
        if (written) return write_once(*written);
        return Error{Errc::server,  // Certainly not written, also where it was a lock.
                     "table segue.control cannot be given columns: " + added.error().detail,
                     added.error().sqlstate};
    }

    static Result<std::vector<bool>> later_columns_there(Connection& connection) {
        const auto names = execute_before(connection, find_later_columns, Parameters{}, deadline());
        if (!names) return names.error();
        std::vector<bool> there(later_columns.size(), false);
        for (int row = 0; row < names->size(); ++row) {
            for (std::size_t i = 0; i < later_columns.size(); ++i)
                if (names->at(row, 0) == later_columns[i]) there[i] = true;
        }
        return there;
    }

    static std::string read_sql() {
        return std::string{"SELECT "} + columns + read_later_columns + " FROM segue.control c";
    }
    static Deadline deadline() { return std::chrono::steady_clock::now() + answer_time_max; }

    // So that it can take the next statement.
    void take_unread_glance() {
        if (!std::exchange(glanced_, false)) return;
        const Deadline soon = std::chrono::steady_clock::now() + unread_patience;
        Connection* const connection = link_.at_hand();
        while (connection != nullptr && connection->good() && !usable(*connection) &&
               !answer_at_hand(*connection)) {
            if (std::chrono::steady_clock::now() >= soon) return;
            wait_for_input(connection->raw(), static_cast<int>(milliseconds_until(soon)));
        }
    }

    // A dead connection is found by a statement that may be lost without harm.
    Result<Connection*> live_connection() {
        take_unread_glance();
        if (const auto alive = link_.run("SELECT 1", std::nullopt, deadline()); !alive) {
            return alive.error();
        }
        return link_.connection();
    }

    Link link_;
    bool absent_ = false;   // As last read: there was no table.
    bool glanced_ = false;  // What the connection is busy with is a glance.
    std::chrono::steady_clock::time_point glanced_at_, add_again_at_;
    std::chrono::milliseconds glance_time_max_;
    Glance glance_;  // By connections of its own.
};

}  // namespace

std::unique_ptr<ControlStore> make_control_store(std::string url,
                                                 std::chrono::milliseconds glance_time_max) {
    return std::make_unique<PostgresControlStore>(std::move(url), glance_time_max);
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
