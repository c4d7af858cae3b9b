#include "backfill/postgres/verify_store.hpp"

#include <array>
#include <charconv>
#include <cstdio>

#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/store.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::string_view excluded_verdict = "excluded";

std::string milliseconds(const std::optional<WallTime>& time) {
    if (!time) return "";
    return std::to_string(
        std::chrono::duration_cast<std::chrono::milliseconds>(time->time_since_epoch()).count());
}

std::optional<WallTime> parse_milliseconds(std::string_view text) {
    long long value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc{})
        return std::nullopt;
    return WallTime{std::chrono::milliseconds{value}};
}

std::string sums_text(const RowSums& sums) {
    char text[40];
    std::snprintf(text,
                  sizeof text,
                  "%016llx%016llx",
                  static_cast<unsigned long long>(sums.first),
                  static_cast<unsigned long long>(sums.second));
    return text;
}

RowSums parse_sums(std::string_view rows, std::string_view text) {
    RowSums sums;
    std::from_chars(rows.data(), rows.data() + rows.size(), sums.rows);
    const auto hex = [](std::string_view digits, std::uint64_t& value) {
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    };
    if (text.size() == 32) {
        hex(text.substr(0, 16), sums.first);
        hex(text.substr(16), sums.second);
    }
    return sums;
}

// Columns of a statement's rows, each an array parameter.
class Lists {
public:
    explicit Lists(std::size_t columns) : columns_(columns) {}
    void add(std::vector<std::string> row) {
        for (std::size_t i = 0; i < columns_.size(); ++i) columns_[i].push_back(std::move(row[i]));
    }
    bool empty() const { return columns_.front().empty(); }
    Parameters parameters(const std::string& first) const {
        Parameters all{first};
        for (const auto& column : columns_) all.emplace_back(text_array(column));
        return all;
    }

private:
    std::vector<std::vector<std::string>> columns_;
};

std::string placeholders(std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i)
        text += (i > 0 ? ", $" : "$") + std::to_string(i + 2) + "::text[]";
    return text;
}

Status ran(const Result<Rows>& rows) {
    if (!rows) return rows.error();
    return Done{};
}

Status write_head(Connection& connection, const Verification& verification) {
    const Status written = ran(connection.execute(
        "INSERT INTO segue.verification (id, kind, verdict, asked_by, build, authority, since, "
        "strays, begun_at, ended_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7::pg_lsn, $8::bigint,"
        " to_timestamp($9::numeric / 1000), to_timestamp(nullif($10, '')::numeric / 1000))"
        " ON CONFLICT (id) DO UPDATE SET kind = EXCLUDED.kind, verdict = EXCLUDED.verdict,"
        " ended_at = EXCLUDED.ended_at, noted_at = now()",
        {verification.id,
         std::string{name(verification.kind)},
         std::string{name(verification.verdict)},
         verification.asked_by,
         verification.build,
         std::string{name(verification.authority)},
         format_lsn(verification.since),
         std::to_string(verification.strays),
         milliseconds(verification.begun_at),
         milliseconds(verification.ended_at)}));
    if (!written) return written;
    // What an unfinished one has found stands until this one has ended.
    // Not by foreign keys: the mover's sessions, as replicas, do not fire their triggers.
    return ran(connection.execute(
        "WITH old AS (DELETE FROM segue.verification v WHERE v.kind = $1 AND v.id <> $2 AND "
        "(v.ended_at IS NULL AND ($3::boolean OR NOT EXISTS (SELECT FROM segue.verified_table t "
        "WHERE t.verification = v.id AND (t.differences > 0 OR t.verdict = 'unlike'))) OR v.id NOT "
        "IN (SELECT id FROM segue.verification WHERE kind = $1 ORDER BY begun_at DESC LIMIT " +
            std::to_string(verifications_kept_max) +
            ")) RETURNING v.id), tables AS (DELETE FROM segue.verified_table t USING old WHERE "
            "t.verification = old.id) DELETE FROM segue.difference d USING old WHERE "
            "d.verification = old.id",
        {std::string{name(verification.kind)},
         verification.id,
         verification.verdict == Verdict::running ? "false" : "true"}));
}

constexpr std::size_t table_columns = 17;
constexpr const char* table_upsert =
    " ON CONFLICT (verification, table_schema, table_name) DO UPDATE SET"
    " verdict = EXCLUDED.verdict, problem = EXCLUDED.problem,"
    " source_rows = EXCLUDED.source_rows, source_sums = EXCLUDED.source_sums,"
    " target_rows = EXCLUDED.target_rows, target_sums = EXCLUDED.target_sums,"
    " differences = EXCLUDED.differences,"
    " source_from = EXCLUDED.source_from, source_to = EXCLUDED.source_to,"
    " target_from = EXCLUDED.target_from, target_to = EXCLUDED.target_to,"
    " begun_at = EXCLUDED.begun_at, ended_at = EXCLUDED.ended_at,"
    " low = EXCLUDED.low, sql = EXCLUDED.sql";

std::vector<std::string> table_row(const Verification::TableName& name,
                                   const VerifiedTable& table) {
    return {name.first,
            name.second,
            std::string{backfill::name(table.verdict)},
            table.problem,
            std::to_string(table.sums[0].rows),
            sums_text(table.sums[0]),
            std::to_string(table.sums[1].rows),
            sums_text(table.sums[1]),
            std::to_string(table.differences),
            format_lsn(table.from[0]),
            format_lsn(table.to[0]),
            format_lsn(table.from[1]),
            format_lsn(table.to[1]),
            milliseconds(table.begun_at),
            milliseconds(table.ended_at),
            table.low ? text_array(*table.low) : "",
            table.sql};
}

std::vector<std::string> excluded_row(const Verification::TableName& name,
                                      const std::string& reason) {
    auto row = table_row(name, VerifiedTable{});
    row[2] = excluded_verdict;
    row[3] = reason;
    return row;
}

Status write_tables(Connection& connection,
                    const Verification& verification,
                    const TableNames& changed) {
    Lists rows{table_columns};
    for (const auto& name : changed) {
        if (const auto found = verification.tables.find(name); found != verification.tables.end()) {
            rows.add(table_row(name, found->second));
        } else if (const auto why = verification.excluded.find(name);
                   why != verification.excluded.end()) {
            rows.add(excluded_row(name, why->second));
        }
    }
    if (rows.empty()) return Done{};
    return ran(connection.execute(
        "INSERT INTO segue.verified_table SELECT $1, s, n, verdict, problem, sr::numeric, ss,"
        " tr::numeric, ts, d::bigint, sf::pg_lsn, st::pg_lsn, tf::pg_lsn, tt::pg_lsn,"
        " to_timestamp(nullif(b, '')::numeric / 1000), to_timestamp(nullif(e, '')::numeric / 1000),"
        " nullif(low, '')::text[], q FROM unnest(" +
            placeholders(table_columns) +
            ") AS t (s, n, verdict, problem, sr, ss, tr, ts, d, sf, st, tf, tt, b, e, low, q)" +
            table_upsert,
        rows.parameters(verification.id)));
}

Status write_differences(Connection& connection,
                         const Verification& verification,
                         const TableNames& changed) {
    Lists tables{2}, rows{5};
    for (const auto& name : changed) {
        const auto found = verification.tables.find(name);
        if (found == verification.tables.end()) continue;
        tables.add({name.first, name.second});
        std::size_t number = 0;
        for (const VerifyDifference& one : found->second.listed)
            rows.add({name.first, name.second, std::to_string(number++), one.kind, one.key});
    }
    if (tables.empty()) return Done{};
    Status removed = ran(connection.execute(
        "DELETE FROM segue.difference d USING unnest(" + placeholders(2) +
            ") AS t (s, n) WHERE d.verification = $1 AND d.table_schema = t.s AND d.table_name = "
            "t.n",
        tables.parameters(verification.id)));
    if (!removed || rows.empty()) return removed;
    return ran(connection.execute(
        "INSERT INTO segue.difference SELECT $1, s, n, number::bigint, kind, key FROM unnest(" +
            placeholders(5) + ") AS t (s, n, number, kind, key)",
        rows.parameters(verification.id)));
}

}  // namespace

Status make_verify_tables(Connection& connection) {
    const auto there = connection.execute("SELECT to_regclass('segue.repair') IS NOT NULL");
    if (!there) return there.error();
    if (there->truth(0, 0)) return Done{};
    return ran(connection.execute(std::string{verify_schema_ddl} + keep_to_ourselves_sql));
}

Status write_verification(Connection& connection,
                          const Verification& verification,
                          const TableNames& changed) {
    // An attempt that failed may have left its transaction.
    const bool idle = PQtransactionStatus(connection.raw()) == PQTRANS_IDLE;
    Status written = ran(connection.execute(idle ? "BEGIN" : "ROLLBACK; BEGIN"));
    if (written) written = write_head(connection, verification);
    if (written) written = write_tables(connection, verification, changed);
    if (written) written = write_differences(connection, verification, changed);
    if (written) written = ran(connection.execute("COMMIT"));
    return written;
}

Result<std::vector<Verification>> read_verifications(Connection& connection) {
    const auto rows = connection.execute(
        "SELECT id, kind, verdict, asked_by, build, authority, since, strays,"
        " (extract(epoch FROM begun_at) * 1000)::bigint, (extract(epoch FROM ended_at) * "
        "1000)::bigint FROM segue.verification ORDER BY begun_at DESC, id LIMIT " +
        std::to_string(2 * verifications_kept_max));
    if (!rows) return rows.error();
    std::vector<Verification> all;
    for (int row = 0; row < rows->size(); ++row) {
        Verification one;
        one.id = rows->text(row, 0);
        one.kind = parse_verify_kind(rows->at(row, 1)).value_or(VerifyKind::asked);
        one.verdict = parse_verdict(rows->at(row, 2)).value_or(Verdict::running);
        one.asked_by = rows->text(row, 3);
        one.build = rows->text(row, 4);
        one.authority = rows->at(row, 5) == "target" ? Side::target : Side::source;
        one.since = parse_lsn(rows->at(row, 6)).value_or(Position{});
        one.strays = static_cast<std::uint64_t>(rows->number(row, 7));
        one.begun_at = parse_milliseconds(rows->at(row, 8)).value_or(WallTime{});
        one.ended_at = parse_milliseconds(rows->at(row, 9));
        all.push_back(std::move(one));
    }
    return all;
}

Status read_verified_tables(Connection& connection, Verification& verification) {
    const auto rows = connection.execute(
        "SELECT table_schema, table_name, verdict, problem, source_rows, source_sums, target_rows,"
        " target_sums, differences, source_from, source_to, target_from, target_to,"
        " (extract(epoch FROM begun_at) * 1000)::bigint, (extract(epoch FROM ended_at) * "
        "1000)::bigint, low, sql FROM segue.verified_table WHERE verification = $1",
        {verification.id});
    if (!rows) return rows.error();
    for (int row = 0; row < rows->size(); ++row) {
        Verification::TableName name{rows->text(row, 0), rows->text(row, 1)};
        if (rows->at(row, 2) == excluded_verdict) {
            verification.excluded[std::move(name)] = rows->text(row, 3);
            continue;
        }
        VerifiedTable& table = verification.tables[std::move(name)];
        table.verdict = parse_table_verdict(rows->at(row, 2)).value_or(TableVerdict::waiting);
        table.problem = rows->text(row, 3);
        table.differences = static_cast<std::uint64_t>(rows->number(row, 8));
        for (const int side : {0, 1}) {
            table.sums[side] = parse_sums(rows->at(row, 4 + 2 * side), rows->at(row, 5 + 2 * side));
            table.from[side] = parse_lsn(rows->at(row, 9 + 2 * side)).value_or(Position{});
            table.to[side] = parse_lsn(rows->at(row, 10 + 2 * side)).value_or(Position{});
        }
        table.begun_at = parse_milliseconds(rows->at(row, 13));
        table.ended_at = parse_milliseconds(rows->at(row, 14));
        if (!rows->null(row, 15)) table.low = parse_text_array(rows->at(row, 15));
        table.sql = rows->text(row, 16);
    }
    const auto listed = connection.execute(
        "SELECT table_schema, table_name, kind, key FROM segue.difference WHERE verification = $1"
        " ORDER BY table_schema, table_name, number",
        {verification.id});
    if (!listed) return listed.error();
    for (int row = 0; row < listed->size(); ++row) {
        const Verification::TableName name{listed->text(row, 0), listed->text(row, 1)};
        verification.tables[name].listed.push_back(
            {name.first + "." + name.second, listed->text(row, 3), listed->text(row, 2)});
    }
    return Done{};
}

std::string repair_sql(const RepairNote& note, RepairState state) {
    std::string values;
    for (const std::string& text : {note.id,
                                    note.schema,
                                    note.table,
                                    note.verification,
                                    note.asked_by,
                                    std::string{name(note.authority)},
                                    std::to_string(note.missing),
                                    std::to_string(note.extra),
                                    std::to_string(note.changed),
                                    std::string{state == RepairState::done ? "done" : "begun"}}) {
        values += (values.empty() ? "" : ", ") + quote_literal(text);
    }
    return "INSERT INTO segue.repair (id, table_schema, table_name, verification, asked_by, "
           "authority, missing, extra, changed, state) VALUES (" +
           values +
           ") ON CONFLICT (id, table_schema, table_name) DO UPDATE SET state = EXCLUDED.state";
}

Result<std::vector<Repair>> read_repairs(Connection& connection, const std::string& verification) {
    const auto rows = connection.execute(
        "SELECT id, verification, asked_by, authority, table_schema, table_name, missing, extra, "
        "changed, role, state, to_char(at AT TIME ZONE 'UTC', "
        "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') FROM segue.repair WHERE verification = $1"
        " ORDER BY at, id, table_schema, table_name LIMIT " +
            std::to_string(repairs_read_max),
        {verification});
    if (!rows) return rows.error();
    std::vector<Repair> repairs;
    for (int row = 0; row < rows->size(); ++row) {
        Repair one;
        one.note = {.id = rows->text(row, 0),
                    .verification = rows->text(row, 1),
                    .asked_by = rows->text(row, 2),
                    .authority = rows->at(row, 3) == "target" ? Side::target : Side::source,
                    .schema = rows->text(row, 4),
                    .table = rows->text(row, 5),
                    .missing = static_cast<std::uint64_t>(rows->number(row, 6)),
                    .extra = static_cast<std::uint64_t>(rows->number(row, 7)),
                    .changed = static_cast<std::uint64_t>(rows->number(row, 8))};
        one.role = rows->text(row, 9);
        one.state = rows->text(row, 10);
        one.at = rows->text(row, 11);
        repairs.push_back(std::move(one));
    }
    return repairs;
}

}  // namespace segue::backfill::postgres
