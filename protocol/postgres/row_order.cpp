#include <optional>

#include "protocol/postgres/parse_tree.hpp"

namespace segue::protocol::postgres {

namespace {

// What the ORDER BY of the outermost SELECT settles.
class Ordering {
public:
    explicit Ordering(const SelectStmt& statement) : statement_(statement) {}

    bool limited() const {
        return statement_.limitCount != nullptr || statement_.limitOffset != nullptr;
    }

    // Every output column, or everything that rows are grouped by, is sorted by.
    bool defines_order() const {
        if (statement_.op != SETOP_NONE || statement_.sortClause == NIL ||
            statement_.targetList == NIL)
            return false;
        if (statement_.groupClause != NIL && covers_groups()) return true;
        for (int i = 0; i < list_length(statement_.targetList); ++i) {
            if (!covers_target(i)) return false;
        }
        return true;
    }

    // The columns sorted by, where they are plain columns of the only relation and rows are output
    // as they are.
    std::vector<std::string> columns_of_only_table() const {
        const bool plain = statement_.op == SETOP_NONE && list_length(statement_.fromClause) == 1 &&
                           IsA(linitial(statement_.fromClause), RangeVar) &&
                           statement_.groupClause == NIL && statement_.distinctClause == NIL &&
                           statement_.withClause == nullptr;
        if (!plain) return {};
        for (int i = 0; i < list_length(statement_.targetList); ++i) {
            const auto* target = static_cast<const ResTarget*>(list_nth(statement_.targetList, i));
            // A new name could be what the ORDER BY means; an expression could return several rows.
            if (target->name != nullptr || !IsA(target->val, ColumnRef)) return {};
        }
        std::vector<std::string> columns;
        for (int i = 0; i < list_length(statement_.sortClause); ++i) {
            const std::string_view name = column_name(sorted_by(i));
            if (!name.empty()) columns.emplace_back(name);
        }
        return columns;
    }

private:
    const Node* sorted_by(int position) const {
        return static_cast<const SortBy*>(list_nth(statement_.sortClause, position))->node;
    }
    static std::string_view column_name(const Node* node) {
        if (node == nullptr || !IsA(node, ColumnRef)) return {};
        const List* fields = reinterpret_cast<const ColumnRef*>(node)->fields;
        return string_at(fields, list_length(fields) - 1);  // Empty for a star.
    }
    static std::optional<int> number(const Node* node) {
        if (node == nullptr || !IsA(node, A_Const)) return std::nullopt;
        const auto* constant = reinterpret_cast<const A_Const*>(node);
        if (constant->isnull || !IsA(&constant->val.node, Integer)) return std::nullopt;
        return constant->val.ival.ival;
    }

    bool covers_target(int position) const {
        const auto* target =
            static_cast<const ResTarget*>(list_nth(statement_.targetList, position));
        const std::string_view column = column_name(target->val);
        const std::string_view output = target->name != nullptr ? view(target->name) : column;
        if (column.empty() && target->name == nullptr && !numbered(position + 1)) return false;
        if (numbered(position + 1)) return !is_star(target->val);
        for (int i = 0; i < list_length(statement_.sortClause); ++i) {
            const Node* by = sorted_by(i);
            const std::string_view name = column_name(by);
            if (!name.empty() && name == output && !renamed_elsewhere(name, position)) return true;
        }
        return false;
    }
    // Another output column has that name too: the server would refuse or mean the other one.
    bool renamed_elsewhere(std::string_view name, int except) const {
        for (int i = 0; i < list_length(statement_.targetList); ++i) {
            const auto* target = static_cast<const ResTarget*>(list_nth(statement_.targetList, i));
            const std::string_view other =
                target->name != nullptr ? view(target->name) : column_name(target->val);
            if (i != except && other == name) return true;
        }
        return false;
    }
    bool numbered(int position) const {
        for (int i = 0; i < list_length(statement_.sortClause); ++i) {
            if (number(sorted_by(i)) == position) return true;
        }
        return false;
    }
    static bool is_star(const Node* node) {
        return node != nullptr && IsA(node, ColumnRef) && column_name(node).empty();
    }
    bool covers_groups() const {
        for (int i = 0; i < list_length(statement_.groupClause); ++i) {
            const auto* group = static_cast<const Node*>(list_nth(statement_.groupClause, i));
            const std::string_view name = column_name(group);
            bool covered = false;
            for (int j = 0; j < list_length(statement_.sortClause); ++j) {
                covered = covered ||
                          (!name.empty() && column_name(sorted_by(j)) == name && !aliased(name));
            }
            if (!covered) return false;
        }
        return true;
    }
    // Some output column was given that name: ORDER BY would mean it.
    bool aliased(std::string_view name) const {
        for (int i = 0; i < list_length(statement_.targetList); ++i) {
            const auto* target = static_cast<const ResTarget*>(list_nth(statement_.targetList, i));
            if (target->name != nullptr && name == target->name) return true;
        }
        return false;
    }

    const SelectStmt& statement_;
};

}  // namespace

void read_order(const SelectStmt& select, Statement& result) {
    const Ordering ordering{select};
    result.limited = ordering.limited();
    if (ordering.defines_order()) {
        result.order = RowOrder::defined;
    } else if (result.limited && result.comparable) {
        result.comparable = false;
        result.why = "LIMIT without a defined order";
        result.order_columns = ordering.columns_of_only_table();
    }
}

}  // namespace segue::protocol::postgres
