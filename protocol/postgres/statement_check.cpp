#include "protocol/postgres/statement_check.hpp"

#include <algorithm>
#include <utility>

#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/prepare_text.hpp"

namespace segue::protocol::postgres {

namespace {

constexpr std::string_view check_name = "_segue_check";

// Local to the implicit transaction that the Sync ends.
void append_lock_timeout(std::string& request) {
    append(request, Close{'S', check_name});
    append(request,
           Parse{check_name,
                 "SELECT pg_catalog.set_config('lock_timeout', '" +
                     std::string{statement_check_lock_timeout} + "', true)",
                 {}});
    append(request, Bind{"", check_name, {}, {}, {}});
    append(request, Execute{"", 0});
    append(request, Close{'S', check_name});
}

std::vector<std::uint32_t> own_oids(const std::vector<TypeName>& types) {
    std::vector<std::uint32_t> oids;
    for (const TypeName& type : types) oids.push_back(type.oid);
    return oids;
}

bool all_built_in(const std::vector<TypeName>& types) {
    return std::all_of(
        types.begin(), types.end(), [](const TypeName& type) { return type.built_in(); });
}

// The very PREPARE of the client: its name is taken (42P05), which the server only finds out when
// it has analysed it.
void append_sql_check(std::string& request,
                      const SessionState& state,
                      const PreparedStatement& statement) {
    const auto text = find_prepare(statement.text, statement.name, backslash_escapes(state));
    if (!text) return;
    append(request, Parse{check_name, *text, {}});
    append(request, Bind{"", check_name, {}, {}, {}});
    append(request, Execute{"", 0});
}

void append_check(std::string& request, const SessionState& state, std::size_t at) {
    append_lock_timeout(request);
    if (at == state.statements.size()) {
        const auto parsed = parse_parse(bytes(state.unnamed_parse).subspan(header_size));
        if (parsed) append(request, Parse{check_name, parsed->text, parsed->types});
    } else if (state.statements[at].from_sql) {
        append_sql_check(request, state, state.statements[at]);
    } else {
        append(request,
               Parse{check_name,
                     state.statements[at].text,
                     own_oids(state.statements[at].parameter_types)});
    }
    append_sync(request);
}

// The errors of an analysis: undefined or denied (42), no such schema (3F), not supported any more
// (0A), a constant that its type does not know any more (22).
bool says_unusable(std::string_view sqlstate) {
    if (sqlstate == "42P05") return false;
    const std::string_view error_class = sqlstate.substr(0, 2);
    return error_class == "42" || error_class == "3F" || error_class == "0A" || error_class == "22";
}

}  // namespace

std::size_t checks_of(const SessionState& state) {
    return state.statements.size() + (state.unnamed_parse.empty() ? 0 : 1);
}

std::string statement_check_request(const SessionState& state,
                                    std::size_t first,
                                    std::size_t count) {
    std::string request;
    for (std::size_t at = first; at < first + count; ++at) append_check(request, state, at);
    // What an error left behind.
    append(request, Close{'S', check_name});
    append_sync(request);
    return request;
}

Step<std::vector<bool>> parse_statement_check_reply(Bytes reply, std::size_t count) {
    ReplyWalk walk{reply, "statement check", count + 1};
    std::vector<bool> unusable;
    bool refused = false;
    while (!walk.ended()) {
        const Step<Frame> step = walk.next();
        if (const auto* need = std::get_if<NeedMore>(&step)) return *need;
        if (const auto* broken = std::get_if<Error>(&step)) return *broken;
        if (walk.refusal()) refused = says_unusable(walk.refusal()->sqlstate);
        if (std::get<Frame>(step).tag == 'Z') unusable.push_back(std::exchange(refused, false));
    }
    unusable.pop_back();  // Of the request's end.
    return unusable;
}

void put_off_unusable(SessionState& state, const std::vector<bool>& unusable) {
    std::vector<PreparedStatement> usable;
    for (std::size_t at = 0; at < state.statements.size(); ++at) {
        PreparedStatement& statement = state.statements[at];
        if (!unusable[at]) {
            usable.push_back(std::move(statement));
        } else if (!statement.from_sql && all_built_in(statement.parameter_types)) {
            LateStatement late{statement.name, {}};
            append(late.parse,
                   Parse{statement.name, statement.text, own_oids(statement.parameter_types)});
            state.late.push_back(std::move(late));
        }
    }
    if (unusable.size() > state.statements.size() && unusable.back()) {
        if (all_built_in(state.unnamed_types)) state.late.push_back({"", state.unnamed_parse});
        state.unnamed_parse.clear();
        state.unnamed_types.clear();
    }
    state.statements = std::move(usable);
}

}  // namespace segue::protocol::postgres
