#include "backfill/postgres/store.hpp"

#include <charconv>
#include <set>

#include "backfill/event_log.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// The lease first: who has lost it must not claim anything.
constexpr const char* with_lease =
    "WITH held AS MATERIALIZED (SELECT 1 FROM segue.lease WHERE generation = $1::bigint FOR "
    "SHARE) ";
constexpr const char* progress_statement = "segue_progress";

std::string lsn_array(const std::vector<Position>& positions) {
    std::string text{'{'};
    for (const Position position : positions) {
        if (text.size() > 1) text.push_back(',');
        text += format_lsn(position);
    }
    return text + "}";
}

std::string number_array(const std::vector<std::uint64_t>& numbers) {
    std::string text{'{'};
    for (const std::uint64_t number : numbers) {
        if (text.size() > 1) text.push_back(',');
        text += std::to_string(number);
    }
    return text + "}";
}

Result<std::vector<Position>> parse_lsn_array(std::string_view text) {
    std::vector<Position> positions;
    for (const std::string& element : parse_text_array(text)) {
        const auto position = parse_lsn(element);
        if (!position) return Error{Errc::bad_value, "segue.progress: a position is unreadable"};
        positions.push_back(*position);
    }
    return positions;
}

// Of stray writes: those of kind $1, and of how many transactions each row tells (n). Whoever
// changes them locks them first, in order: each is counted once.
constexpr const char* strays_of_kind =
    "WITH strays AS MATERIALIZED (SELECT id, detail FROM segue.event WHERE kind = $1";
constexpr const char* counted_strays =
    "), counted AS (SELECT id, coalesce(substring(detail FROM '^([0-9]+) transactions: ')"
    "::bigint, 1) AS n, regexp_replace(detail, '^[0-9]+ transactions: ', '') AS tables FROM "
    "strays)";

std::string stray_kind(Side stream, std::uint64_t since) {
    return "stray write " + std::string{name(stream)} + " " + std::to_string(since);
}

}  // namespace

Result<std::optional<StoredProgress>> read_progress(Connection& connection, Side stream) {
    const auto rows = connection.execute(
        "SELECT applied, beyond, restart, unseen_xids, unseen_lsns FROM segue.progress"
        " WHERE stream = $1 AND writer = 0",
        {std::string{name(stream)}});
    if (!rows) return rows.error();
    if (rows->size() == 0) return std::optional<StoredProgress>{};
    const auto applied = parse_lsn(rows->at(0, 0));
    const auto beyond = parse_lsn_array(rows->at(0, 1));
    const auto restart = parse_lsn(rows->at(0, 2));
    auto positions = parse_lsn_array(rows->at(0, 4));
    if (!applied || !restart)
        return Error{Errc::bad_value, "segue.progress: a position is unreadable"};
    if (!beyond) return beyond.error();
    if (!positions) return positions.error();
    Unseen::Durable durable{{}, std::move(*positions)};
    for (const std::string& xid : parse_text_array(rows->at(0, 3))) {
        std::uint64_t value = 0;
        std::from_chars(xid.data(), xid.data() + xid.size(), value);
        durable.xids.push_back(value);
    }
    auto unseen = Unseen::restore(durable);
    if (!unseen) return unseen.error();
    return std::optional<StoredProgress>{
        StoredProgress{*applied, *beyond, *restart, std::move(*unseen)}};
}

Status create_progress(Connection& connection, Side stream, Position at) {
    const auto rows = connection.execute(
        "INSERT INTO segue.progress (stream, writer, applied, restart) VALUES ($1, 0, $2, $2)"
        " ON CONFLICT (stream, writer) DO NOTHING",
        {std::string{name(stream)}, format_lsn(at)});
    if (!rows) return rows.error();
    return Done{};
}

Result<std::vector<StoredChunk>> read_chunks(Connection& connection) {
    const auto rows = connection.execute(
        "SELECT table_schema, table_name, chunk, low, high, load_position, rows, bytes"
        " FROM segue.chunk ORDER BY table_schema, table_name, chunk");
    if (!rows) return rows.error();
    std::vector<StoredChunk> chunks;
    for (int row = 0; row < rows->size(); ++row) {
        StoredChunk chunk;
        chunk.table = {rows->text(row, 0), rows->text(row, 1)};
        chunk.number = static_cast<std::uint64_t>(rows->number(row, 2));
        if (!rows->null(row, 3)) chunk.range.low = parse_text_array(rows->at(row, 3));
        if (!rows->null(row, 4)) chunk.range.high = parse_text_array(rows->at(row, 4));
        const auto loaded_at = parse_lsn(rows->at(row, 5));
        if (!loaded_at) return Error{Errc::bad_value, "segue.chunk: a position is unreadable"};
        chunk.loaded_at = *loaded_at;
        chunk.rows = static_cast<std::uint64_t>(rows->number(row, 6));
        chunk.bytes = static_cast<std::uint64_t>(rows->number(row, 7));
        chunks.push_back(std::move(chunk));
    }
    return chunks;
}

Status prepare_progress(StatementPipeline& pipeline, Side stream) {
    return pipeline.prepare(
        progress_statement,
        std::string{with_lease} +
            "UPDATE segue.progress SET applied = $2::pg_lsn, beyond = $3::pg_lsn[],"
            " generation = $1::bigint FROM held WHERE stream = '" +
            std::string{name(stream)} + "' AND writer = 0",
        "segue.progress");
}

Status send_progress(StatementPipeline& pipeline,
                     std::int64_t generation,
                     Position applied,
                     const std::vector<Position>& beyond) {
    const std::string texts[] = {
        std::to_string(generation), format_lsn(applied), lsn_array(beyond)};
    return pipeline.execute(progress_statement,
                            {texts[0].c_str(), texts[1].c_str(), texts[2].c_str()},
                            {1, "segue.progress (the lease may be lost)"});
}

Status send_checkpoint(StatementPipeline& pipeline,
                       Side stream,
                       std::int64_t generation,
                       Position applied,
                       const std::vector<Position>& beyond,
                       const Checkpoint& checkpoint) {
    return pipeline.query(
        std::string{with_lease} +
            "UPDATE segue.progress SET applied = $2::pg_lsn, beyond = $3::pg_lsn[],"
            " restart = $4::pg_lsn, unseen_xids = $5::bigint[], unseen_lsns = $6::pg_lsn[],"
            " generation = $1::bigint FROM held WHERE stream = $7 AND writer = 0",
        {std::to_string(generation),
         format_lsn(applied),
         lsn_array(beyond),
         format_lsn(checkpoint.restart),
         number_array(checkpoint.unseen.xids),
         lsn_array(checkpoint.unseen.positions),
         std::string{name(stream)}},
        {1, "segue.progress (the lease may be lost)"});
}

Status send_mark(StatementPipeline& pipeline, Side stream, int writer, std::int64_t generation) {
    return pipeline.query(
        std::string{with_lease} +
            "INSERT INTO segue.progress (stream, writer, generation)"
            " SELECT $2, $3::integer, $1::bigint FROM held"
            " ON CONFLICT (stream, writer) DO UPDATE SET generation = EXCLUDED.generation",
        {std::to_string(generation), std::string{name(stream)}, std::to_string(writer)},
        {1, "segue.progress (the lease may be lost)"});
}

Status send_chunk(StatementPipeline& pipeline, const StoredChunk& chunk) {
    const auto bound = [](const std::optional<Key>& key) -> std::optional<std::string> {
        if (!key) return std::nullopt;
        return text_array(*key);
    };
    return pipeline.query(
        "INSERT INTO segue.chunk (table_schema, table_name, chunk, low, high, load_position, rows, "
        "bytes,"
        " last_of_table) VALUES ($1, $2, $3::bigint, $4::text[], $5::text[], $6::pg_lsn, "
        "$7::bigint,"
        " $8::bigint, $9::boolean)",
        {chunk.table.first,
         chunk.table.second,
         std::to_string(chunk.number),
         bound(chunk.range.low),
         bound(chunk.range.high),
         format_lsn(chunk.loaded_at),
         std::to_string(chunk.rows),
         std::to_string(chunk.bytes),
         chunk.range.high ? "false" : "true"},
        {1, "segue.chunk"});
}

Status send_stray(StatementPipeline& pipeline,
                  Side stream,
                  std::uint64_t since,
                  const StrayWrite& stray) {
    return pipeline.query("INSERT INTO segue.event (kind, detail) VALUES ($1, $2)",
                          {stray_kind(stream, since), text_array(stray.tables)},
                          {1, "segue.event"});
}

// Into the newest of them, so that it stands where the last of them stood.
Status send_stray_sum(StatementPipeline& pipeline, Side stream, std::uint64_t since) {
    return pipeline.query(
        std::string{strays_of_kind} +
            " AND id <= (SELECT id FROM segue.event WHERE kind = $1 ORDER BY id DESC"
            " OFFSET $2::bigint LIMIT 1) ORDER BY id LIMIT $3::bigint FOR UPDATE" +
            counted_strays +
            ", one AS (SELECT max(id) AS id, sum(n) AS n, coalesce((SELECT array_agg(name) FROM "
            "(SELECT"
            " DISTINCT name FROM counted, unnest(tables::text[]) name ORDER BY name LIMIT"
            " $4::bigint) named), '{}') AS tables FROM counted HAVING count(*) > 1),"
            " gone AS (DELETE FROM segue.event e USING counted c, one WHERE e.id = c.id AND c.id <"
            " one.id)"
            " UPDATE segue.event e SET detail = one.n || ' transactions: ' || one.tables::text"
            " FROM one WHERE e.id = one.id",
        {stray_kind(stream, since),
         std::to_string(events_kept_max),
         std::to_string(events_deleted_max),
         std::to_string(stray_tables_max)},
        {std::nullopt, "segue.event"});
}

Result<StoredStrays> read_strays(Connection& connection, Side stream, std::uint64_t since) {
    const auto rows = connection.execute(
        std::string{strays_of_kind} + counted_strays + " SELECT n, tables FROM counted",
        {stray_kind(stream, since)});
    if (!rows) return rows.error();
    StoredStrays strays;
    std::set<std::string> tables;
    for (int row = 0; row < rows->size(); ++row) {
        strays.count += static_cast<std::uint64_t>(rows->number(row, 0));
        if (tables.size() >= stray_tables_max) continue;
        for (std::string& table : parse_text_array(rows->at(row, 1)))
            tables.insert(std::move(table));
    }
    strays.tables.assign(tables.begin(), tables.end());
    return strays;
}

Status forget_strays(Connection& connection,
                     Side stream,
                     std::uint64_t since,
                     std::uint64_t count) {
    const auto removed = connection.execute(
        std::string{strays_of_kind} + " ORDER BY id FOR UPDATE" + counted_strays +
            ", summed AS (SELECT *, sum(n) OVER (ORDER BY id) AS upto FROM counted),"
            " gone AS (DELETE FROM segue.event e USING summed s WHERE e.id = s.id AND s.upto <="
            " $2::bigint)"
            " UPDATE segue.event e SET detail = s.upto - $2::bigint || ' transactions: ' ||"
            " s.tables FROM summed s WHERE e.id = s.id AND s.upto > $2::bigint AND s.upto - s.n <"
            " $2::bigint",
        {stray_kind(stream, since), std::to_string(count)});
    if (!removed) return removed.error();
    return Done{};
}

}  // namespace segue::backfill::postgres
