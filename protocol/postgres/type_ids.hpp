#pragma once
// Which type OID of one server is which of the other, and what the binary forms of types hold: OIDs
// of types that did not come with the server differ between two servers, and drivers keep them.
//
// The rule. A session speaks the OIDs of the server that it logged in to, for as long as it lives:
// while it is served by the other one, OIDs are translated in both directions
// (type_translator.hpp). A session that logs in after a cutover is served by the new server from
// its first byte, learns that server's OIDs when it asks the catalog, and nothing is translated for
// it.
//
// Why not the source's OIDs for everybody. Drivers learn OIDs in two ways: from descriptions of
// statements, which we could translate for everybody, and by SQL from pg_type, as text, as
// literals, joined and aggregated, which nobody could. An application that is restarted after the
// cutover would learn one number by SQL and see another one in descriptions, although it would have
// worked without us. What the rule gives up: a cache of a whole process (psycopg's global adapters,
// Npgsql, Django's hstore) is right for the connections that the process had, and wrong for those
// that it opens after the cutover.
//
// OIDs of relations in row descriptions stay those of the server that answers: drivers do not keep
// them, they ask the catalog with them, at once and by SQL. For the same reason a session that is
// translated for may look up types: in statements that read the catalog's types and nothing else,
// binary values of type oid are translated too (type_lookup.hpp). Everywhere else they are data.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace segue::protocol::postgres {

enum class TypeShape : std::uint8_t {
    plain,       // No OID within.
    array,       // Names the type of its elements in its head.
    record,      // Names the type of each field before the field.
    range,       // Bounds of type `inner`, which is not named within.
    multirange,  // Ranges of type `inner`.
    identifier,  // Is the OID of a type.
};

// A type as a catalog has it.
struct CatalogType {
    enum class Kind : std::uint8_t { plain, array, composite, range, multirange, domain };
    std::uint32_t oid = 0;
    std::string schema, name;
    Kind kind = Kind::plain;
    std::vector<std::uint32_t> parts;  // Element, fields, subtype, range, base type.
};

// What of a value is looked at: `inner` only for ranges and multiranges.
struct ValueShape {
    TypeShape shape = TypeShape::plain;
    std::uint32_t inner = 0;
    bool plain() const { return shape == TypeShape::plain; }
};

// Whether a value of type oid is the OID of a type.
enum class OidValues : std::uint8_t {
    data,     // The application's own.
    types,    // From the catalog.
    numbers,  // The same, and so is the only parameter, also where the driver says that it is an
              // int4.
};

// Immutable, so that sessions of several threads share one. Servers are numbered 0 and 1.
class TypeIds {
public:
    TypeIds() = default;
    // Types are the same when schema and name are.
    TypeIds(const std::vector<CatalogType>& first, const std::vector<CatalogType>& second);

    // How many types have other OIDs. Without any nothing needs to be translated.
    std::size_t differing() const { return differing_; }
    // The OID on the other server; the same where nothing else is known.
    std::uint32_t translated(std::size_t from_server, std::uint32_t oid) const;
    // `plain` also for arrays, records and ranges that hold nothing to be translated.
    ValueShape shape(std::size_t server, std::uint32_t oid, OidValues oid_values) const;

    friend bool operator==(const TypeIds&, const TypeIds&) = default;

private:
    struct Type {
        std::uint32_t other = 0;
        TypeShape shape = TypeShape::plain;
        std::uint32_t inner = 0;
        friend bool operator==(const Type&, const Type&) = default;
    };
    using Types = std::unordered_map<std::uint32_t, Type>;

    Types servers_[2];  // Only what is translated or looked into.
    std::size_t differing_ = 0;
};

}  // namespace segue::protocol::postgres
