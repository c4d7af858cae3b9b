#include "protocol/postgres/temporary_tables.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "protocol/postgres/reply_walk.hpp"
#include "protocol/postgres/temporary_tables_sql.hpp"

namespace segue::protocol::postgres {

namespace {

constexpr std::string_view carry_name = "_segue_carry";
constexpr std::uint32_t text_oid = 25;
constexpr std::uint32_t bigint_oid = 20;
constexpr std::uint32_t bool_oid = 16;

// How values are written and read, whatever the session has set, and that our own question is
// planned as usual and may take its time; until the transaction ends.
constexpr std::string_view local_settings_sql =
    "SELECT pg_catalog.set_config(s.name, s.value, true) FROM (VALUES ('search_path', 'pg_catalog, "
    "pg_temp'), ('datestyle', 'ISO'),"
    " ('intervalstyle', 'postgres'), ('extra_float_digits', '3'), ('bytea_output', 'hex'), "
    "('lc_monetary', 'C'), ('xmloption', 'content'),"
    " ('array_nulls', 'on'), ('default_tablespace', ''), ('temp_tablespaces', ''), "
    "('statement_timeout', '0'), ('jit', 'off'), ('enable_seqscan', 'on'),"
    " ('enable_indexscan', 'on'), ('enable_indexonlyscan', 'on'), ('enable_bitmapscan', 'on'), "
    "('enable_nestloop', 'on'),"
    " ('enable_hashjoin', 'on'), ('enable_mergejoin', 'on'), ('enable_material', 'on'), "
    "('enable_sort', 'on'), ('enable_hashagg', 'on'))"
    " AS s(name, value)";
constexpr std::string_view pass_the_fence_sql =
    "SELECT pg_catalog.set_config('segue.carry', pg_catalog.pg_current_xact_id()::pg_catalog.text, "
    "true)";

// Under a name of ours, which is forgotten at once.
void append_own(std::string& request, std::string_view statement) {
    append(request, Close{'S', carry_name});
    append(request, Parse{carry_name, statement, {}});
    append(request, Bind{"", carry_name, {}, {}, {}});
    append(request, Execute{"", 0});
}

std::string finished(std::string request) {
    append(request, Close{'S', carry_name});
    append_sync(request);
    return request;
}

std::string with_local_settings() {
    std::string request;
    append_own(request, local_settings_sql);
    return request;
}

// An aborted transaction leaves its pages in a table that is emptied at commits, until the next
// commit of one that has looked at any temporary table: this one.
constexpr std::string_view empty_what_is_left_sql =
    "SELECT pg_catalog.sum(pg_catalog.pg_relation_size(oid))::pg_catalog.text FROM "
    "pg_catalog.pg_class"
    " WHERE relnamespace = pg_catalog.pg_my_temp_schema() AND relkind = 'r'";

// On the other connection nobody has an unnamed statement yet.
void append_unnamed(std::string& request, std::string_view statement) {
    append(request, Parse{"", statement, {}});
    append(request, Bind{"", "", {}, {}, {}});
    append(request, Execute{"", 0});
}

std::uint64_t number(std::string_view digits) {
    std::uint64_t value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
}

// Every message of a reply that is refused by the first error.
template <class OnFrame>
Step<Done> walk_frames(Bytes reply, OnFrame&& on_frame, std::size_t ready_count = 1) {
    ReplyWalk walk{reply, "temporary tables", ready_count};
    std::optional<Error> error;
    while (!walk.ended()) {
        const Step<Frame> step = walk.next();
        if (const auto* need = std::get_if<NeedMore>(&step)) return *need;
        if (const auto* broken = std::get_if<Error>(&step)) return *broken;
        if (walk.refusal() && !error) error = walk.refusal();
        if (const Status seen = on_frame(std::get<Frame>(step)); !seen) return seen.error();
    }
    if (error) return *error;
    return Done{};
}

// Its rows.
template <class OnRow>
Step<Done> walk_rows(Bytes reply,
                     std::size_t columns,
                     OnRow&& on_row,
                     std::size_t ready_count = 1) {
    const auto on_frame = [&](const Frame& frame) -> Status {
        if (frame.tag != 'D') return Done{};
        const Result<DataRow> row = parse_data_row(frame.body);
        if (!row) return row.error();
        if (row->size() == columns) on_row(*row);
        return Done{};
    };
    return walk_frames(reply, on_frame, ready_count);
}

std::optional<CarryStep::Kind> kind_of(std::string_view word) {
    using Kind = CarryStep::Kind;
    if (word == "statement") return Kind::statement;
    if (word == "table") return Kind::table;
    if (word == "rows") return Kind::rows;
    if (word == "value") return Kind::value;
    return std::nullopt;
}

constexpr std::size_t found_columns = 5;

void take_row(TemporaryTablesFound& found, const DataRow& row) {
    const auto at = [&row](std::size_t i) {
        return std::string{row[i].value_or(std::string_view{})};
    };
    const std::string_view word = row[0].value_or(std::string_view{});
    if (word == "pin") found.pins.push_back(at(1));
    if (word == "size") found.size = number(at(1));
    const auto kind = kind_of(word);
    if (!kind) return;
    // Could not be put together, for a reason that nobody has thought of.
    if (!row[1]) return found.pins.push_back(at(4) + ", which cannot be described");
    found.steps.push_back({*kind, at(1), {}, at(3), at(2), at(4)});
}

}  // namespace

bool only_temporary_tables(const std::vector<std::string>& pins) {
    return !pins.empty() && std::all_of(pins.begin(), pins.end(), [](const std::string& pin) {
        return pin.starts_with("temporary table ") || pin.starts_with("temporary sequence ");
    });
}

std::string temporary_tables_request() {
    std::string request = with_local_settings();
    append_own(request, empty_what_is_left_sql);
    append_sync(request);
    request += with_local_settings();
    append_own(request, temporary_tables_sql);
    return finished(std::move(request));
}

Step<TemporaryTablesFound> parse_temporary_tables_reply(Bytes reply) {
    TemporaryTablesFound found;
    constexpr std::size_t ready_count = 2;
    const Step<Done> step = walk_rows(
        reply, found_columns, [&found](const DataRow& row) { take_row(found, row); }, ready_count);
    if (const auto* need = std::get_if<NeedMore>(&step)) return *need;
    if (const auto* error = std::get_if<Error>(&step)) return *error;
    return found;
}

std::string on_commit_request(const CarryStep& table) {
    std::string request;
    append_own(request, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
    append_own(request, "SET LOCAL statement_timeout = 0");
    append_own(request, "SAVEPOINT _segue_carry");
    append_own(request, table.extra);
    append_own(request, "ROLLBACK TO SAVEPOINT _segue_carry");
    append_own(request, "COMMIT");
    append_sync(request);
    // Nothing to do, unless something was refused.
    append_own(request, "ROLLBACK");
    append_sync(request);
    append_own(request, "SELECT pg_catalog.pg_relation_size(" + table.oid + ")::pg_catalog.text");
    return finished(std::move(request));
}

Step<OnCommit> parse_on_commit_reply(Bytes reply) {
    ReplyWalk walk{reply, "temporary tables", 3};
    OnCommit found = OnCommit::delete_rows;
    bool idle = false;
    while (!walk.ended()) {
        const Step<Frame> step = walk.next();
        if (const auto* need = std::get_if<NeedMore>(&step)) return *need;
        if (const auto* broken = std::get_if<Error>(&step)) return *broken;
        if (walk.refusal()) found = OnCommit::unknown;
        const Frame& frame = std::get<Frame>(step);
        if (frame.tag == 'Z') idle = text(frame.body) == "I";
        if (frame.tag != 'D' || found == OnCommit::unknown) continue;
        const Result<DataRow> row = parse_data_row(frame.body);
        if (!row || row->size() != 1)
            return Error{Errc::bad_value, "temporary tables: unexpected answer"};
        if (number((*row)[0].value_or(std::string_view{})) > 0) found = OnCommit::preserve_rows;
    }
    // The client would go on in a transaction of ours.
    if (!idle) return Error{Errc::bad_value, "temporary tables: a transaction of ours did not end"};
    return found;
}

bool settle_on_commit(CarryStep& table, OnCommit what) {
    switch (what) {
        case OnCommit::preserve_rows:
            return true;
        case OnCommit::delete_rows:
            table.text += " ON COMMIT DELETE ROWS";
            return true;
        case OnCommit::unknown:
            return false;
    }
    return false;
}

std::string sizes_request(const std::vector<CarryStep>& steps) {
    std::string request = with_local_settings();
    for (const CarryStep& step : steps) {
        if (step.kind != CarryStep::Kind::rows) continue;
        append_own(request,
                   "SELECT "
                   "pg_catalog.sum(pg_catalog.octet_length(_segue.*::pg_catalog.text))::pg_catalog."
                   "text, NULL FROM ONLY " +
                       step.extra + " AS _segue");
    }
    return finished(std::move(request));
}

Step<std::uint64_t> parse_sizes_reply(Bytes reply) {
    std::uint64_t size = 0;
    const Step<Done> step = walk_rows(reply, 2, [&size](const DataRow& row) {
        size += number(row[0].value_or(std::string_view{}));
    });
    if (const auto* need = std::get_if<NeedMore>(&step)) return *need;
    if (const auto* error = std::get_if<Error>(&step)) return *error;
    return size;
}

std::string contents_request(const std::vector<CarryStep>& steps) {
    std::string request = with_local_settings();
    for (const CarryStep& step : steps) {
        if (step.kind == CarryStep::Kind::rows)
            append_own(request, "COPY " + step.text + " TO STDOUT");
        if (step.kind == CarryStep::Kind::value)
            append_own(request,
                       "COPY (SELECT last_value, is_called FROM " + step.text + ") TO STDOUT");
    }
    return finished(std::move(request));
}

Step<std::vector<CarryStep>> parse_contents_reply(Bytes reply,
                                                  const std::vector<CarryStep>& steps) {
    std::vector<std::string> copied;
    const Step<Done> walked = walk_frames(reply, [&](const Frame& frame) -> Status {
        if (frame.tag == 'H') copied.emplace_back();
        if (frame.tag == 'd' && !copied.empty()) copied.back() += text(frame.body);
        return Done{};
    });
    if (const auto* need = std::get_if<NeedMore>(&walked)) return *need;
    if (const auto* error = std::get_if<Error>(&walked)) return *error;
    std::vector<CarryStep> filled = steps;
    std::size_t next = 0;
    for (CarryStep& step : filled) {
        if (step.kind != CarryStep::Kind::rows && step.kind != CarryStep::Kind::value) continue;
        if (next == copied.size())
            return Error{Errc::bad_value, "temporary tables: a copy is missing"};
        step.data = std::move(copied[next++]);
    }
    return filled;
}

TemporaryTables temporary_tables(std::vector<CarryStep> steps) {
    HashStream hash;
    for (const CarryStep& step : steps) {
        // The oid is the own server's.
        for (const std::string* part : {&step.text, &step.data}) {
            hash.update(bytes(*part));
            hash.update(bytes(std::string_view{"\0", 1}));
        }
    }
    return {std::move(steps), hash.finish()};
}

void append_begin_carrying(std::string& request) {
    append_unnamed(request, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
}

void append_temporary_tables(std::string& request, const TemporaryTables& tables) {
    append_unnamed(request, local_settings_sql);
    append_unnamed(request, pass_the_fence_sql);
    for (const CarryStep& step : tables.steps) {
        switch (step.kind) {
            case CarryStep::Kind::statement:
            case CarryStep::Kind::table:
                append_unnamed(request, step.text);
                break;
            case CarryStep::Kind::rows:
                if (step.data.empty()) break;
                append_unnamed(request, "COPY " + step.text + " FROM STDIN");
                append_message(request, 'd', step.data);
                append_message(request, 'c', {});
                break;
            case CarryStep::Kind::value: {
                const std::size_t tab = std::min(step.data.find('\t'), step.data.size());
                const bool called = step.data.substr(tab).starts_with("\tt");
                append(request,
                       Parse{"",
                             "SELECT pg_catalog.setval($1::pg_catalog.regclass, $2, $3)",
                             {text_oid, bigint_oid, bool_oid}});
                append(request,
                       Bind{"",
                            "",
                            {},
                            {step.text, step.data.substr(0, tab), std::string{called ? "t" : "f"}},
                            {}});
                append(request, Execute{"", 0});
                break;
            }
        }
    }
    append_unnamed(request, "COMMIT");
}

}  // namespace segue::protocol::postgres
