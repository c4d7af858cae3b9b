#pragma once
// Makes one server's connection speak the type OIDs of the other one (why, and for whom:
// type_ids.hpp). It stands between the connection's socket and everything else; all others of a
// session see the OIDs that its client knows.
//
// Translated are: the parameter types of Parse, ParameterDescription, RowDescription, and OIDs
// inside binary parameters (Bind) and binary rows: element types of arrays, field types of records,
// nested, also in ranges and multiranges. Not translated are FunctionCall and binary COPY, whose
// messages do not say what types they carry, and text.
//
// Values are known by their statement. One that was prepared before the connection was translated
// for must be made known (`know`). A binary parameter whose type neither Parse nor a description of
// the statement has named passes as it is.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/postgres/described_statements.hpp"
#include "protocol/postgres/message_editor.hpp"
#include "protocol/postgres/statement_types.hpp"
#include "protocol/postgres/type_ids.hpp"

namespace segue::protocol::postgres {

// The client's messages on their way to the server.
class ClientMessageTypes : public MessageEditor {
public:
    ClientMessageTypes(const TypeIds& ids, std::size_t client, StatementTypesBook& book)
        : ids_(ids), client_(client), book_(book) {}

private:
    Reading begin(char tag, std::uint32_t size) override;
    Reading parse();
    Reading bind();
    Reading named(char tag);

    const TypeIds& ids_;
    std::size_t client_;  // Whose OIDs come in.
    StatementTypesBook& book_;
};

// The server's messages on their way to the client.
class ServerMessageTypes : public MessageEditor {
public:
    ServerMessageTypes(const TypeIds& ids, std::size_t server, StatementTypesBook& book)
        : ids_(ids), server_(server), book_(book) {}

private:
    Reading begin(char tag, std::uint32_t size) override;
    Reading parameter_description();
    Reading row_description();
    Reading data_row(PortalTypes rows);
    Reading command_complete();
    Reading ready_for_query();

    const TypeIds& ids_;
    std::size_t server_;
    StatementTypesBook& book_;
};

class TypeTranslator {
public:
    // The client speaks the OIDs of server `client` (0 or 1) of `ids`; the connection is to the
    // other one.
    TypeTranslator(std::shared_ptr<const TypeIds> ids, std::size_t client);

    // What may go on; valid until the next call of the same function, and as long as `slice`.
    Bytes to_server(Bytes slice) { return from_client_.edit(slice); }
    Bytes to_client(Bytes slice) { return from_server_.edit(slice); }
    // So much is under way that no more requests may be let in before the server has answered.
    bool full() const { return book_.full(); }
    // Nothing is under way.
    void settle() { book_.settle(); }

    void know(const DescribedStatement& statement);
    std::uint32_t known_to_client(std::uint32_t oid) const {
        return ids_->translated(1 - client_, oid);
    }
    std::uint32_t known_to_server(std::uint32_t oid) const {
        return ids_->translated(client_, oid);
    }
    // A whole Parse message of the client's; unchanged where it is none.
    std::string parse_for_server(const std::string& message) const;
    const std::shared_ptr<const TypeIds>& ids() const { return ids_; }
    std::size_t client() const { return client_; }

private:
    std::shared_ptr<const TypeIds> ids_;
    std::size_t client_;
    StatementTypesBook book_;
    ClientMessageTypes from_client_;
    ServerMessageTypes from_server_;
};

}  // namespace segue::protocol::postgres
