#include "protocol/postgres/type_ids.hpp"

#include <algorithm>
#include <map>

namespace segue::protocol::postgres {

namespace {

// Numbers in pg_type that never change.
constexpr std::uint32_t int4_type = 23, oid_type = 26, oidvector_type = 30, oid_array_type = 1028,
                        regtype_type = 2206, regtype_array_type = 2211, record_type = 2249,
                        record_array_type = 2287;

// Domains over domains; the catalog has no longer chains, and a broken one must not be followed for
// ever.
constexpr int domain_depth_max = 64;

using Kind = CatalogType::Kind;
using Catalog = std::unordered_map<std::uint32_t, const CatalogType*>;

Catalog by_oid(const std::vector<CatalogType>& types) {
    Catalog catalog;
    for (const CatalogType& type : types) catalog.emplace(type.oid, &type);
    return catalog;
}

const CatalogType* without_domains(const Catalog& catalog, std::uint32_t oid) {
    for (int depth = 0; depth < domain_depth_max; ++depth) {
        const auto found = catalog.find(oid);
        if (found == catalog.end()) return nullptr;
        if (found->second->kind != Kind::domain || found->second->parts.empty())
            return found->second;
        oid = found->second->parts.front();
    }
    return nullptr;
}

TypeShape shape_of(Kind kind) {
    switch (kind) {
        case Kind::array:
            return TypeShape::array;
        case Kind::composite:
            return TypeShape::record;
        case Kind::range:
            return TypeShape::range;
        case Kind::multirange:
            return TypeShape::multirange;
        case Kind::plain:
        case Kind::domain:
            return TypeShape::plain;
    }
    return TypeShape::plain;
}

// Those of `catalog` whose binary form holds an OID that differs, at any depth.
std::unordered_map<std::uint32_t, bool> looked_into(
    const Catalog& catalog, const std::unordered_map<std::uint32_t, std::uint32_t>& differing) {
    std::unordered_map<std::uint32_t, bool> into;
    for (bool changed = true; changed;) {
        changed = false;
        for (const auto& [oid, declared] : catalog) {
            if (into.contains(oid)) continue;
            const CatalogType* type = without_domains(catalog, oid);
            if (type == nullptr) continue;
            const bool names_parts = type->kind == Kind::array || type->kind == Kind::composite;
            const bool holds =
                std::any_of(type->parts.begin(), type->parts.end(), [&](std::uint32_t part) {
                    const bool inherent =
                        part == record_type || part == record_array_type || part == regtype_type;
                    return inherent || into.contains(part) ||
                           (names_parts && differing.contains(part));
                });
            if (!holds) continue;
            into.emplace(oid, true);
            changed = true;
        }
    }
    return into;
}

}  // namespace

TypeIds::TypeIds(const std::vector<CatalogType>& first, const std::vector<CatalogType>& second) {
    std::map<std::pair<std::string_view, std::string_view>, std::uint32_t> names;
    for (const CatalogType& type : first)
        names.emplace(std::pair{std::string_view{type.schema}, std::string_view{type.name}},
                      type.oid);
    std::unordered_map<std::uint32_t, std::uint32_t> differing[2];
    for (const CatalogType& type : second) {
        const auto found = names.find({type.schema, type.name});
        if (found == names.end() || found->second == type.oid) continue;
        differing[0].emplace(found->second, type.oid);
        differing[1].emplace(type.oid, found->second);
    }
    differing_ = differing[0].size();
    if (differing_ == 0) return;
    const std::vector<CatalogType>* const types[2] = {&first, &second};
    for (const std::size_t server : {0u, 1u}) {
        Types& kept = servers_[server];
        for (const auto& [oid, other] : differing[server]) kept[oid].other = other;
        const Catalog catalog = by_oid(*types[server]);
        for (const auto& [oid, yes] : looked_into(catalog, differing[server])) {
            const CatalogType& type = *without_domains(catalog, oid);
            Type& entry = kept[oid];
            if (entry.other == 0) entry.other = oid;
            entry.shape = shape_of(type.kind);
            if (entry.shape == TypeShape::range || entry.shape == TypeShape::multirange)
                entry.inner = type.parts.front();
        }
    }
}

std::uint32_t TypeIds::translated(std::size_t from_server, std::uint32_t oid) const {
    const auto found = servers_[from_server].find(oid);
    return found == servers_[from_server].end() ? oid : found->second.other;
}

ValueShape TypeIds::shape(std::size_t server, std::uint32_t oid, OidValues oid_values) const {
    switch (oid) {
        case regtype_type:
            return {TypeShape::identifier, 0};
        case record_type:
            return {TypeShape::record, 0};
        case regtype_array_type:
        case record_array_type:
            return {TypeShape::array, 0};
        case oid_type:
            return {oid_values == OidValues::data ? TypeShape::plain : TypeShape::identifier, 0};
        case oidvector_type:
        case oid_array_type:
            return {oid_values == OidValues::data ? TypeShape::plain : TypeShape::array, 0};
        case int4_type:
            return {oid_values == OidValues::numbers ? TypeShape::identifier : TypeShape::plain, 0};
        default:
            break;  // OIDs are the peer's, not an enumeration of ours.
    }
    const auto found = servers_[server].find(oid);
    if (found == servers_[server].end()) return {};
    return {found->second.shape, found->second.inner};
}

}  // namespace segue::protocol::postgres
