#include "protocol/postgres/type_lookup.hpp"

#include <gtest/gtest.h>

namespace segue::protocol::postgres {
namespace {

using namespace std::literals;

// Shortened, with all that the rule looks at.
constexpr std::string_view asyncpg =
    "WITH RECURSIVE typeinfo_tree(oid, elemtype, attrtypoids, depth) AS (\n"
    "  SELECT ti.oid, ti.elemtype, ti.attrtypoids, 0 FROM (SELECT t.oid AS oid, t.typelem AS "
    "elemtype,\n"
    "    (CASE WHEN t.typtype = 'd' THEN (WITH RECURSIVE typebases(oid, depth) AS (SELECT "
    "t2.typbasetype AS oid, 0 AS depth\n"
    "       FROM pg_type t2 WHERE t2.oid = t.oid UNION ALL SELECT t2.typbasetype AS oid, tb.depth "
    "+ 1 AS depth\n"
    "       FROM pg_type t2, typebases tb WHERE tb.oid = t2.oid AND t2.typbasetype != 0)\n"
    "       SELECT oid FROM typebases ORDER BY depth DESC LIMIT 1) ELSE NULL END) AS basetype,\n"
    "    COALESCE(range_t.rngsubtype, multirange_t.rngsubtype) AS range_subtype,\n"
    "    (CASE WHEN t.typtype = 'c' THEN (SELECT array_agg(ia.atttypid ORDER BY ia.attnum) FROM "
    "pg_attribute ia\n"
    "       INNER JOIN pg_class c ON (ia.attrelid = c.oid) WHERE c.reltype = t.oid) ELSE NULL END) "
    "AS attrtypoids\n"
    "    FROM pg_catalog.pg_type AS t INNER JOIN pg_catalog.pg_namespace ns ON (ns.oid = "
    "t.typnamespace)\n"
    "    LEFT JOIN pg_range range_t ON (t.oid = range_t.rngtypid)\n"
    "    LEFT JOIN pg_range multirange_t ON (t.oid = multirange_t.rngmultitypid)) AS ti WHERE "
    "ti.oid = any($1::oid[])\n"
    "  UNION ALL SELECT t.oid, t.typelem, NULL, tt.depth + 1 FROM pg_type t, typeinfo_tree tt "
    "WHERE t.oid = tt.elemtype)\n"
    "SELECT DISTINCT *, elemtype::regtype::text AS elemtype_name FROM typeinfo_tree ORDER BY depth "
    "DESC\n";

TEST(TypeLookup, KnowsTheLookupsOfDrivers) {
    for (const std::string_view statement :
         {asyncpg,
          "SELECT t.oid, t.typelem AS elemtype FROM pg_catalog.pg_type AS t INNER JOIN "
          "pg_catalog.pg_namespace ns ON "
          "(ns.oid = t.typnamespace) WHERE t.typname = $1 AND ns.nspname = $2"sv,
          "SELECT typname AS name, oid, typarray AS array_oid, oid::regtype::text AS regtype FROM "
          "pg_type t "
          "WHERE t.oid = $1::regtype ORDER BY t.oid"sv,
          "SELECT t.typname AS name, coalesce(a.ftypes, '{}') AS field_types FROM pg_type t LEFT "
          "JOIN (SELECT attrelid, "
          "array_agg(attname) AS fnames, array_agg(atttypid) AS ftypes FROM (SELECT a.attrelid, "
          "a.attname, a.atttypid FROM pg_attribute a "
          "JOIN pg_type t ON t.typrelid = a.attrelid WHERE t.oid = $1::regtype AND a.attnum > 0) x "
          "GROUP BY attrelid) a "
          "ON a.attrelid = t.typrelid WHERE t.oid = $1::regtype"sv,
          "SELECT name, oid, array_agg(label) AS labels FROM (SELECT t.typname AS name, t.oid AS "
          "oid, e.enumlabel AS label "
          "FROM PG_Type t LEFT JOIN \"pg_enum\" e ON e.enumtypid = t.oid WHERE t.oid = $1::regtype "
          "ORDER BY e.enumsortorder) x "
          "GROUP BY name, oid"sv}) {
        EXPECT_EQ(oid_values_of(statement), OidValues::types) << statement;
    }
}

TEST(TypeLookup, TakesAnInt4ForAnOidOnlyAsPgjdbcSendsIt) {
    for (
        const std::string_view statement :
        {"SELECT n.nspname = ANY(current_schemas(true)), n.nspname, t.typname FROM "
         "pg_catalog.pg_type t "
         "JOIN pg_catalog.pg_namespace n ON t.typnamespace = n.oid WHERE t.oid = $1"sv,
         "SELECT e.typdelim FROM pg_catalog.pg_type t, pg_catalog.pg_type e WHERE t.oid = $1 and t.typelem = e.oid"sv,
         "SELECT e.oid, n.nspname = ANY(current_schemas(true)), n.nspname, e.typname FROM "
         "pg_catalog.pg_type t JOIN pg_catalog.pg_type e "
         "ON t.typelem = e.oid JOIN pg_catalog.pg_namespace n ON t.typnamespace = n.oid WHERE t.oid = $1"sv,
         "SELECT typinput='pg_catalog.array_in'::regproc as is_array, typtype, typname, "
         "pg_type.oid   FROM pg_catalog.pg_type   LEFT JOIN "
         "(select ns.oid as nspoid, ns.nspname, r.r           from pg_namespace as ns           "
         "join ( select s.r, "
         "(current_schemas(false))[s.r] as nspname                    from generate_series(1, "
         "array_upper(current_schemas(false), 1)) "
         "as s(r) ) as r          using ( nspname )        ) as sp     ON sp.nspoid = typnamespace  WHERE pg_type.oid = $1 "sv}) {
        EXPECT_EQ(oid_values_of(statement), OidValues::numbers) << statement;
    }
    for (
        const std::string_view statement :
        {"SELECT t.typname FROM pg_type t WHERE t.oid = $1 LIMIT $2"sv,
         "SELECT t.typname, $1 FROM pg_type t WHERE t.oid = $1"sv,
         "SELECT t.typname FROM pg_type t WHERE t.typlen = $1"sv,
         "SELECT t.typname FROM pg_type t WHERE t.oid = $12"sv,
         "SELECT c.relname FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid WHERE c.oid = $1"sv}) {
        EXPECT_EQ(oid_values_of(statement), OidValues::types) << statement;
    }
}

TEST(TypeLookup, TakesEverythingElseForTheApplications) {
    for (
        const std::string_view statement :
        {""sv,
         "SELECT"sv,
         "SELECT 1"sv,
         "SELECT pg_typeof($1)"sv,
         "SELECT $1::regtype::oid"sv,
         "SELECT 'pg_type'"sv,
         "SELECT jpg_type FROM t WHERE jpg_type = $1"sv,
         "SELECT * FROM jpg_type x WHERE x.oid = $1"sv,
         "SELECT /* pg_type */ picture FROM document x WHERE x.oid = $1"sv,
         "UPDATE t SET ty = pg_typeof($2)::text WHERE id = $1"sv,
         "UPDATE t SET a = 1 FROM pg_type p WHERE p.oid = $1"sv,
         "SELECT 1 FROM pg_type p, t WHERE p.oid = $1"sv,
         "SELECT 1 FROM pg_type p WHERE p.oid = (SELECT ty FROM app.t WHERE id = $1)"sv,
         "SELECT 1 FROM app.pg_type p WHERE p.oid = $1"sv,
         "SELECT m.oid FROM pg_type t, pg_largeobject_metadata m WHERE m.oid = $1"sv,
         "SELECT attname FROM pg_attribute a WHERE attrelid = $1"sv,
         "SELECT keep($1) FROM pg_type"sv,
         "SELECT app.unnest($1) FROM pg_type"sv,
         "SELECT nextval('s'), oid FROM pg_type t WHERE t.oid = $1"sv,
         "WITH pg_type AS (SELECT lo AS oid FROM document) SELECT p.oid FROM pg_type p WHERE p.oid = $1"sv,
         "WITH pg_type AS (SELECT 1 AS oid) SELECT p.oid FROM pg_type p WHERE p.oid = $1"sv,
         "SELECT t.oid FROM pg_type t WHERE t.oid = $1 FOR UPDATE"sv,
         "SELECT 1 FROM pg_type; DELETE FROM t WHERE id = $1"sv,
         "SELECT oid INTO kept FROM pg_type t WHERE t.oid = $1"sv,
         "SELECT oid FROM pg_type t WHERE t.oid = $1 AND"sv}) {
        EXPECT_EQ(oid_values_of(statement), OidValues::data) << statement;
    }
}

TEST(TypeLookup, ReadsATextInPiecesUpToItsLimit) {
    const std::string statement = "SELECT t.oid FROM PG_Catalog.pg_Type t WHERE t.oid = $1";
    for (std::size_t at = 0; at <= statement.size(); ++at) {
        TypeLookupText text;
        text.see(std::string_view{statement}.substr(0, at));
        text.see(std::string_view{statement}.substr(at));
        EXPECT_EQ(text.oid_values(), OidValues::numbers) << at;
    }
    const std::string longest =
        statement + std::string(type_lookup_size_max - statement.size(), ' ');
    TypeLookupText fits, too_long;
    fits.see(longest);
    EXPECT_EQ(fits.oid_values(), OidValues::numbers);
    too_long.see(longest);
    too_long.see(" ");
    too_long.see("");
    EXPECT_EQ(too_long.oid_values(), OidValues::data);
    EXPECT_EQ(oid_values_of(longest + " "), OidValues::data);
}

}  // namespace
}  // namespace segue::protocol::postgres
