#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "protocol/postgres/parse_tree.hpp"

namespace segue::protocol::postgres {

namespace {

template <std::size_t size>
bool is_one_of(std::string_view text, const std::array<std::string_view, size>& list) {
    return std::find(list.begin(), list.end(), text) != list.end();
}

constexpr std::array<std::string_view, 6> system_columns = {
    "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"};
constexpr std::array<std::string_view, 8> server_types = {
    "oid", "xid", "xid8", "cid", "tid", "pg_lsn", "pg_snapshot", "txid_snapshot"};
constexpr std::array<std::string_view, 11> server_functions = {"version",
                                                               "current_database",
                                                               "col_description",
                                                               "obj_description",
                                                               "shobj_description",
                                                               "format_type",
                                                               "current_schemas",
                                                               "row_security_active",
                                                               "loread",
                                                               "currtid2",
                                                               "current_query"};
constexpr std::array<std::string_view, 6> server_prefixes = {
    "pg_", "txid_", "inet_", "has_", "to_reg", "lo_"};
constexpr std::array<std::string_view, 9> clock_and_chance = {"now",
                                                              "transaction_timestamp",
                                                              "statement_timestamp",
                                                              "clock_timestamp",
                                                              "timeofday",
                                                              "age",
                                                              "random",
                                                              "random_normal",
                                                              "gen_random_uuid"};
// Their result depends on the order in which rows happen to come.
constexpr std::array<std::string_view, 8> ordered_aggregates = {"array_agg",
                                                                "string_agg",
                                                                "json_agg",
                                                                "jsonb_agg",
                                                                "json_object_agg",
                                                                "jsonb_object_agg",
                                                                "xmlagg",
                                                                "mode"};
// Window functions that give tied rows the same value.
constexpr std::array<std::string_view, 9> fair_windows = {
    "rank", "dense_rank", "percent_rank", "cume_dist", "count", "min", "max", "sum", "avg"};
constexpr std::array<std::string_view, 4> clock_words = {"now", "today", "tomorrow", "yesterday"};
template <class T>
void add_once(std::vector<T>& list, T item) {
    if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(std::move(item));
}

// A literal such as 'now' becomes the time of day where a date is expected.
bool mentions_clock(std::string_view literal) {
    if (literal.size() > 64) return false;
    std::string word;
    for (const char c : std::string{literal} + " ") {
        if (std::isalpha(static_cast<unsigned char>(c)) != 0) {
            word.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
        } else {
            if (is_one_of(std::string_view{word}, clock_words)) return true;
            word.clear();
        }
    }
    return false;
}

// Walks a raw tree. Only node types listed here are understood; any other ends the walk.
class Walk {
public:
    explicit Walk(Statement& result) : result_(result) {}

    // Empty when everything was understood, else why not.
    std::string_view run(Node* node) {
        visit(node);
        return refusal_;
    }

private:
    static bool visit_each(Node* node, void* self) { return static_cast<Walk*>(self)->visit(node); }

    bool refuse(std::string_view why) {
        refusal_ = why;
        return true;
    }
    // Not a read, but understood: the walk goes on for the names.
    bool writes(std::string_view why) {
        result_.kind = StatementKind::write;
        result_.why = why;
        return false;
    }
    void incomparable(std::string_view why) {
        if (result_.comparable) result_.why = why;
        result_.comparable = false;
    }
    void authority_only(std::string_view why) {
        result_.authority_only = true;
        result_.why = why;
    }

    // True ends the walk.
    bool visit(Node* node) {
        if (node == nullptr) return false;
        if (depth_ >= statement_depth_max) return refuse("nested too deeply");
        const std::size_t names = result_.functions.size() + result_.relations.size() +
                                  result_.attributes.size() + result_.types.size() +
                                  result_.operators.size();
        if (names >= statement_names_max) return refuse("names too many things");
        if (look(node)) return true;
        if (is_leaf(node)) return false;
        ++depth_;
        // The header declares the callback without its parameters; void (*)() is what casts pass
        // through.
        const auto callback =
            reinterpret_cast<bool (*)()>(reinterpret_cast<void (*)()>(&Walk::visit_each));
        const bool stopped = raw_expression_tree_walker(node, callback, this);
        --depth_;
        return stopped;
    }

    // Nothing below it. Not given to the server's walker, which ends the process on a type it does
    // not expect.
    static bool is_leaf(const Node* node) {
        switch (tag(node)) {
            case T_String:
            case T_Integer:
            case T_Float:
            case T_BitString:
            case T_A_Const:
            case T_A_Star:
            case T_ParamRef:
            case T_SetToDefault:
            case T_SQLValueFunction:
            case T_ColumnRef:
                return true;
            default:
                return false;
        }
    }

    // Nothing to judge by itself: what is inside it is looked at.
    static bool is_plain(int form) {
        switch (form) {
            case T_List:
            case T_ResTarget:
            case T_ParamRef:
            case T_BoolExpr:
            case T_TypeCast:
            case T_CaseExpr:
            case T_CaseWhen:
            case T_CoalesceExpr:
            case T_MinMaxExpr:
            case T_NullTest:
            case T_BooleanTest:
            case T_RowExpr:
            case T_A_ArrayExpr:
            case T_A_Indices:
            case T_A_Star:
            case T_CollateClause:
            case T_JoinExpr:
            case T_RangeSubselect:
            case T_RangeFunction:
            case T_RangeTableFunc:
            case T_RangeTableFuncCol:
            case T_Alias:
            case T_GroupingSet:
            case T_GroupingFunc:
            case T_WithClause:
            case T_NamedArgExpr:
            case T_XmlExpr:
            case T_XmlSerialize:
            case T_String:
            case T_Integer:
            case T_Float:
            case T_BitString:
            case T_ColumnDef:
            case T_SetToDefault:
            case T_MultiAssignRef:
            case T_InferClause:
            case T_OnConflictClause:
            case T_IndexElem:
                return true;
            default:  // Not our enum: the server's, of which a few hundred never occur in a read.
                return false;
        }
    }

    bool look(Node* node) {
        switch (tag(node)) {
            case T_SelectStmt:
                return select(reinterpret_cast<SelectStmt*>(node));
            case T_FuncCall:
                return call(reinterpret_cast<FuncCall*>(node));
            case T_RangeVar:
                return relation(reinterpret_cast<RangeVar*>(node));
            case T_ColumnRef:
                return column(reinterpret_cast<ColumnRef*>(node));
            case T_TypeName:
                return type(reinterpret_cast<TypeName*>(node));
            case T_A_Expr:
                return operators(reinterpret_cast<A_Expr*>(node)->name);
            case T_SubLink:
                return operators(reinterpret_cast<SubLink*>(node)->operName);
            case T_SortBy:
                return operators(reinterpret_cast<SortBy*>(node)->useOp);
            case T_A_Const:
                return constant(reinterpret_cast<A_Const*>(node));
            case T_A_Indirection:
                return indirection(reinterpret_cast<A_Indirection*>(node));
            case T_SQLValueFunction:
                return value_function(reinterpret_cast<SQLValueFunction*>(node));
            case T_CommonTableExpr:
                return with_query(reinterpret_cast<CommonTableExpr*>(node));
            case T_WindowDef:
                if ((reinterpret_cast<WindowDef*>(node)->frameOptions &
                     (FRAMEOPTION_ROWS | FRAMEOPTION_GROUPS)) != 0) {
                    incomparable("a window frame that counts rows");
                }
                return false;
            case T_RangeTableSample:
                incomparable("TABLESAMPLE");
                return false;
            case T_LockingClause:
                return writes("FOR UPDATE or FOR SHARE");
            case T_IntoClause:
                return refuse("SELECT INTO");
            case T_InsertStmt:
            case T_UpdateStmt:
            case T_DeleteStmt:
                return depth_ > 0 && writes("a WITH query that writes");
            default:
                return !is_plain(tag(node)) && refuse("an unknown form");
        }
    }

    bool select(SelectStmt* statement) {
        if (statement->intoClause != nullptr) return refuse("SELECT INTO");
        if (statement->lockingClause != NIL) writes("FOR UPDATE or FOR SHARE");
        if (statement->distinctClause != NIL && linitial(statement->distinctClause) != nullptr) {
            incomparable("DISTINCT ON");
        }
        const bool limited = statement->limitCount != nullptr || statement->limitOffset != nullptr;
        if (limited && depth_ > 0) incomparable("LIMIT in a subquery");
        return false;
    }

    bool call(FuncCall* function) {
        const QualifiedName name = qualified(function->funcname);
        for (const std::string_view prefix : server_prefixes) {
            if (name.name.starts_with(prefix) && name.name != "pg_typeof" &&
                name.name != "pg_sleep") {
                authority_only("a function about this very server");
            }
        }
        // A setting of the application's own (my.tenant) goes with the session; the others may be
        // the server's.
        const bool setting =
            name.name == "current_setting" && !names_custom_setting(function->args);
        if (setting || is_one_of(name.name, server_functions))
            authority_only("a function about this very server");
        if (is_one_of(name.name, clock_and_chance)) incomparable("the time of day, or chance");
        if (is_one_of(name.name, ordered_aggregates) && function->agg_order == NIL) {
            incomparable("an aggregate that depends on the rows' order");
        }
        if (function->over != nullptr && !is_one_of(name.name, fair_windows)) {
            incomparable("a window function that tells tied rows apart");
        }
        add_once(result_.functions, name);
        return false;
    }

    static bool names_custom_setting(const List* arguments) {
        if (arguments == NIL) return false;
        const auto* first = static_cast<const Node*>(linitial(arguments));
        if (IsA(first, TypeCast)) first = reinterpret_cast<const TypeCast*>(first)->arg;
        if (!IsA(first, A_Const)) return false;
        const auto* constant = reinterpret_cast<const A_Const*>(first);
        return !constant->isnull && IsA(&constant->val.node, String) &&
               view(constant->val.sval.sval).find('.') != std::string_view::npos;
    }

    bool relation(RangeVar* range) {
        const std::string_view schema = view(range->schemaname), name = view(range->relname);
        if (schema.starts_with("pg_") || schema == "information_schema" || schema == "segue" ||
            (schema.empty() && name.starts_with("pg_"))) {
            authority_only("a relation of the catalog, of this session or of ours");
        }
        add_once(result_.relations, QualifiedName{std::string{schema}, std::string{name}});
        return false;
    }

    bool column(ColumnRef* reference) {
        const int count = list_length(reference->fields);
        for (int i = 0; i < count; ++i) {
            if (is_one_of(string_at(reference->fields, i), system_columns))
                authority_only("a system column");
        }
        const std::string_view last = string_at(reference->fields, count - 1);
        if (count > 1 && !last.empty()) add_once(result_.attributes, std::string{last});
        return false;
    }

    bool indirection(A_Indirection* reference) {
        for (int i = 0; i < list_length(reference->indirection); ++i) {
            const std::string_view field = string_at(reference->indirection, i);
            if (!field.empty()) add_once(result_.attributes, std::string{field});
        }
        return false;
    }

    bool type(TypeName* type) {
        const QualifiedName name = qualified(type->names);
        if (is_one_of(name.name, server_types) || name.name.starts_with("reg") || type->pct_type) {
            authority_only("a type whose values belong to one server");
        }
        if (!name.name.empty()) add_once(result_.types, name);
        return false;
    }

    bool operators(const List* names) {
        const std::string_view symbol = string_at(names, list_length(names) - 1);
        if (!symbol.empty()) add_once(result_.operators, std::string{symbol});
        return false;
    }

    bool constant(A_Const* constant) {
        if (!constant->isnull && IsA(&constant->val.node, String) &&
            mentions_clock(view(constant->val.sval.sval))) {
            incomparable("the time of day, or chance");
        }
        return false;
    }

    bool value_function(SQLValueFunction* function) {
        switch (function->op) {
            case SVFOP_CURRENT_DATE:
            case SVFOP_CURRENT_TIME:
            case SVFOP_CURRENT_TIME_N:
            case SVFOP_CURRENT_TIMESTAMP:
            case SVFOP_CURRENT_TIMESTAMP_N:
            case SVFOP_LOCALTIME:
            case SVFOP_LOCALTIME_N:
            case SVFOP_LOCALTIMESTAMP:
            case SVFOP_LOCALTIMESTAMP_N:
                incomparable("the time of day, or chance");
                break;
            case SVFOP_CURRENT_CATALOG:
                authority_only("a function about this very server");
                break;
            case SVFOP_CURRENT_ROLE:
            case SVFOP_CURRENT_USER:
            case SVFOP_USER:
            case SVFOP_SESSION_USER:
            case SVFOP_CURRENT_SCHEMA:
                break;
        }
        return false;
    }

    bool with_query(CommonTableExpr* query) {
        if (query->search_clause != nullptr || query->cycle_clause != nullptr)
            return refuse("SEARCH or CYCLE");
        add_once(result_.with_names, std::string{view(query->ctename)});
        return false;
    }

    Statement& result_;
    std::string_view refusal_;
    int depth_ = 0;
};

}  // namespace

std::string_view walk_tree(Node* statement, Statement& result) {
    return Walk{result}.run(statement);
}

}  // namespace segue::protocol::postgres
