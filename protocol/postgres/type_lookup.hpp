#pragma once
// Whether a statement asks the catalog about types, as drivers do with types that they meet: only
// then are its binary values of type oid OIDs of types (type_ids.hpp). In doubt it does not, and
// they are the application's: a driver that is not understood fails to find a type, but a number of
// the application's is never changed.
//
// The rule. The statement is one read (classify.hpp); it reads pg_type, and besides nothing but
// pg_namespace, pg_class, pg_attribute, pg_enum, pg_range and its own WITH queries; it calls none
// but a few functions of the server's. So nothing of the application's can come out of it, and
// nothing that goes in can be kept. A table of the application's beside pg_type makes all values
// data, as does pg_typeof() in a write.
//
// An int4 parameter is an OID only as pgjdbc sends it: the only one of a statement that reads
// pg_type and pg_namespace alone, and is compared there with a column named oid.
//
// Known to come out right: asyncpg (oid[]), psycopg (columns), pgjdbc (int4), and all that asks
// with names.

#include <cstddef>
#include <string>
#include <string_view>

#include "protocol/postgres/type_ids.hpp"

namespace segue::protocol::postgres {

// Longer statements are none of a driver's: their values are data. asyncpg's has 7000 bytes.
inline constexpr std::size_t type_lookup_size_max = 16 * 1024;

OidValues oid_values_of(std::string_view statement);

// A statement's text as it comes, in pieces.
class TypeLookupText {
public:
    void see(std::string_view piece);
    OidValues oid_values() const { return too_long_ ? OidValues::data : oid_values_of(text_); }

private:
    std::string text_;
    bool too_long_ = false;
};

}  // namespace segue::protocol::postgres
