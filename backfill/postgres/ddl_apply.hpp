#pragma once
// Runs a captured command (ddl_capture.hpp) on the follower, at its place in the stream and in the
// transaction of the rows around it. It counts as carried only when the follower's server says that
// it did the same to the same objects, and the tables it touched look as they did on the authority.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backfill/change.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/ddl_record.hpp"
#include "backfill/postgres/ddl_text.hpp"
#include "backfill/postgres/follower_tables.hpp"
#include "protocol/result.hpp"
#include "router/side.hpp"

namespace segue::backfill::postgres {

class DdlApplier {
public:
    // Where the rows are that stand in new tables: behind the command, or nowhere yet, because the
    // command is older than the stream and nothing is copied before it.
    enum class Rows : std::uint8_t { in_stream, come_later };
    // `exclude`: tables (schema.table) that the follower does not have.
    explicit DdlApplier(Side stream,
                        std::vector<std::string> exclude = {},
                        Rows rows = Rows::in_stream)
        : stream_(stream), exclude_(std::move(exclude)), rows_(rows) {}

    // `follower` is in a transaction, as the mover; `before`: its tables until now; `copying`: not
    // all of them are copied yet. An error says what was run and what the operator can do; the
    // transaction must then be rolled back.
    Status apply(Connection& follower,
                 const SchemaChange& change,
                 const FollowerTables& before,
                 bool copying);
    // The last one was marked as handled.
    bool by_hand() const { return by_hand_; }
    // Of a command that is not to be run any more: those behind it may need it.
    void know_text(const SchemaChange& change);

private:
    // The text that the last of a transaction's commands brought, for those after it that stand in
    // the same message and bring none.
    struct Message {
        Message(Position of, std::string number, std::string command)
            : start(of), id(std::move(number)), text(std::move(command)) {}
        Position start;  // The transaction's.
        std::string id;  // The command's.
        MessageText text;
    };
    struct Tried {
        std::string statement;
        bool copying = false;
    };
    Status after_failure(Connection& follower,
                         const DdlRecord& record,
                         const SchemaChange& change,
                         const Tried& tried,
                         const Error& error);
    Message* message_of(const DdlRecord& record, Position start);
    Status adopt(Connection& follower, const DdlRecord& record, Position start);
    Error stopped(Connection& follower, const DdlRecord& record, const std::string& why) const;
    Error extension_differs(Connection& follower,
                            const DdlRecord& record,
                            const std::string& remedy) const;
    const char* then() const;

    Side stream_;
    std::vector<std::string> exclude_;
    Rows rows_;
    std::unique_ptr<Message> message_, own_message_;
    bool by_hand_ = false;
};

}  // namespace segue::backfill::postgres
