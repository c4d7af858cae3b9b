#include "backfill/postgres/type_catalog.hpp"

#include <charconv>
#include <chrono>

#include "backfill/postgres/bounded_query.hpp"

namespace segue::backfill::postgres {

namespace {

using protocol::postgres::CatalogType;

// A server that says nothing for so long is given up.
constexpr std::chrono::seconds types_wait_max{5};

// OIDs below 10000 are the same everywhere; of those only types that hold OIDs themselves matter as
// fields. pg_range has its multiranges since version 14.
constexpr const char* types_query = R"sql(
WITH fields AS (
    SELECT a.attrelid, string_agg(DISTINCT a.atttypid::text, ' ') AS types FROM pg_attribute a
    WHERE a.attnum > 0 AND NOT a.attisdropped AND (a.atttypid >= 10000 OR a.atttypid IN (2206, 2211, 2249, 2287))
    GROUP BY a.attrelid)
SELECT t.oid, n.nspname,
       CASE WHEN e.oid IS NOT NULL THEN e.typname || '[]' ELSE t.typname END,
       CASE WHEN e.oid IS NOT NULL THEN 'array' ELSE t.typtype::text END,
       coalesce(CASE WHEN e.oid IS NOT NULL THEN e.oid::text
                     WHEN t.typtype = 'd' THEN t.typbasetype::text
                     WHEN t.typtype = 'c' THEN f.types
                     WHEN t.typtype = 'r' THEN r.rngsubtype::text
                     WHEN t.typtype = 'm' THEN m.rngtypid::text END, '')
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
LEFT JOIN fields f ON f.attrelid = t.typrelid AND t.typtype = 'c'
LEFT JOIN pg_range r ON r.rngtypid = t.oid
LEFT JOIN (SELECT rngtypid, (to_jsonb(x) ->> 'rngmultitypid')::oid AS multirange FROM pg_range x) m ON m.multirange = t.oid
WHERE t.oid >= 10000 AND n.nspname !~ '^pg_(toast|temp)' AND n.nspname <> 'segue'
ORDER BY t.oid)sql";

CatalogType::Kind kind_of(std::string_view kind) {
    using Kind = CatalogType::Kind;
    if (kind == "array") return Kind::array;
    if (kind == "c") return Kind::composite;
    if (kind == "r") return Kind::range;
    if (kind == "m") return Kind::multirange;
    if (kind == "d") return Kind::domain;
    return Kind::plain;
}

std::vector<std::uint32_t> numbers(std::string_view list) {
    std::vector<std::uint32_t> all;
    const char* at = list.data();
    const char* const end = at + list.size();
    while (at < end) {
        std::uint32_t number = 0;
        const auto [next, error] = std::from_chars(at, end, number);
        if (error != std::errc{}) break;
        all.push_back(number);
        at = next + 1;
    }
    return all;
}

}  // namespace

Result<std::vector<CatalogType>> load_type_catalog(Connection& connection) {
    const auto rows = execute_within(connection, types_wait_max, types_query);
    if (!rows) return rows.error();
    std::vector<CatalogType> types;
    types.reserve(static_cast<std::size_t>(rows->size()));
    for (int row = 0; row < rows->size(); ++row) {
        types.push_back({static_cast<std::uint32_t>(rows->number(row, 0)),
                         rows->text(row, 1),
                         rows->text(row, 2),
                         kind_of(rows->at(row, 3)),
                         numbers(rows->at(row, 4))});
    }
    return types;
}

}  // namespace segue::backfill::postgres
