// The second half of session_state.hpp: putting a state onto another connection.

#include <algorithm>
#include <array>
#include <optional>

#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "protocol/postgres/prepare_text.hpp"
#include "protocol/postgres/session_state.hpp"

namespace segue::protocol::postgres {

namespace {

constexpr std::uint32_t text_oid = 25;
constexpr std::uint32_t text_array_oid = 1009;

// Set last, so that they do not strike the restore itself.
constexpr std::array<std::string_view, 5> timeouts = {"statement_timeout",
                                                      "lock_timeout",
                                                      "idle_session_timeout",
                                                      "idle_in_transaction_session_timeout",
                                                      "transaction_timeout"};
bool is_timeout(std::string_view name) {
    return std::find(timeouts.begin(), timeouts.end(), name) != timeouts.end();
}

std::string quoted_identifier(std::string_view identifier) {
    std::string quoted = "\"";
    for (const char c : identifier) {
        if (c == '"') quoted += '"';
        quoted += c;
    }
    return quoted + '"';
}

void append_execution(std::string& request, std::string_view statement) {
    append(request, Parse{"", statement, {}});
    append(request, Bind{"", "", {}, {}, {}});
    append(request, Execute{"", 0});
}

// A setting that only one of two versions has (transaction_timeout, 17) is nothing that a session
// on the other could have; names with a dot are unknown until they are set.
constexpr std::string_view set_config_sql =
    "SELECT pg_catalog.set_config($1, $2, false) "
    "WHERE pg_catalog.strpos($1, '.') > 0 OR pg_catalog.current_setting($1, true) IS NOT NULL";

void append_setting(std::string& request, const std::pair<std::string, std::string>& setting) {
    append(request, Bind{"", "", {}, {setting.first, setting.second}, {}});
    append(request, Execute{"", 0});
}

// client_encoding first: what follows is in that encoding.
void append_settings(std::string& request, const SessionState& state) {
    append(request, Parse{"", set_config_sql, {text_oid, text_oid}});
    for (const auto& setting : state.settings) {
        if (setting.first == "client_encoding") append_setting(request, setting);
    }
    for (const auto& setting : state.settings) {
        if (setting.first != "client_encoding" && !is_timeout(setting.first))
            append_setting(request, setting);
    }
    for (const auto& setting : state.custom_settings) append_setting(request, setting);
}

void append_identity(std::string& request, const SessionState& state) {
    // Only where it differs: a role that is no superuser may not even set what is in force.
    append(request,
           Parse{"",
                 "SELECT pg_catalog.set_config('session_authorization', $1, false) WHERE "
                 "session_user <> $1",
                 {text_oid}});
    append(request, Bind{"", "", {}, {state.session_authorization}, {}});
    append(request, Execute{"", 0});
    append(request,
           Parse{"",
                 "SELECT pg_catalog.set_config('role', $1, false) WHERE "
                 "pg_catalog.current_setting('role') <> $1",
                 {text_oid}});
    append(request, Bind{"", "", {}, {state.role}, {}});
    append(request, Execute{"", 0});
}

Result<std::uint32_t> oid_of(const TypeName& type, const TypeOids& oids) {
    if (type.built_in()) return type.oid;
    const auto found = oids.find({type.schema, type.name});
    if (found == oids.end()) {
        return Error{Errc::refused,
                     "the other side has no type " + quoted_identifier(type.schema) + "." +
                         quoted_identifier(type.name)};
    }
    return found->second;
}

Result<std::vector<std::uint32_t>> oids_of(const std::vector<TypeName>& types,
                                           const TypeOids& oids) {
    std::vector<std::uint32_t> list;
    for (const TypeName& type : types) {
        const Result<std::uint32_t> oid = oid_of(type, oids);
        if (!oid) return oid.error();
        list.push_back(*oid);
    }
    return list;
}

Status append_statements(std::string& request, const SessionState& state, const TypeOids& oids) {
    for (const PreparedStatement& statement : state.statements) {
        if (statement.from_sql) {
            const auto text =
                find_prepare(statement.text, statement.name, backslash_escapes(state));
            if (!text) {
                return Error{Errc::refused,
                             "prepared statement " + quoted_identifier(statement.name) +
                                 " cannot be found in the text that prepared it"};
            }
            append_execution(request, *text);
        } else {
            const auto types = oids_of(statement.parameter_types, oids);
            if (!types) return types.error();
            append(request, Parse{statement.name, statement.text, *types});
        }
    }
    return Done{};
}

Status append_unnamed(std::string& request, const SessionState& state, const TypeOids& oids) {
    if (state.unnamed_parse.empty()) return Done{};
    const auto parsed = parse_parse(bytes(state.unnamed_parse).subspan(header_size));
    if (!parsed) return parsed.error();
    const auto types = oids_of(state.unnamed_types, oids);
    if (!types) return types.error();
    append(request, Parse{"", parsed->text, *types});
    return Done{};
}

std::vector<TypeName> foreign_types(const SessionState& state) {
    std::vector<TypeName> types;
    const auto take = [&types](const std::vector<TypeName>& from) {
        std::copy_if(from.begin(), from.end(), std::back_inserter(types), [](const TypeName& type) {
            return !type.built_in();
        });
    };
    for (const PreparedStatement& statement : state.statements) {
        if (!statement.from_sql) take(statement.parameter_types);
    }
    take(state.unnamed_types);
    return types;
}

std::string name_array(const std::vector<TypeName>& types, std::string TypeName::*member) {
    std::string array = "{";
    for (const TypeName& type : types) {
        if (array.size() > 1) array += ',';
        array += '"';
        for (const char c : type.*member) {
            if (c == '"' || c == '\\') array += '\\';
            array += c;
        }
        array += '"';
    }
    return array + '}';
}

// Walks whole messages up to ReadyForQuery; `on_row` gets each DataRow.
template <class OnRow>
Step<Done> until_ready(Bytes reply, std::string_view what, OnRow&& on_row) {
    ReplyWalk walk{reply, what};
    std::optional<Error> error;
    while (!walk.ended()) {
        const Step<Frame> step = walk.next();
        if (const auto* need = std::get_if<NeedMore>(&step)) return *need;
        if (const auto* broken = std::get_if<Error>(&step)) return *broken;
        const Frame& frame = std::get<Frame>(step);
        if (walk.refusal() && !error) error = walk.refusal();
        if (frame.tag != 'D') continue;
        const Result<DataRow> row = parse_data_row(frame.body);
        if (!row) return row.error();
        on_row(*row);
    }
    if (error) return *error;
    return Done{};
}

}  // namespace

bool backslash_escapes(const SessionState& state) {
    return std::any_of(state.settings.begin(), state.settings.end(), [](const auto& setting) {
        return setting.first == "standard_conforming_strings" && setting.second == "off";
    });
}

std::string resolve_request(const SessionState& state) {
    const std::vector<TypeName> types = foreign_types(state);
    if (types.empty()) return {};
    const std::string schemas = name_array(types, &TypeName::schema);
    const std::string names = name_array(types, &TypeName::name);
    std::string request;
    append(
        request,
        Parse{"",
              "SELECT t.oid::pg_catalog.text, n.nspname, t.typname "
              "FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace "
              "WHERE (n.nspname, t.typname) IN (SELECT a::pg_catalog.name, b::pg_catalog.name "
              "FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS u(a, b))",
              {text_array_oid, text_array_oid}});
    append(request, Bind{"", "", {}, {schemas, names}, {}});
    append(request, Execute{"", 0});
    append(request, Close{'S', ""});
    append_sync(request);
    return request;
}

Step<TypeOids> parse_resolve_reply(Bytes reply, const SessionState& state) {
    TypeOids oids;
    const Step<Done> step = until_ready(reply, "type resolution", [&oids](const DataRow& row) {
        if (row.size() != 3 || !row[0] || !row[1] || !row[2]) return;
        oids[{std::string{*row[1]}, std::string{*row[2]}}] =
            static_cast<std::uint32_t>(std::strtoul(std::string{*row[0]}.c_str(), nullptr, 10));
    });
    if (const auto* need = std::get_if<NeedMore>(&step)) return *need;
    if (const auto* error = std::get_if<Error>(&step)) return *error;
    const auto all = oids_of(foreign_types(state), oids);
    if (!all) return all.error();
    return oids;
}

Result<std::string> restore_request(const SessionState& state, const TypeOids& oids) {
    // One Sync for all: the server stops at the first error. Settings are made by the login role,
    // statements are parsed as the role in force sees the schemas.
    std::string request;
    if (state.temporary.any()) append_begin_carrying(request);
    append_settings(request, state);
    append_identity(request, state);
    if (state.temporary.any()) append_temporary_tables(request, state.temporary);
    const Status statements = append_statements(request, state, oids);
    if (!statements) return statements.error();
    for (const std::string& channel : state.channels)
        append_execution(request, "LISTEN " + quoted_identifier(channel));
    append(request, Parse{"", set_config_sql, {text_oid, text_oid}});
    for (const auto& setting : state.settings) {
        if (is_timeout(setting.first)) append_setting(request, setting);
    }
    append(request, Close{'S', ""});
    const Status unnamed = append_unnamed(request, state, oids);
    if (!unnamed) return unnamed.error();
    append_sync(request);
    return request;
}

Step<Done> check_restore_reply(Bytes reply) {
    return until_ready(reply, "state restore", [](const DataRow&) {});
}

std::string reset_request() { return execute_request("DISCARD ALL"); }

std::string execute_request(std::string_view statement) {
    constexpr std::string_view name = "_segue_request";
    std::string request;
    append(request, Close{'S', name});
    append(request, Parse{name, statement, {}});
    append(request, Bind{"", name, {}, {}, {}});
    append(request, Execute{"", 0});
    append(request, Close{'S', name});
    append_sync(request);
    return request;
}

}  // namespace segue::protocol::postgres
