#include "protocol/postgres/described_statements.hpp"

#include <optional>
#include <utility>
#include <vector>

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "protocol/postgres/reply_walk.hpp"

namespace segue::protocol::postgres {

namespace {

std::string_view name_at(const SessionState& state, std::size_t at) {
    return at < state.statements.size() ? std::string_view{state.statements[at].name}
                                        : std::string_view{};
}

std::string text_at(const SessionState& state, std::size_t at) {
    if (at < state.statements.size()) return state.statements[at].text;
    const auto parsed = parse_parse(bytes(state.unnamed_parse).subspan(header_size));
    return parsed ? std::string{parsed->text} : std::string{};
}

void take(const Frame& frame, DescribedStatement& statement) {
    if (frame.tag == 't') {
        auto parameters = parse_parameter_description(frame.body);
        if (parameters) statement.parameters = std::move(*parameters);
    } else if (frame.tag == 'T') {
        const auto columns = parse_row_description(frame.body);
        if (!columns) return;
        for (const Column& column : *columns)
            statement.columns.push_back({column.table, column.type});
    }
}

}  // namespace

std::size_t descriptions_of(const SessionState& state) {
    return state.statements.size() + (state.unnamed_parse.empty() ? 0 : 1);
}

std::string describe_request(const SessionState& state, std::size_t first, std::size_t count) {
    std::string request;
    for (std::size_t at = first; at < first + count; ++at)
        append(request, Describe{'S', name_at(state, at)});
    append_sync(request);
    return request;
}

Step<DescribedStatements> parse_describe_reply(Bytes reply,
                                               const SessionState& state,
                                               std::size_t first,
                                               std::size_t count) {
    ReplyWalk walk{reply, "description of statements"};
    std::vector<Frame> frames;
    std::optional<Error> refused;
    while (!walk.ended()) {
        const Step<Frame> step = walk.next();
        if (const auto* need = std::get_if<NeedMore>(&step)) return *need;
        if (const auto* broken = std::get_if<Error>(&step)) return *broken;
        frames.push_back(std::get<Frame>(step));
        if (walk.refusal() && !refused) refused = walk.refusal();
    }
    if (refused) return *refused;
    // Once all of them are there: who reads asks again and again until then.
    DescribedStatements all;
    DescribedStatement next;
    for (const Frame& frame : frames) {
        take(frame, next);
        if ((frame.tag != 'T' && frame.tag != 'n') || all.size() == count) continue;
        next.name = name_at(state, first + all.size());
        next.text = text_at(state, first + all.size());
        all.push_back(std::exchange(next, {}));
    }
    if (all.size() < count)
        return Error{Errc::bad_value, "fewer descriptions of statements than were asked for"};
    return all;
}

}  // namespace segue::protocol::postgres
