#pragma once
// Which binary values of a session hold OIDs to be translated: for each prepared statement and
// portal the parameters and columns that are to be looked into, learned from the messages of both
// directions, and which of them an answer belongs to.
//
// Answers come in the order of requests. Requests that are answered are kept in a queue; where the
// server answers fewer (after an error, and to a Sync in the middle of COPY), the queue is brought
// in step by what comes next. It is bounded: at answers_awaited_max the caller must not let more
// requests in. Statements beyond statements_known_max and portals beyond portals_known_max stay
// unknown, and their binary values pass as they are.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "protocol/postgres/type_ids.hpp"

namespace segue::protocol::postgres {

// The server has answered most of so many requests before it waits for more, whatever the client
// does.
inline constexpr std::size_t answers_awaited_max = 65536;
inline constexpr std::size_t statements_known_max = 65536;
inline constexpr std::size_t portals_known_max = 65536;

struct TypedPlace {
    std::uint16_t index = 0;
    std::uint32_t type = 0;
    friend bool operator==(const TypedPlace&, const TypedPlace&) = default;
};

// Of one statement, only the places whose binary form is to be looked into.
struct StatementTypes {
    std::vector<TypedPlace> parameters;  // OIDs as the client knows them.
    std::vector<TypedPlace> columns;     // OIDs of the server.
    OidValues oid_values = OidValues::data;
};
// Owned by the statement's name, by portals, and by requests under way, whichever ends last.
using SharedTypes = std::shared_ptr<StatementTypes>;

// Bind's format codes: none (all text), one for all, or one for each.
struct FormatCodes {
    std::vector<bool> binary;
    bool is_binary(std::size_t index) const {
        if (binary.size() == 1) return binary.front();
        return index < binary.size() && binary[index];
    }
};

struct PortalTypes {
    SharedTypes statement;
    FormatCodes formats;  // Of its columns.
};

class StatementTypesBook {
public:
    bool full() const { return awaited_.size() >= answers_awaited_max; }

    // A statement that exists already.
    void know(const std::string& name, SharedTypes statement);

    // The client's requests, in order.
    void parse(const std::string& name, SharedTypes statement);
    SharedTypes find(const std::string& name) const;  // Null when unknown.
    void bind(const std::string& portal, SharedTypes statement, FormatCodes formats);
    void describe(char kind, const std::string& name);
    void execute(const std::string& portal);
    void close(char kind, const std::string& name);
    void sync();
    void query();  // Also FunctionCall.

    // The server's answers, in order.
    void parsed();
    void bound();
    void closed();
    void ended();  // CommandComplete and what else ends an execution.
    void error();
    void ready(char status);
    // Both directions are at rest, as others have counted.
    void settle() { awaited_.clear(); }
    void forget_statements();
    // Whose parameters a ParameterDescription tells: null for nobody's.
    SharedTypes described_parameters();
    // A RowDescription or NoData: `statement` null for a simple query, `portal` null for a
    // statement.
    struct Described {
        SharedTypes statement;
        std::shared_ptr<PortalTypes> portal;
        bool query = false;
    };
    Described described();
    // The rows' places of the execution under way, null where none matters. Valid until the next
    // call.
    const PortalTypes* rows();
    // After a simple query's RowDescription.
    void set_query_rows(PortalTypes rows) { query_rows_ = std::move(rows); }

private:
    enum class Kind : std::uint8_t {
        parse,
        bind,
        describe_statement,
        describe_portal,
        execute,
        close,
        sync,
        query
    };
    struct Awaited {
        Kind kind;
        std::string name;
        SharedTypes statement;  // parse: what had the name before. describe_statement: which.
        std::shared_ptr<PortalTypes> portal;
    };

    void await(Awaited request);
    void drop_swallowed_syncs();
    bool next_is(Kind kind) const { return !awaited_.empty() && awaited_.front().kind == kind; }

    std::unordered_map<std::string, SharedTypes> statements_;
    std::unordered_map<std::string, std::shared_ptr<PortalTypes>> portals_;
    std::deque<Awaited> awaited_;
    PortalTypes query_rows_;
    bool skipping_ = false;  // The server discards up to a Sync that has not been sent yet.
};

}  // namespace segue::protocol::postgres
