#include "protocol/postgres/volatility.hpp"

#include <algorithm>
#include <array>

namespace segue::protocol::postgres {

namespace {

// Volatile by the catalog, and still harmless in a read: they change nothing. What they return
// differs from call to call, which `classify` knows.
constexpr std::array<std::string_view, 6> harmless = {
    "random", "gen_random_uuid", "clock_timestamp", "timeofday", "random_normal", "pg_sleep"};
// Built-in functions after which the session is another one.
constexpr std::array<std::string_view, 2> setters = {"set_config", "setseed"};

template <std::size_t size>
bool is_one_of(std::string_view text, const std::array<std::string_view, size>& list) {
    return std::find(list.begin(), list.end(), text) != list.end();
}

bool contains(const std::vector<std::string>& list, const std::string& item) {
    return std::find(list.begin(), list.end(), item) != list.end();
}

class Judge {
public:
    explicit Judge(const ReadCatalog& catalog) : catalog_(catalog) {}

    // Also of hidden statements, where only the names count: their order and limits are the view's
    // affair, and make the outer statement incomparable.
    void look(const Statement& statement, int depth) {
        if (statement.kind != StatementKind::read) return refuse(statement.why);
        if (depth > view_depth_max) return refuse("views nested too deeply");
        if (statement.authority_only) return refuse(statement.why);
        if (!statement.comparable) incomparable(statement.why);
        for (const QualifiedName& name : statement.functions) function(name);
        for (const std::string& symbol : statement.operators) {
            if (catalog_.volatile_operators.contains(symbol))
                refuse("an operator with a volatile function");
        }
        for (const QualifiedName& name : statement.types) {
            if (catalog_.volatile_types.contains(name.name))
                refuse("a type with a volatile function");
        }
        for (const std::string& name : statement.attributes) attribute(name);
        for (const QualifiedName& name : statement.relations) relation(name, statement, depth);
    }

    Judgement result() const { return result_; }
    void refuse(std::string_view why) {
        if (result_.follower) result_.why = why;
        result_.follower = false;
        result_.comparable = false;
    }

private:
    void incomparable(std::string_view why) {
        if (result_.comparable) result_.why = why;
        result_.comparable = false;
    }

    void function(const QualifiedName& name) {
        const auto found = catalog_.functions.find(name.name);
        if (found == catalog_.functions.end())
            return refuse("a function that the catalog does not know");
        const FunctionFacts& facts = found->second;
        switch (facts.worst) {
            case Volatility::immutable_:
                break;
            case Volatility::stable:
                // Its body is not examined: it may look at the clock.
                if (!facts.built_in)
                    incomparable("a function whose results may differ between calls");
                break;
            case Volatility::volatile_:
                if (!facts.built_in || !is_one_of(name.name, harmless))
                    return refuse("a volatile function");
                incomparable("the time of day, or chance");
                break;
        }
    }

    // `t.f` is a column when t has one of that name; else it calls f(t).
    void attribute(const std::string& name) {
        const auto found = catalog_.functions.find(name);
        if (found == catalog_.functions.end() || !found->second.takes_row) return;
        function({"", name});
    }

    void relation(const QualifiedName& name, const Statement& statement, int depth) {
        const auto found = catalog_.relations.find(name.name);
        const bool with_query = name.schema.empty() && contains(statement.with_names, name.name);
        if (found == catalog_.relations.end()) {
            if (!with_query) refuse("a relation that is not moved");
            return;
        }
        bool any = with_query;
        for (const RelationFacts& facts : found->second) {
            if (!name.schema.empty() && facts.schema != name.schema) continue;
            any = true;
            if (!facts.table && !facts.view) return refuse("a relation that is not moved");
            for (const Statement& hidden : facts.hidden) look(hidden, depth + 1);
        }
        if (!any) refuse("a relation that is not moved");
    }

    const ReadCatalog& catalog_;
    Judgement result_{true, true, RowOrder::any, false, {}};
};

// LIMIT under an ORDER BY of a unique key.
bool order_is_unique(const Statement& statement, const ReadCatalog& catalog) {
    if (statement.order_columns.empty() || statement.relations.size() != 1) return false;
    const QualifiedName& name = statement.relations.front();
    const auto found = catalog.relations.find(name.name);
    if (found == catalog.relations.end()) return false;
    const auto has_key = [&](const RelationFacts& facts) {
        if (!name.schema.empty() && facts.schema != name.schema)
            return true;  // Another one: not meant.
        return std::any_of(
            facts.unique_keys.begin(), facts.unique_keys.end(), [&](const auto& key) {
                return std::all_of(key.begin(), key.end(), [&](const std::string& column) {
                    return contains(statement.order_columns, column);
                });
            });
    };
    return std::all_of(found->second.begin(), found->second.end(), has_key);
}

}  // namespace

Judgement judge(const Statement& statement, const ReadCatalog& catalog) {
    Judge judge{catalog};
    if (catalog.hidden_calls)
        judge.refuse("volatile functions in implicit casts or operator classes");
    const bool unique = order_is_unique(statement, catalog);
    Statement settled = statement;
    settled.comparable = statement.comparable || unique;
    judge.look(settled, 0);
    Judgement result = judge.result();
    result.order = statement.order;
    result.limited = statement.limited && !unique;
    return result;
}

bool changes_session(const Statement& statement, const ReadCatalog& catalog) {
    switch (statement.kind) {
        case StatementKind::nothing:
        case StatementKind::transaction:
            return false;
        case StatementKind::session:
            return true;
        case StatementKind::read:
        case StatementKind::write:
            break;
    }
    if (!statement.names_known) return true;
    const bool fires_triggers =
        statement.kind == StatementKind::write && !statement.relations.empty();
    if (fires_triggers && catalog.functions_change_session) return true;
    return std::any_of(
        statement.functions.begin(), statement.functions.end(), [&](const QualifiedName& name) {
            if (is_one_of(name.name, setters)) return true;
            const auto found = catalog.functions.find(name.name);
            if (found == catalog.functions.end()) return true;
            return !found->second.built_in && catalog.functions_change_session;
        });
}

}  // namespace segue::protocol::postgres
