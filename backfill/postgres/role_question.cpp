#include "backfill/postgres/role_question.hpp"

#include "backfill/postgres/text_array.hpp"
#include "protocol/postgres/classify.hpp"

namespace segue::backfill::postgres {

namespace {

// Settings that decide how values are read and written, what a name means, and which rows a role
// sees; of those that the application has made up itself, all.
constexpr const char* reading_settings =
    "^(search_path|row_security|TimeZone|DateStyle|IntervalStyle|extra_float_digits|bytea_output"
    "|standard_conforming_strings|array_nulls|transform_null_equals|lc_monetary|lc_numeric|lc_time"
    "|xmlbinary|xmloption|default_text_search_config)$";

// Rows as text of records, so that one function serves every statement: at most rows_max + 1; or,
// where that is NULL, how many there are and sums of their hashes, which nothing grows with. The
// halves of a hash are added apart, so that no sum overflows.
std::string ask_function() {
    return std::string{R"sql(
CREATE FUNCTION pg_temp.segue_ask(names text[], vals text[], allowed text, prepare text, run text, rows_max bigint)
RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER AS $body$
DECLARE
  line record;
  told bigint := 0;
  hash bigint;
  low bigint := 0;
  high bigint := 0;
  mixed bigint := 0;
  in_order bigint := 0;
BEGIN
  BEGIN)sql"} +
           take_settings_sql + R"sql(
  EXCEPTION WHEN OTHERS THEN
    -- A value that this server does not have: no answer of the read.
    RAISE 'its settings cannot be taken here: %', SQLERRM USING ERRCODE = 'operator_intervention';
  END;
  IF prepare IS NOT NULL THEN
    EXECUTE prepare;
  END IF;
  FOR line IN EXECUTE run LOOP
    told := told + 1;
    IF rows_max IS NULL THEN
      hash := pg_catalog.hashtextextended(line::pg_catalog.text, 0);
      low := low + (hash & 4294967295);
      high := high + ((hash >> 32) & 4294967295);
      mixed := mixed # pg_catalog.hashtextextended(line::pg_catalog.text, 1);
      in_order := pg_catalog.hashtextextended(line::pg_catalog.text, in_order);
    ELSE
      RETURN NEXT line::pg_catalog.text;
      EXIT WHEN told > rows_max;
    END IF;
  END LOOP;
  IF prepare IS NOT NULL THEN
    DEALLOCATE segue_ask;
  END IF;
  IF rows_max IS NULL THEN
    RETURN NEXT pg_catalog.concat_ws(' ', told, low, high, mixed);
    RETURN NEXT in_order::pg_catalog.text;
  END IF;
END $body$)sql";
}

constexpr const char* call_ask_function =
    "SELECT * FROM pg_temp.segue_ask($1::text[], $2::text[], $3, $4, $5, $6)";

// "EXECUTE segue_ask ('a', NULL)": the prepared statement knows of what types they are.
std::string execute_sql(const Parameters& parameters) {
    std::string values;
    for (const auto& value : parameters) {
        values += values.empty() ? " (" : ", ";
        values += value ? quote_literal(*value) : "NULL";
    }
    return "EXECUTE segue_ask" + (values.empty() ? values : values + ")");
}

Status execute(Connection& connection, const std::string& sql, Deadline deadline) {
    const auto done = execute_before(connection, sql, std::nullopt, deadline);
    if (!done) return done.error();
    return Done{};
}

}  // namespace

Result<RoleQuestion> RoleQuestion::prepare(Connection& connection,
                                           const std::string& role,
                                           Deadline deadline) {
    if (role.empty()) return Error{Errc::refused, "it is not known as which role it was executed"};
    // Nobody needs it on disk.
    const Status begun = execute(connection, "BEGIN; SET LOCAL synchronous_commit = off", deadline);
    if (!begun) return begun.error();
    const auto made = make_for_role(connection, role, "segue_ask", ask_function(), deadline);
    const Status ended = execute(connection, made ? "COMMIT" : "ROLLBACK", deadline);
    if (!made) return made.error();
    if (!ended) return ended.error();
    // What a deadline of ours has set is not for what comes after.
    const auto unlimited = connection.execute("SET statement_timeout = 0");
    if (!unlimited) return unlimited.error();
    return RoleQuestion{connection, role, *made};
}

Result<Rows> RoleQuestion::answer(const SessionRead& read,
                                  std::optional<std::size_t> rows_max,
                                  Deadline deadline) {
    // Nothing else may stand behind PREPARE.
    if (protocol::postgres::classify(read.statement).kind !=
        protocol::postgres::StatementKind::read)
        return Error{Errc::refused, "its text is not known to be a single read"};
    // The session's user, too, where we may: policies and views ask for it.
    const std::string take = superuser_ ? "SET LOCAL SESSION AUTHORIZATION " : "SET LOCAL ROLE ";
    const std::string begin[] = {
        "SET LOCAL transaction_read_only = on", as_nobody_sql, take + quote_identifier(role_)};
    for (const std::string& step : begin) {
        if (const Status done = execute(*connection_, step, deadline); !done) return done.error();
    }
    auto settings = settings_of_role(*connection_, role_, deadline);
    if (!settings) return settings.error();
    settings->insert(settings->end(), read.settings.begin(), read.settings.end());
    std::vector<std::string> names, values;
    for (const auto& [name, value] : *settings) {
        names.push_back(name);
        values.push_back(value);
    }
    // What has no parameters is executed row by row: EXECUTE would put all of them by first.
    std::optional<std::string> prepare;
    std::string run = read.statement;
    if (!read.parameters.empty()) {
        auto prepared =
            prepare_sql(*connection_, "segue_ask", read.parameter_types, read.statement, deadline);
        if (!prepared) return prepared.error();
        prepare = std::move(*prepared);
        run = execute_sql(read.parameters);
    }
    return execute_before(
        *connection_,
        call_ask_function,
        Parameters{text_array(names),
                   text_array(values),
                   reading_settings,
                   prepare,
                   run,
                   rows_max ? std::optional{std::to_string(*rows_max)} : std::nullopt},
        deadline);
}

Result<AnswerDigest> RoleQuestion::digest(const SessionRead& read, Deadline deadline) {
    const auto told = answer(read, std::nullopt, deadline);
    if (!told) return told.error();
    if (told->size() != 2) return Error{Errc::bad_value, "a digest is not what was expected"};
    return AnswerDigest{told->text(0, 0), told->text(1, 0)};
}

Result<std::vector<Twin::Row>> RoleQuestion::ask(const SessionRead& read,
                                                 std::size_t rows_max,
                                                 Deadline deadline) {
    const auto told = answer(read, rows_max, deadline);
    if (!told) return told.error();
    if (static_cast<std::size_t>(told->size()) > rows_max)
        return Error{Errc::too_large, "a read that was asked again returned too many rows"};
    std::vector<Twin::Row> rows;
    rows.reserve(static_cast<std::size_t>(told->size()));
    for (int row = 0; row < told->size(); ++row)
        rows.push_back(parse_text_record(told->at(row, 0)));
    return rows;
}

}  // namespace segue::backfill::postgres
