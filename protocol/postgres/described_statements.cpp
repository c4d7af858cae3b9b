#include "protocol/postgres/described_statements.hpp"

#include <utility>

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "protocol/postgres/reply_walk.hpp"

namespace segue::protocol::postgres {

namespace {

// In the order in which a restore has them described.
DescribedStatements statements_of(const SessionState& state) {
    DescribedStatements all;
    for (const PreparedStatement& statement : state.statements)
        all.push_back({statement.name, statement.text, {}, {}});
    if (!state.unnamed_parse.empty()) {
        const auto parsed = parse_parse(bytes(state.unnamed_parse).subspan(header_size));
        if (parsed) all.push_back({"", std::string{parsed->text}, {}, {}});
    }
    return all;
}

}  // namespace

DescribedStatements described_statements(Bytes reply, const SessionState& state) {
    DescribedStatements all = statements_of(state);
    ReplyWalk walk{reply, "state restore"};
    std::size_t described = 0;
    while (described < all.size() && !walk.ended()) {
        const Step<Frame> step = walk.next();
        const auto* frame = std::get_if<Frame>(&step);
        if (frame == nullptr) break;
        DescribedStatement& statement = all[described];
        if (frame->tag == 't') {
            auto parameters = parse_parameter_description(frame->body);
            if (parameters) statement.parameters = std::move(*parameters);
        } else if (frame->tag == 'T') {
            const auto columns = parse_row_description(frame->body);
            if (columns) {
                for (const Column& column : *columns)
                    statement.columns.push_back({column.table, column.type});
            }
        }
        if (frame->tag == 'T' || frame->tag == 'n') ++described;
    }
    all.resize(described);
    return all;
}

}  // namespace segue::protocol::postgres
