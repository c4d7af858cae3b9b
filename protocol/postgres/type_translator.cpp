#include "protocol/postgres/type_translator.hpp"

#include <utility>

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"

namespace segue::protocol::postgres {

namespace {

constexpr std::uint32_t null_size = 0xffffffff;
// Relations from here on are the application's; below it they are the catalog's.
constexpr std::uint32_t first_user_oid = 16384;

void add_parameter(const TypeIds& ids,
                   std::size_t client,
                   std::uint16_t index,
                   std::uint32_t type,
                   StatementTypes& statement) {
    if (!ids.shape(client, type, statement.oid_values).plain())
        statement.parameters.push_back({index, type});
}

OidValues of_rows(const StatementTypes& statement) {
    return statement.oid_values == OidValues::data ? OidValues::data : OidValues::types;
}

// A lookup reads no table of the application's; should one answer to a catalog's name, its values
// are its own.
OidValues of_column(const StatementTypes& statement, std::uint32_t table) {
    return table < first_user_oid ? of_rows(statement) : OidValues::data;
}

}  // namespace

MessageEditor::Reading ClientMessageTypes::begin(char tag, std::uint32_t) {
    switch (tag) {
        case 'P':
            return parse();
        case 'B':
            return bind();
        case 'D':
        case 'E':
        case 'C':
            return named(tag);
        case 'S':
            book_.sync();
            return {};
        case 'Q':
        case 'F':
            book_.query();
            return {};
        default:
            return {};  // Tags are the peer's.
    }
}

// Parse := cstring name, cstring text, int16 count, int32 type *
MessageEditor::Reading ClientMessageTypes::parse() {
    co_await zero_terminated();
    const std::string name = text();
    auto statement = std::make_shared<StatementTypes>();
    TypeLookupText lookup;
    co_await zero_terminated(&lookup);
    statement->oid_values = lookup.oid_values();
    const std::uint32_t count = co_await number16();
    for (std::uint32_t i = 0; i < count && !failed(); ++i) {
        const std::uint32_t type = co_await number32();
        const std::uint32_t other = ids_.translated(client_, type);
        if (other != type) replace32(other);
        add_parameter(ids_, client_, static_cast<std::uint16_t>(i), type, *statement);
    }
    if (!failed()) book_.parse(name, std::move(statement));
}

// Bind := cstring portal, cstring statement, int16 count, int16 format *, int16 count, (int32 size
// or -1, bytes) *,
//         int16 count, int16 result format *
MessageEditor::Reading ClientMessageTypes::bind() {
    co_await zero_terminated();
    const std::string portal = text();
    co_await zero_terminated();
    const SharedTypes statement = book_.find(text());
    FormatCodes formats, row_formats;
    const std::uint32_t format_count = co_await number16();
    for (std::uint32_t i = 0; i < format_count && !failed(); ++i)
        formats.binary.push_back(co_await number16() == 1);
    const std::uint32_t count = co_await number16();
    std::size_t place = 0;
    for (std::uint32_t i = 0; i < count && !failed(); ++i) {
        const std::uint32_t size = co_await number32();
        const bool known = statement != nullptr && place < statement->parameters.size() &&
                           statement->parameters[place].index == i;
        const std::uint32_t type = known ? statement->parameters[place++].type : 0;
        if (size == null_size) continue;
        if (!known || !formats.is_binary(i)) {
            co_await pass(size);
            continue;
        }
        co_await value(ids_,
                       client_,
                       ids_.shape(client_, type, statement->oid_values),
                       size,
                       statement->oid_values);
    }
    const std::uint32_t row_format_count = co_await number16();
    for (std::uint32_t i = 0; i < row_format_count && !failed(); ++i)
        row_formats.binary.push_back(co_await number16() == 1);
    book_.bind(portal, statement, std::move(row_formats));
}

// Describe, Close := byte kind, cstring name       Execute := cstring portal, int32 rows
MessageEditor::Reading ClientMessageTypes::named(char tag) {
    std::uint32_t kind = 0;
    if (tag != 'E') kind = co_await number8();
    co_await zero_terminated();
    if (tag == 'E') {
        book_.execute(text());
    } else if (tag == 'D') {
        book_.describe(static_cast<char>(kind), text());
    } else {
        book_.close(static_cast<char>(kind), text());
    }
}

MessageEditor::Reading ServerMessageTypes::begin(char tag, std::uint32_t) {
    switch (tag) {
        case 't':
            return parameter_description();
        case 'T':
            return row_description();
        case 'D': {
            const PortalTypes* rows = book_.rows();
            return rows == nullptr ? Reading{} : data_row(*rows);
        }
        case 'C':
            return command_complete();
        case 'Z':
            return ready_for_query();
        case '1':
            book_.parsed();
            return {};
        case '2':
            book_.bound();
            return {};
        case '3':
            book_.closed();
            return {};
        case 'n':
            (void)book_.described();
            return {};
        case 'I':
        case 's':
            book_.ended();
            return {};
        case 'E':
            book_.error();
            return {};
        default:
            return {};  // Tags are the peer's.
    }
}

// ParameterDescription := int16 count, int32 type *
MessageEditor::Reading ServerMessageTypes::parameter_description() {
    const SharedTypes statement = book_.described_parameters();
    if (statement != nullptr) statement->parameters.clear();
    const std::uint32_t count = co_await number16();
    for (std::uint32_t i = 0; i < count && !failed(); ++i) {
        const std::uint32_t type = co_await number32();
        const std::uint32_t other = ids_.translated(server_, type);
        if (other != type) replace32(other);
        if (statement != nullptr)
            add_parameter(ids_, 1 - server_, static_cast<std::uint16_t>(i), other, *statement);
    }
}

// RowDescription := int16 count, (cstring name, int32 table, int16 column, int32 type, int16 size,
// int32 modifier, int16 format) *
MessageEditor::Reading ServerMessageTypes::row_description() {
    constexpr std::uint64_t size_and_modifier = 6;
    StatementTypesBook::Described described = book_.described();
    PortalTypes rows{described.query ? std::make_shared<StatementTypes>() : described.statement,
                     {}};
    if (rows.statement != nullptr) rows.statement->columns.clear();
    const std::uint32_t count = co_await number16();
    for (std::uint32_t i = 0; i < count && !failed(); ++i) {
        co_await zero_terminated();
        const std::uint32_t table = co_await number32();
        co_await number16();
        const std::uint32_t type = co_await number32();
        const std::uint32_t other = ids_.translated(server_, type);
        if (other != type) replace32(other);
        co_await pass(size_and_modifier);
        rows.formats.binary.push_back(co_await number16() == 1);
        if (rows.statement == nullptr) continue;
        if (!ids_.shape(server_, type, of_column(*rows.statement, table)).plain()) {
            rows.statement->columns.push_back({static_cast<std::uint16_t>(i), type});
        }
    }
    if (described.query) book_.set_query_rows(std::move(rows));
}

// DataRow := int16 count, (int32 size or -1, bytes) *
MessageEditor::Reading ServerMessageTypes::data_row(PortalTypes rows) {
    const std::uint32_t count = co_await number16();
    std::size_t place = 0;
    const std::vector<TypedPlace>& columns = rows.statement->columns;
    // A column of type oid is among the known ones only where it is the catalog's.
    const OidValues oid_values = of_rows(*rows.statement);
    for (std::uint32_t i = 0; i < count && place < columns.size() && !failed(); ++i) {
        const std::uint32_t size = co_await number32();
        const bool known = columns[place].index == i;
        const std::uint32_t type = known ? columns[place++].type : 0;
        if (size == null_size) continue;
        if (!known || !rows.formats.is_binary(i)) {
            co_await pass(size);
            continue;
        }
        co_await value(ids_, server_, ids_.shape(server_, type, oid_values), size, oid_values);
    }
}

// CommandComplete := cstring tag
MessageEditor::Reading ServerMessageTypes::command_complete() {
    book_.ended();
    co_await zero_terminated();
    if (text() == "DISCARD ALL" || text() == "DEALLOCATE ALL") book_.forget_statements();
}

// ReadyForQuery := byte status
MessageEditor::Reading ServerMessageTypes::ready_for_query() {
    const std::uint32_t status = co_await number8();
    book_.ready(static_cast<char>(status));
}

TypeTranslator::TypeTranslator(std::shared_ptr<const TypeIds> ids, std::size_t client)
    : ids_(std::move(ids)),
      client_(client),
      from_client_(*ids_, client, book_),
      from_server_(*ids_, 1 - client, book_) {}

std::string TypeTranslator::parse_for_server(const std::string& message) const {
    if (message.size() < header_size) return message;
    Result<Parse> parse = parse_parse(bytes(message).subspan(header_size));
    if (!parse) return message;
    for (std::uint32_t& type : parse->types) type = known_to_server(type);
    std::string translated;
    append(translated, *parse);
    return translated;
}

void TypeTranslator::know(const DescribedStatement& described) {
    auto statement = std::make_shared<StatementTypes>();
    statement->oid_values = oid_values_of(described.text);
    for (std::size_t i = 0; i < described.parameters.size(); ++i) {
        add_parameter(*ids_,
                      client_,
                      static_cast<std::uint16_t>(i),
                      known_to_client(described.parameters[i]),
                      *statement);
    }
    for (std::size_t i = 0; i < described.columns.size(); ++i) {
        const auto& [table, type] = described.columns[i];
        if (ids_->shape(1 - client_, type, of_column(*statement, table)).plain()) continue;
        statement->columns.push_back({static_cast<std::uint16_t>(i), type});
    }
    book_.know(described.name, std::move(statement));
}

}  // namespace segue::protocol::postgres
