#include "protocol/postgres/table_scope.hpp"

#include <algorithm>

namespace segue::protocol::postgres {

namespace {

class Scope {
public:
    Scope(const ReadCatalog& catalog, const std::vector<QualifiedName>& tables)
        : catalog_(catalog), tables_(tables) {}

    bool covers(const Statement& statement, int depth) const {
        if (depth > view_depth_max || statement.relations.empty()) return false;
        const auto function = [&](const QualifiedName& one) { return is_built_in(one.name); };
        const auto attribute = [&](const std::string& one) { return !calls_own_function(one); };
        const auto relation = [&](const QualifiedName& one) {
            return covers(one, statement, depth);
        };
        return std::all_of(statement.functions.begin(), statement.functions.end(), function) &&
               std::all_of(statement.attributes.begin(), statement.attributes.end(), attribute) &&
               std::all_of(statement.relations.begin(), statement.relations.end(), relation);
    }

private:
    bool is_built_in(const std::string& function) const {
        const auto found = catalog_.functions.find(function);
        return found != catalog_.functions.end() && found->second.built_in;
    }
    // `t.f` is a column when t has one of that name; else it calls f(t).
    bool calls_own_function(const std::string& attribute) const {
        const auto found = catalog_.functions.find(attribute);
        return found != catalog_.functions.end() && found->second.takes_row &&
               !found->second.built_in;
    }
    bool covers(const QualifiedName& name, const Statement& statement, int depth) const {
        const auto& with = statement.with_names;
        const auto found = catalog_.relations.find(name.name);
        if (found == catalog_.relations.end()) {
            // What a WITH query reads is among the statement's relations itself.
            return name.schema.empty() &&
                   std::find(with.begin(), with.end(), name.name) != with.end();
        }
        return std::all_of(found->second.begin(), found->second.end(), [&](const auto& facts) {
            const bool meant = name.schema.empty() || facts.schema == name.schema;
            return !meant || is_named(facts, name.name) || is_view_of_them(facts, depth);
        });
    }
    bool is_named(const RelationFacts& facts, const std::string& name) const {
        return std::any_of(tables_.begin(), tables_.end(), [&](const QualifiedName& one) {
            return one.name == name && (one.schema.empty() || one.schema == facts.schema);
        });
    }
    bool is_view_of_them(const RelationFacts& facts, int depth) const {
        return facts.view && !facts.hidden.empty() &&
               std::all_of(facts.hidden.begin(), facts.hidden.end(), [&](const Statement& hidden) {
                   return covers(hidden, depth + 1);
               });
    }

    const ReadCatalog& catalog_;
    const std::vector<QualifiedName>& tables_;
};

}  // namespace

QualifiedName parse_table_name(std::string_view text) {
    const std::size_t dot = text.find('.');
    if (dot == std::string_view::npos) return {"", std::string{text}};
    return {std::string{text.substr(0, dot)}, std::string{text.substr(dot + 1)}};
}

bool reads_only(const Statement& statement,
                const ReadCatalog& catalog,
                const std::vector<QualifiedName>& tables) {
    return Scope{catalog, tables}.covers(statement, 0);
}

}  // namespace segue::protocol::postgres
