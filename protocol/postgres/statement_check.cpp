#include "protocol/postgres/statement_check.hpp"

#include <utility>

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "protocol/postgres/prepare_text.hpp"

namespace segue::protocol::postgres {

namespace {

constexpr std::string_view check_name = "_segue_check";

// Local to the implicit transaction that the Sync ends.
void append_lock_timeout(std::string& request) {
    append(request, Close{'S', check_name});
    append(request, Parse{check_name, "SELECT pg_catalog.set_config('lock_timeout', '" + std::string{statement_check_lock_timeout} +
                                          "', true)", {}});
    append(request, Bind{"", check_name, {}, {}, {}});
    append(request, Execute{"", 0});
    append(request, Close{'S', check_name});
}

std::vector<std::uint32_t> own_oids(const std::vector<TypeName>& types) {
    std::vector<std::uint32_t> oids;
    for (const TypeName& type : types) oids.push_back(type.oid);
    return oids;
}

// The very PREPARE of the client: its name is taken (42P05), which the server only finds out when it has analysed it.
void append_sql_check(std::string& request, const SessionState& state, const PreparedStatement& statement) {
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
        append(request, Parse{check_name, state.statements[at].text, own_oids(state.statements[at].parameter_types)});
    }
    append_sync(request);
}

// The errors of an analysis: undefined or denied (42), no such schema (3F), not supported any more (0A), a constant that its type
// does not know any more (22).
bool says_unusable(std::string_view sqlstate) {
    if (sqlstate == "42P05") return false;
    const std::string_view error_class = sqlstate.substr(0, 2);
    return error_class == "42" || error_class == "3F" || error_class == "0A" || error_class == "22";
}

}  // namespace

std::size_t checks_of(const SessionState& state) { return state.statements.size() + (state.unnamed_parse.empty() ? 0 : 1); }

std::string statement_check_request(const SessionState& state, std::size_t first, std::size_t count) {
    std::string request;
    for (std::size_t at = first; at < first + count; ++at) append_check(request, state, at);
    // What an error left behind.
    append(request, Close{'S', check_name});
    append_sync(request);
    return request;
}

Step<std::vector<bool>> parse_statement_check_reply(Bytes reply, std::size_t count) {
    if (reply.size() > state_reply_size_max) return Error{Errc::too_large, "statement check: answer above the limit"};
    std::vector<bool> unusable;
    bool refused = false;
    std::size_t at = 0;
    while (unusable.size() < count + 1) {
        const Step<Frame> step = next_frame(reply.subspan(at), state_reply_size_max);
        if (const auto* need = std::get_if<NeedMore>(&step)) return NeedMore{at + need->size_min};
        if (const auto* broken = std::get_if<Error>(&step)) return *broken;
        const Frame& frame = std::get<Frame>(step);
        at += frame.wire.size();
        if (frame.tag == 'E') {
            const Result<ErrorFields> fields = parse_error_fields(frame.body);
            if (!fields) return fields.error();
            // No ReadyForQuery follows.
            if (fields->fatal()) {
                return Error{Errc::closed, "statement check: " + std::string{fields->message}, std::string{fields->sqlstate}};
            }
            refused = says_unusable(fields->sqlstate);
        } else if (frame.tag == 'Z') {
            unusable.push_back(refused);
            refused = false;
        }
    }
    unusable.pop_back();  // Of the request's end.
    return unusable;
}

void forget_unusable(SessionState& state, const std::vector<bool>& unusable) {
    std::vector<PreparedStatement> usable;
    for (std::size_t at = 0; at < state.statements.size(); ++at) {
        if (!unusable[at]) usable.push_back(std::move(state.statements[at]));
    }
    if (unusable.size() > state.statements.size() && unusable.back()) {
        state.unnamed_parse.clear();
        state.unnamed_types.clear();
    }
    state.statements = std::move(usable);
}

}  // namespace segue::protocol::postgres
