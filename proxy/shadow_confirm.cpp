#include "proxy/shadow_confirm.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "backfill/postgres/tables_read.hpp"
#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/read_request.hpp"
#include "proxy/exchange.hpp"
#include "proxy/shadow.hpp"

namespace segue::proxy {

namespace {

// Types by their numbers in pg_type, which never change.
enum TypeOid : std::uint32_t {
    bool_type = 16,
    bytea_type = 17,
    int8_type = 20,
    int2_type = 21,
    int4_type = 23,
    text_type = 25,
    float4_type = 700,
    float8_type = 701,
    varchar_type = 1043,
    date_type = 1082,
    timestamp_type = 1114,
    timestamptz_type = 1184,
    uuid_type = 2950
};
constexpr std::array<std::uint32_t, 11> exact_types = {bool_type,
                                                       bytea_type,
                                                       int8_type,
                                                       int2_type,
                                                       int4_type,
                                                       text_type,
                                                       varchar_type,
                                                       date_type,
                                                       timestamp_type,
                                                       timestamptz_type,
                                                       uuid_type};
constexpr double float_tolerance = 1e-9;
constexpr std::size_t looked_at_max = 20'000;

// What decides how values are read and written. search_path is carried as the schemas it stands
// for, because the twin's role may be another one.
constexpr const char* settings_query =
    "SELECT 'search_path', coalesce(string_agg(quote_ident(s), ', '), '\"\"') FROM "
    "unnest(current_schemas(false)) AS s "
    "UNION ALL SELECT name, setting FROM pg_settings WHERE name IN ('row_security', 'TimeZone', "
    "'DateStyle', "
    "'IntervalStyle', "
    "'extra_float_digits', 'bytea_output', 'standard_conforming_strings', 'array_nulls', "
    "'transform_null_equals', "
    "'lc_monetary', 'lc_numeric', 'lc_time', 'xmlbinary', 'xmloption', "
    "'default_text_search_config')";
constexpr std::chrono::seconds settings_wait_max{5};

std::optional<std::string> as_text(std::string_view value, std::uint32_t type) {
    ByteReader reader{bytes(value)};
    switch (type) {
        case text_type:
        case varchar_type:
            return std::string{value};
        case bool_type:
            return value.size() == 1 ? std::optional{std::string{value[0] != 0 ? "t" : "f"}}
                                     : std::nullopt;
        case int2_type:
            if (value.size() == 2) return std::to_string(reader.big_endian<std::int16_t>());
            return std::nullopt;
        case int4_type:
            if (value.size() == 4) return std::to_string(reader.big_endian<std::int32_t>());
            return std::nullopt;
        case int8_type:
            if (value.size() == 8) return std::to_string(reader.big_endian<std::int64_t>());
            return std::nullopt;
        case uuid_type: {
            if (value.size() != 16) return std::nullopt;
            std::string hex;
            for (const char c : value) {
                constexpr const char* digits = "0123456789abcdef";
                hex += digits[static_cast<unsigned char>(c) >> 4];
                hex += digits[static_cast<unsigned char>(c) & 15];
            }
            return hex;
        }
        default:
            return std::nullopt;
    }
}

bool mentions_clock(const std::string& value) {
    return value == "now" || value == "today" || value == "tomorrow" || value == "yesterday";
}

bool is_float(std::uint32_t type) { return type == float4_type || type == float8_type; }

bool values_differ(const std::optional<std::string>& one,
                   const std::optional<std::string>& other,
                   bool is_a_float) {
    if (one == other) return false;
    if (!one || !other || !is_a_float) return true;
    const double first = std::strtod(one->c_str(), nullptr),
                 second = std::strtod(other->c_str(), nullptr);
    return !(std::abs(first - second) <=
             float_tolerance * std::max(std::abs(first), std::abs(second)));
}

// What the session had in force: what it has made up itself (which row security may go by), and, as
// the connection of its kind tells, what decides how values are read and written.
backfill::SessionRead read_of(const ShadowJob& job,
                              backfill::Twin::Row parameters,
                              const std::vector<TextRow>& settings) {
    backfill::SessionRead read{
        {}, job.text, parameter_types(job.parse, job.request), std::move(parameters)};
    for (const auto& setting : job.context->settings) {
        if (setting.first.find('.') != std::string::npos) read.settings.push_back(setting);
    }
    for (const TextRow& setting : settings) {
        if (setting.size() == 2)
            read.settings.emplace_back(setting[0].value_or(""), setting[1].value_or(""));
    }
    return read;
}

// Null: not known.
std::shared_ptr<const backfill::ReadTables> tables_of(const ShadowJob& job,
                                                      const backfill::SessionRead& read,
                                                      backfill::Twin& twin) {
    const auto path = std::find_if(read.settings.begin(), read.settings.end(), [](const auto& one) {
        return one.first == "search_path";
    });
    auto tables = backfill::postgres::tables_read(
        twin, job.authority, job.text, path == read.settings.end() ? "" : path->second);
    if (!tables) return nullptr;
    return std::make_shared<const backfill::ReadTables>(std::move(*tables));
}

// What asking both sides again in the same state has shown.
enum class Asked : std::uint8_t { different, alike, too_much, nothing };

constexpr const char* query_canceled = "57014";

bool is_too_much(const Error& error) {
    // Its time was over, by our own limit or somebody's.
    const bool late = error.code == Errc::timed_out && error.sqlstate.empty();
    return late || error.code == Errc::too_large || error.sqlstate == query_canceled;
}

// Of two answers at least one is an error. One side refuses what the other one answers: that is a
// difference, unless it is a matter of privileges or time.
template <class Answer>
Asked refused(const Result<Answer>& authority, const Result<Answer>& follower) {
    if ((!authority && is_too_much(authority.error())) ||
        (!follower && is_too_much(follower.error())))
        return Asked::too_much;
    const bool both_answered = (authority || authority.error().code == Errc::server) &&
                               (follower || follower.error().code == Errc::server);
    if (!both_answered) return Asked::nothing;
    const std::string code = authority ? follower.error().sqlstate : authority.error().sqlstate;
    const bool same =
        !authority && !follower && authority.error().sqlstate == follower.error().sqlstate;
    const bool ours = code.starts_with("42501") || code.starts_with("57") ||
                      code.starts_with("40") || code.starts_with("53") || code.starts_with("25");
    return same || ours ? Asked::nothing : Asked::different;
}

// Digests first: whatever the number of rows. Only floating point numbers must be looked at.
Asked ask_again(const ShadowJob& job,
                const backfill::SessionRead& read,
                bool order_defined,
                backfill::Twin& twin) {
    const Side follower = other(job.authority);
    // What was too much for one side need not be asked of the other.
    const auto first = twin.digest(job.authority, read);
    if (!first && is_too_much(first.error())) return Asked::too_much;
    const auto second = twin.digest(follower, read);
    if (!first || !second) return refused(first, second);
    const bool same =
        first->rows == second->rows && (!order_defined || first->in_order == second->in_order);
    if (same) return Asked::alike;
    if (std::none_of(job.column_types.begin(), job.column_types.end(), is_float))
        return Asked::different;
    const auto ours = twin.ask(job.authority, read, confirmed_rows_max);
    if (!ours && is_too_much(ours.error())) return Asked::too_much;
    const auto theirs = twin.ask(follower, read, confirmed_rows_max);
    if (!ours || !theirs) return refused(ours, theirs);
    return rows_differ(*ours, *theirs, order_defined, job.column_types) ? Asked::different
                                                                        : Asked::alike;
}

}  // namespace

bool types_sort_exactly(const std::vector<std::uint32_t>& types) {
    return std::all_of(types.begin(), types.end(), [](std::uint32_t type) {
        return std::find(exact_types.begin(), exact_types.end(), type) != exact_types.end();
    });
}

bool rows_differ(TwinRows authority,
                 TwinRows follower,
                 bool order_defined,
                 const std::vector<std::uint32_t>& types) {
    if (authority.size() != follower.size()) return true;
    if (!order_defined) {
        std::sort(authority.begin(), authority.end());
        std::sort(follower.begin(), follower.end());
    }
    for (std::size_t row = 0; row < authority.size(); ++row) {
        if (authority[row].size() != follower[row].size()) return true;
        for (std::size_t column = 0; column < authority[row].size(); ++column) {
            const bool float_column = column < types.size() && is_float(types[column]);
            if (values_differ(authority[row][column], follower[row][column], float_column))
                return true;
        }
    }
    return false;
}

std::vector<std::uint32_t> parameter_types(std::string_view parse, std::string_view request) {
    using namespace protocol::postgres;
    const auto recognised = recognise_read_request(bytes(request));
    if (recognised && recognised->parse) return recognised->parse->types;
    const Step<Frame> step = next_frame(bytes(parse), parse.size());
    const auto* frame = std::get_if<Frame>(&step);
    if (frame == nullptr) return {};
    const Result<Parse> message = parse_parse(frame->body);
    return message ? message->types : std::vector<std::uint32_t>{};
}

std::optional<backfill::Twin::Row> text_parameters(std::string_view parse,
                                                   std::string_view request) {
    using namespace protocol::postgres;
    const auto recognised = recognise_read_request(bytes(request));
    if (!recognised) return std::nullopt;
    const std::vector<std::uint32_t> types = parameter_types(parse, request);
    const Bind& bind = recognised->bind;
    backfill::Twin::Row parameters;
    for (std::size_t i = 0; i < bind.values.size(); ++i) {
        const auto format =
            bind.formats.empty()
                ? 0
                : bind.formats[bind.formats.size() == 1 ? 0 : std::min(i, bind.formats.size() - 1)];
        const auto& value = bind.values[i];
        std::optional<std::string> as;
        if (value) {
            as = format == 0 ? std::optional{std::string{*value}}
                             : as_text(*value, i < types.size() ? types[i] : 0);
            if (!as || mentions_clock(*as)) return std::nullopt;
        }
        parameters.push_back(std::move(as));
    }
    return parameters;
}

bool FollowedUp::take(Side authority, Comparison outcome, const backfill::ReadTables& read) {
    const std::lock_guard lock{mutex_};
    if (std::exchange(authority_, authority) != authority) looked_at_.clear();
    bool fresh = false;
    for (const Name& table : read.tables) {
        if (outcome == Comparison::different)
            looked_at_.erase(table);
        else if (looked_at_.size() < looked_at_max)
            fresh |= looked_at_.insert(table).second;
    }
    return fresh || outcome == Comparison::different;
}

bool AskedLately::contains(const std::string& statement, Clock::time_point now) const {
    const std::lock_guard lock{mutex_};
    const auto found = until_.find(statement);
    return found != until_.end() && now < found->second;
}

void AskedLately::add(const std::string& statement,
                      Clock::time_point now,
                      Clock::time_point until) {
    const std::lock_guard lock{mutex_};
    std::erase_if(until_, [&](const auto& one) { return one.second <= now; });
    if (until_.size() >= asked_lately_max && !until_.contains(statement)) {
        until_.erase(
            std::min_element(until_.begin(), until_.end(), [](const auto& a, const auto& b) {
                return a.second < b.second;
            }));
    }
    until_[statement] = until;
}

Confirmation confirm(const ShadowJob& job,
                     bool order_defined,
                     Transport& follower,
                     const OpenTwin& open_twin,
                     FollowUp follow_up) {
    const auto parameters = text_parameters(job.parse, job.request);
    const bool role_known = job.context && !job.context->role.empty();
    if (!parameters || !open_twin || !role_known) return {};
    const auto now = std::chrono::steady_clock::now();
    const auto settings = query_rows(follower, settings_query, now + settings_wait_max);
    if (!settings) {
        if (settings.error().code != Errc::server) follower.close();
        return {};
    }
    auto twin = open_twin(job.context->role, now + twin_wait_max);
    if (!twin) return {};
    const backfill::WallTime seen_at = std::chrono::system_clock::now();
    const backfill::SessionRead read = read_of(job, *parameters, *settings);
    // Before anybody takes the role there: what it may not look up is not for it to be told.
    std::shared_ptr<const backfill::ReadTables> reads;
    if (follow_up == FollowUp::tables) reads = tables_of(job, read, **twin);
    const Asked asked = ask_again(job, read, order_defined, **twin);
    Confirmation found{asked == Asked::different ? Comparison::different : Comparison::unconfirmed,
                       {}};
    const bool suspect = asked == Asked::different || asked == Asked::too_much;
    if (suspect && reads) found.suspected = SuspectedRead{std::move(reads), seen_at};
    return found;
}

}  // namespace segue::proxy
