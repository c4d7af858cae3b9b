#include "protocol/postgres/session_state.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"

namespace segue::protocol::postgres {

namespace {

constexpr std::string_view probe_name = "_segue_probe";
constexpr std::uint32_t text_array_oid = 1009;
constexpr std::uint32_t oid_array_oid = 1028;

// Rows (kind, a, b, c, d). Everything is qualified: the client's search_path is in force. Whatever
// lies in the temporary schema depends on it: tables, functions, types, operators.
constexpr std::string_view probe_sql = R"sql(
WITH s AS MATERIALIZED (SELECT name, setting, source FROM pg_catalog.pg_settings)
SELECT 'setting', s.name, s.setting, NULL::pg_catalog.text, NULL::pg_catalog.text FROM s
 WHERE s.source = 'session' AND s.name NOT IN ('transaction_isolation', 'transaction_read_only',
       'transaction_deferrable', 'seed', 'role', 'session_authorization', 'is_superuser')
UNION ALL
SELECT 'custom', n, pg_catalog.current_setting(n, true), NULL, NULL FROM pg_catalog.unnest($1) AS n
 WHERE pg_catalog.current_setting(n, true) IS NOT NULL
   AND NOT EXISTS (SELECT FROM s WHERE pg_catalog.lower(s.name) = n)
UNION ALL
SELECT 'role', pg_catalog.current_setting('role'), session_user::pg_catalog.text, NULL, NULL
UNION ALL
SELECT 'statement', p.name, p.statement, p.from_sql::pg_catalog.text, NULL
  FROM pg_catalog.pg_prepared_statements p WHERE p.name <> '_segue_probe'
UNION ALL
SELECT 'parameter', p.name, u.position || ':' || u.type::pg_catalog.oid, n.nspname, t.typname
  FROM pg_catalog.pg_prepared_statements p,
       pg_catalog.unnest(p.parameter_types) WITH ORDINALITY AS u(type, position)
  LEFT JOIN pg_catalog.pg_type t ON t.oid = u.type::pg_catalog.oid
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
 WHERE p.name <> '_segue_probe'
UNION ALL
SELECT 'type', t.oid::pg_catalog.text, NULL, n.nspname, t.typname
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = ANY ($2)
UNION ALL
SELECT 'channel', c, NULL, NULL, NULL FROM pg_catalog.pg_listening_channels() AS c
UNION ALL
SELECT 'pin', 'cursor WITH HOLD ' || pg_catalog.quote_ident(c.name), NULL, NULL, NULL
  FROM pg_catalog.pg_cursors c WHERE c.is_holdable
UNION ALL
SELECT 'pin', 'temporary ' || o.type || ' ' || COALESCE(o.name, o.identity), NULL, NULL, NULL
  FROM pg_catalog.pg_depend d, LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) AS o
 WHERE pg_catalog.pg_my_temp_schema() <> 0 AND d.refobjid = pg_catalog.pg_my_temp_schema()
   AND d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
UNION ALL
SELECT 'pin', 'temporary replication slot ' || pg_catalog.quote_ident(r.slot_name), NULL, NULL, NULL
  FROM pg_catalog.pg_get_replication_slots() r WHERE r.temporary AND r.active_pid = pg_catalog.pg_backend_pid()
UNION ALL
SELECT 'pin', 'advisory lock ' || l.classid || ',' || l.objid, NULL, NULL, NULL
  FROM pg_catalog.pg_locks l WHERE l.locktype = 'advisory' AND l.pid = pg_catalog.pg_backend_pid()
)sql";

std::vector<std::uint32_t> types_of(const std::string& parse_message) {
    if (parse_message.empty()) return {};
    const Result<Parse> parsed = parse_parse(bytes(parse_message).subspan(header_size));
    return parsed ? parsed->types : std::vector<std::uint32_t>{};
}

std::string text_array(const std::vector<std::string>& items) {
    std::string array = "{";
    for (const std::string& item : items) {
        if (array.size() > 1) array += ',';
        array += '"';
        for (const char c : item) {
            if (c == '"' || c == '\\') array += '\\';
            array += c;
        }
        array += '"';
    }
    return array + '}';
}

std::string oid_array(const std::vector<std::uint32_t>& oids) {
    std::string array = "{";
    for (const std::uint32_t oid : oids) {
        if (array.size() > 1) array += ',';
        array += std::to_string(oid);
    }
    return array + '}';
}

std::uint32_t number(std::string_view digits) {
    std::uint32_t value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
}

struct ProbeRows {
    struct Parameter {
        std::string statement;
        std::uint32_t position = 0;
        TypeName type;
    };
    SessionState state;
    std::vector<Parameter> parameters;
    std::vector<TypeName> types;
};

void take_row(ProbeRows& rows, const DataRow& row) {
    const auto at = [&row](std::size_t i) {
        return std::string{row[i].value_or(std::string_view{})};
    };
    const std::string_view kind = row[0].value_or(std::string_view{});
    SessionState& state = rows.state;
    if (kind == "setting") {
        state.settings.emplace_back(at(1), at(2));
    } else if (kind == "custom") {
        state.custom_settings.emplace_back(at(1), at(2));
    } else if (kind == "role") {
        state.role = at(1);
        state.session_authorization = at(2);
    } else if (kind == "statement") {
        state.statements.push_back({at(1), at(2), {}, at(3) == "true"});
    } else if (kind == "parameter") {
        const std::string position_and_oid = at(2);
        const std::size_t colon = std::min(position_and_oid.find(':'), position_and_oid.size() - 1);
        rows.parameters.push_back(
            {at(1),
             number(std::string_view{position_and_oid}.substr(0, colon)),
             {number(std::string_view{position_and_oid}.substr(colon + 1)), at(3), at(4)}});
    } else if (kind == "type") {
        rows.types.push_back({number(at(1)), at(3), at(4)});
    } else if (kind == "channel") {
        state.channels.push_back(at(1));
    } else if (kind == "pin") {
        state.pins.push_back(at(1));
    }
}

// Rows come in no order; a state has one, so that equal states compare equal.
SessionState ordered(ProbeRows rows, const StateHints& hints, bool unnamed_exists) {
    SessionState& state = rows.state;
    std::sort(state.settings.begin(), state.settings.end());
    std::sort(state.custom_settings.begin(), state.custom_settings.end());
    std::sort(state.channels.begin(), state.channels.end());
    std::sort(state.pins.begin(), state.pins.end());
    std::sort(state.statements.begin(), state.statements.end(), [](const auto& a, const auto& b) {
        return a.name < b.name;
    });
    std::sort(rows.parameters.begin(), rows.parameters.end(), [](const auto& a, const auto& b) {
        return std::pair{a.statement, a.position} < std::pair{b.statement, b.position};
    });
    for (ProbeRows::Parameter& parameter : rows.parameters) {
        const auto found =
            std::find_if(state.statements.begin(), state.statements.end(), [&](const auto& s) {
                return s.name == parameter.statement;
            });
        if (found != state.statements.end())
            found->parameter_types.push_back(std::move(parameter.type));
    }
    if (unnamed_exists) {
        state.unnamed_parse = hints.unnamed_parse();
        for (const std::uint32_t oid : types_of(state.unnamed_parse)) {
            const auto found =
                std::find_if(rows.types.begin(), rows.types.end(), [oid](const TypeName& type) {
                    return type.oid == oid;
                });
            state.unnamed_types.push_back(found == rows.types.end() ? TypeName{oid, {}, {}}
                                                                    : *found);
        }
    }
    if (hints.unnamed_too_large()) state.pins.emplace_back("unnamed statement above 768 KiB");
    if (hints.custom_settings_opaque())
        state.pins.emplace_back("custom settings whose names cannot be known");
    return std::move(rows.state);
}

bool same_types(const std::vector<TypeName>& a, const std::vector<TypeName>& b) {
    return std::equal(
        a.begin(), a.end(), b.begin(), b.end(), [](const TypeName& x, const TypeName& y) {
            return x.schema == y.schema && x.name == y.name;
        });
}

}  // namespace

bool is_equal(const SessionState& wanted, const SessionState& restored) {
    const auto same_statement = [](const PreparedStatement& a, const PreparedStatement& b) {
        return a.name == b.name && a.text == b.text && a.from_sql == b.from_sql &&
               same_types(a.parameter_types, b.parameter_types);
    };
    return wanted.settings == restored.settings &&
           wanted.custom_settings == restored.custom_settings && wanted.role == restored.role &&
           wanted.session_authorization == restored.session_authorization &&
           wanted.unnamed_parse == restored.unnamed_parse &&
           same_types(wanted.unnamed_types, restored.unnamed_types) &&
           wanted.late == restored.late && wanted.channels == restored.channels &&
           wanted.temporary.digest == restored.temporary.digest &&
           std::equal(wanted.statements.begin(),
                      wanted.statements.end(),
                      restored.statements.begin(),
                      restored.statements.end(),
                      same_statement);
}

std::string probe_request(const StateHints& hints) {
    const std::string names = text_array(hints.custom_settings());
    const std::string oids = oid_array(types_of(hints.unnamed_parse()));
    std::string request;
    // A probe that failed halfway has left its statement behind.
    append(request, Close{'S', probe_name});
    append(request, Parse{probe_name, probe_sql, {text_array_oid, oid_array_oid}});
    append(request, Bind{"", probe_name, {}, {names, oids}, {}});
    append(request, Execute{"", 0});
    append(request, Close{'S', probe_name});
    append_sync(request);
    if (!hints.unnamed_parse().empty()) {
        // Whether the unnamed statement still exists, is told by describing it: apart, because it
        // may be an error.
        append(request, Describe{'S', ""});
        append_sync(request);
    }
    return request;
}

Step<SessionState> parse_probe_reply(Bytes reply, const StateHints& hints) {
    ReplyWalk walk{
        reply, "state probe", hints.unnamed_parse().empty() ? std::size_t{1} : std::size_t{2}};
    bool unnamed_exists = false;
    ProbeRows rows;
    std::optional<Error> error;
    while (!walk.ended()) {
        const Step<Frame> step = walk.next();
        if (const auto* need = std::get_if<NeedMore>(&step)) return *need;
        if (const auto* broken = std::get_if<Error>(&step)) return *broken;
        const Frame& frame = std::get<Frame>(step);
        if (frame.tag == 'D') {
            const Result<DataRow> row = parse_data_row(frame.body);
            if (!row || row->size() != 5)
                return Error{Errc::bad_value, "unexpected answer to the state probe"};
            take_row(rows, *row);
        } else if (frame.tag == 't') {
            unnamed_exists = true;
        } else if (walk.refusal() &&
                   walk.ready_seen() == 0) {  // Later ones: there is no unnamed statement.
            error = walk.refusal();
        }
    }
    if (error) return *error;
    return ordered(std::move(rows), hints, unnamed_exists);
}

namespace {

// Notices and errors are answers to what we asked, but for those of the class in which a server
// tells that it ends a session.
bool is_for_client(const Frame& frame) {
    if (frame.tag == 'A' || frame.tag == 'S') return true;
    if (frame.tag != 'E' && frame.tag != 'N') return false;
    const Result<ErrorFields> fields = parse_error_fields(frame.body);
    return fields && (fields->fatal() || fields->sqlstate.starts_with("57P"));
}

}  // namespace

std::string messages_for_client(Bytes reply) {
    std::string messages;
    for (;;) {
        const Step<Frame> step = next_frame(reply, state_reply_size_max);
        const auto* frame = std::get_if<Frame>(&step);
        if (frame == nullptr) return messages;
        if (is_for_client(*frame)) messages += text(frame->wire);
        reply = reply.subspan(frame->wire.size());
    }
}

}  // namespace segue::protocol::postgres
