#include "backfill/postgres/log_position.hpp"

#include <cstdlib>

namespace segue::backfill::postgres {

namespace {

constexpr const char* log_end_query =
    "SELECT pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn(), "
    "pg_snapshot_xmax(pg_current_snapshot())";
// Flushed locally is all that is asked of it: a standby that is down must not hold up the gate.
constexpr const char* ticket_statement =
    "SET synchronous_commit = local; UPDATE segue.ticket SET number = number + 1";

constexpr const char* undefined_table = "42P01";

}  // namespace

Status LogPosition::connect() {
    if (connection_ && connection_->good()) return Done{};
    connection_.reset();
    Connection::Options options;
    options.application_name = "segue positions";
    options.settings = settings_;
    auto opened = Connection::open(url_, options);
    if (!opened) return opened.error();
    connection_ = std::move(*opened);
    ++connections_;
    return Done{};
}

Result<Rows> LogPosition::run(const char* statement) {
    if (const Status connected = connect(); !connected) return connected.error();
    return connection_->execute(statement);
}

Result<LogEnd> LogPosition::read() {
    const auto rows = run(log_end_query);
    if (!rows) return rows.error();
    const auto inserted = parse_lsn(rows->at(0, 0));
    const auto flushed = parse_lsn(rows->at(0, 1));
    if (!inserted || !flushed)
        return Error{Errc::bad_value, "the server's log position is unreadable"};
    const std::string ended{rows->at(0, 2)};
    return LogEnd{*inserted, *flushed, {connections_, std::strtoull(ended.c_str(), nullptr, 10)}};
}

Status LogPosition::commit_ticket() {
    const auto rows = run(ticket_statement);
    // After `finish`: nobody waits for it any more.
    if (!rows && rows.error().sqlstate != undefined_table) return rows.error();
    return Done{};
}

}  // namespace segue::backfill::postgres
