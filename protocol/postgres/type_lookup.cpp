#include "protocol/postgres/type_lookup.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "protocol/postgres/classify.hpp"

namespace segue::protocol::postgres {

namespace {

constexpr std::string_view type_relation = "pg_type", namespace_relation = "pg_namespace",
                           catalog_schema = "pg_catalog";
constexpr std::array<std::string_view, 6> readable = {
    type_relation, namespace_relation, "pg_class", "pg_attribute", "pg_enum", "pg_range"};
constexpr std::array<std::string_view, 8> callable = {"array_agg",
                                                      "array_upper",
                                                      "current_schemas",
                                                      "format_type",
                                                      "generate_series",
                                                      "quote_ident",
                                                      "to_regtype",
                                                      "unnest"};

template <class Names>
bool is_one_of(const Names& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// Without the parser's cost for all that cannot be a lookup.
bool mentions_types(std::string_view text) {
    const auto same = [](char one, char other) {
        return std::tolower(static_cast<unsigned char>(one)) == other;
    };
    return std::search(
               text.begin(), text.end(), type_relation.begin(), type_relation.end(), same) !=
           text.end();
}

bool of_server(const QualifiedName& name) {
    return name.schema.empty() || name.schema == catalog_schema;
}

// A parameter that the text names twice might be something else as well.
bool compares_only_parameter_with_oid(std::string_view text) {
    constexpr std::string_view comparison = ".oid = $1";
    const std::size_t at = text.find(comparison);
    if (at == std::string_view::npos || std::count(text.begin(), text.end(), '$') != 1)
        return false;
    const std::string_view after = text.substr(at + comparison.size());
    return after.empty() || std::isspace(static_cast<unsigned char>(after.front())) != 0;
}

}  // namespace

OidValues oid_values_of(std::string_view text) {
    if (text.size() > type_lookup_size_max || !mentions_types(text)) return OidValues::data;
    const Statement statement = classify(text);
    if (statement.kind != StatementKind::read || !statement.names_known) return OidValues::data;
    bool types = false, only_types = statement.with_names.empty();
    for (const QualifiedName& relation : statement.relations) {
        if (relation.schema.empty() && is_one_of(statement.with_names, relation.name)) continue;
        if (!of_server(relation) || !is_one_of(readable, relation.name)) return OidValues::data;
        types = types || relation.name == type_relation;
        only_types =
            only_types && (relation.name == type_relation || relation.name == namespace_relation);
    }
    const bool harmless = std::all_of(
        statement.functions.begin(), statement.functions.end(), [](const QualifiedName& function) {
            return of_server(function) && is_one_of(callable, function.name);
        });
    if (!types || !harmless) return OidValues::data;
    return only_types && compares_only_parameter_with_oid(text) ? OidValues::numbers
                                                                : OidValues::types;
}

void TypeLookupText::see(std::string_view piece) {
    if (too_long_ || piece.size() > type_lookup_size_max - text_.size()) {
        too_long_ = true;
        return;
    }
    text_ += piece;
}

}  // namespace segue::protocol::postgres
