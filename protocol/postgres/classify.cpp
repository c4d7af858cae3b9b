#include "protocol/postgres/classify.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>

// The parser's tree is made of the server's own C structs. Their headers define macros with common names,
// so that they come last and only here.
extern "C" {
#include <pg_query.h>

#include <postgres.h>

#include <nodes/nodeFuncs.h>
#include <nodes/parsenodes.h>
#include <pg_query/pg_query_internal.h>
}

static_assert(PG_VERSION_NUM / 10000 == 15, "the headers must be those of the grammar in libpg_query");

namespace segue::protocol::postgres {

namespace {

template <std::size_t size>
bool is_one_of(std::string_view text, const std::array<std::string_view, size>& list) {
    return std::find(list.begin(), list.end(), text) != list.end();
}

constexpr std::array<std::string_view, 6> system_columns = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"};
constexpr std::array<std::string_view, 8> server_types = {"oid", "xid",    "xid8",        "cid",
                                                          "tid", "pg_lsn", "pg_snapshot", "txid_snapshot"};
constexpr std::array<std::string_view, 11> server_functions = {
    "version",     "current_database",    "col_description", "obj_description", "shobj_description", "format_type",
    "current_schemas", "row_security_active", "loread",      "currtid2",        "current_query"};
constexpr std::array<std::string_view, 6> server_prefixes = {"pg_", "txid_", "inet_", "has_", "to_reg", "lo_"};
constexpr std::array<std::string_view, 9> clock_and_chance = {
    "now",    "transaction_timestamp", "statement_timestamp", "clock_timestamp", "timeofday", "age",
    "random", "random_normal",         "gen_random_uuid"};
// Their result depends on the order in which rows happen to come.
constexpr std::array<std::string_view, 8> ordered_aggregates = {
    "array_agg", "string_agg", "json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg", "xmlagg", "mode"};
// Window functions that give tied rows the same value.
constexpr std::array<std::string_view, 9> fair_windows = {"rank",  "dense_rank", "percent_rank", "cume_dist", "count",
                                                          "min",   "max",        "sum",          "avg"};
constexpr std::array<std::string_view, 4> clock_words = {"now", "today", "tomorrow", "yesterday"};

// As a number: the server's enumeration has hundreds of tags that are none of our business.
int tag(const Node* node) { return static_cast<int>(nodeTag(node)); }

std::string_view view(const char* text) { return text == nullptr ? std::string_view{} : std::string_view{text}; }

std::string_view string_at(const List* list, int position) {
    if (list == NIL || position < 0 || position >= list_length(list)) return {};
    const auto* node = static_cast<const Node*>(list_nth(list, position));
    return node != nullptr && IsA(node, String) ? view(reinterpret_cast<const String*>(node)->sval) : "";
}

QualifiedName qualified(const List* names) {
    const int count = list_length(names);
    return {std::string{string_at(names, count - 2)}, std::string{string_at(names, count - 1)}};
}

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
        const std::size_t names = result_.functions.size() + result_.relations.size() + result_.attributes.size() +
                                  result_.types.size() + result_.operators.size();
        if (names >= statement_names_max) return refuse("names too many things");
        if (look(node)) return true;
        if (is_leaf(node)) return false;
        ++depth_;
        // The header declares the callback without its parameters; void (*)() is what casts pass through.
        const auto callback = reinterpret_cast<bool (*)()>(reinterpret_cast<void (*)()>(&Walk::visit_each));
        const bool stopped = raw_expression_tree_walker(node, callback, this);
        --depth_;
        return stopped;
    }

    // Nothing below it. Not given to the server's walker, which ends the process on a type it does not expect.
    static bool is_leaf(const Node* node) {
        switch (tag(node)) {
            case T_String: case T_Integer: case T_Float: case T_BitString: case T_A_Const: case T_A_Star:
            case T_ParamRef: case T_SetToDefault: case T_SQLValueFunction: case T_ColumnRef:
                return true;
            default: return false;
        }
    }

    bool look(Node* node) {
        switch (tag(node)) {
            case T_SelectStmt: return select(reinterpret_cast<SelectStmt*>(node));
            case T_FuncCall: return call(reinterpret_cast<FuncCall*>(node));
            case T_RangeVar: return relation(reinterpret_cast<RangeVar*>(node));
            case T_ColumnRef: return column(reinterpret_cast<ColumnRef*>(node));
            case T_TypeName: return type(reinterpret_cast<TypeName*>(node));
            case T_A_Expr: return operators(reinterpret_cast<A_Expr*>(node)->name);
            case T_SubLink: return operators(reinterpret_cast<SubLink*>(node)->operName);
            case T_SortBy: return operators(reinterpret_cast<SortBy*>(node)->useOp);
            case T_A_Const: return constant(reinterpret_cast<A_Const*>(node));
            case T_A_Indirection: return indirection(reinterpret_cast<A_Indirection*>(node));
            case T_SQLValueFunction: return value_function(reinterpret_cast<SQLValueFunction*>(node));
            case T_CommonTableExpr: return with_query(reinterpret_cast<CommonTableExpr*>(node));
            case T_WindowDef:
                if ((reinterpret_cast<WindowDef*>(node)->frameOptions & (FRAMEOPTION_ROWS | FRAMEOPTION_GROUPS)) != 0) {
                    incomparable("a window frame that counts rows");
                }
                return false;
            case T_RangeTableSample:
                incomparable("TABLESAMPLE");
                return false;
            case T_LockingClause: return writes("FOR UPDATE or FOR SHARE");
            case T_IntoClause: return refuse("SELECT INTO");
            case T_InsertStmt: case T_UpdateStmt: case T_DeleteStmt:
                return depth_ > 0 && writes("a WITH query that writes");
            case T_List: case T_ResTarget: case T_ParamRef: case T_BoolExpr: case T_TypeCast: case T_CaseExpr:
            case T_CaseWhen: case T_CoalesceExpr: case T_MinMaxExpr: case T_NullTest: case T_BooleanTest:
            case T_RowExpr: case T_A_ArrayExpr: case T_A_Indices: case T_A_Star: case T_CollateClause:
            case T_JoinExpr: case T_RangeSubselect: case T_RangeFunction: case T_RangeTableFunc:
            case T_RangeTableFuncCol: case T_Alias: case T_GroupingSet: case T_GroupingFunc: case T_WithClause:
            case T_NamedArgExpr: case T_XmlExpr: case T_XmlSerialize: case T_String: case T_Integer: case T_Float:
            case T_BitString: case T_ColumnDef: case T_SetToDefault: case T_MultiAssignRef:
            case T_InferClause: case T_OnConflictClause: case T_IndexElem:
                return false;
            default:  // Not our enum: the server's, of which a few hundred never occur in a read.
                return refuse("an unknown form");
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
            if (name.name.starts_with(prefix) && name.name != "pg_typeof" && name.name != "pg_sleep") {
                authority_only("a function about this very server");
            }
        }
        // A setting of the application's own (my.tenant) goes with the session; the others may be the server's.
        const bool setting = name.name == "current_setting" && !names_custom_setting(function->args);
        if (setting || is_one_of(name.name, server_functions)) authority_only("a function about this very server");
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
            if (is_one_of(string_at(reference->fields, i), system_columns)) authority_only("a system column");
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
        if (!constant->isnull && IsA(&constant->val.node, String) && mentions_clock(view(constant->val.sval.sval))) {
            incomparable("the time of day, or chance");
        }
        return false;
    }

    bool value_function(SQLValueFunction* function) {
        switch (function->op) {
            case SVFOP_CURRENT_DATE: case SVFOP_CURRENT_TIME: case SVFOP_CURRENT_TIME_N:
            case SVFOP_CURRENT_TIMESTAMP: case SVFOP_CURRENT_TIMESTAMP_N: case SVFOP_LOCALTIME:
            case SVFOP_LOCALTIME_N: case SVFOP_LOCALTIMESTAMP: case SVFOP_LOCALTIMESTAMP_N:
                incomparable("the time of day, or chance");
                break;
            case SVFOP_CURRENT_CATALOG:
                authority_only("a function about this very server");
                break;
            case SVFOP_CURRENT_ROLE: case SVFOP_CURRENT_USER: case SVFOP_USER: case SVFOP_SESSION_USER:
            case SVFOP_CURRENT_SCHEMA:
                break;
        }
        return false;
    }

    bool with_query(CommonTableExpr* query) {
        if (query->search_clause != nullptr || query->cycle_clause != nullptr) return refuse("SEARCH or CYCLE");
        add_once(result_.with_names, std::string{view(query->ctename)});
        return false;
    }

    Statement& result_;
    std::string_view refusal_;
    int depth_ = 0;
};

// What the ORDER BY of the outermost SELECT settles.
class Ordering {
public:
    explicit Ordering(const SelectStmt& statement) : statement_(statement) {}

    bool limited() const { return statement_.limitCount != nullptr || statement_.limitOffset != nullptr; }

    // Every output column, or everything that rows are grouped by, is sorted by.
    bool defines_order() const {
        if (statement_.op != SETOP_NONE || statement_.sortClause == NIL || statement_.targetList == NIL) return false;
        if (statement_.groupClause != NIL && covers_groups()) return true;
        for (int i = 0; i < list_length(statement_.targetList); ++i) {
            if (!covers_target(i)) return false;
        }
        return true;
    }

    // The columns sorted by, where they are plain columns of the only relation and rows are output as they are.
    std::vector<std::string> columns_of_only_table() const {
        const bool plain = statement_.op == SETOP_NONE && list_length(statement_.fromClause) == 1 &&
                           IsA(linitial(statement_.fromClause), RangeVar) && statement_.groupClause == NIL &&
                           statement_.distinctClause == NIL && statement_.withClause == nullptr;
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
        const auto* target = static_cast<const ResTarget*>(list_nth(statement_.targetList, position));
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
            const std::string_view other = target->name != nullptr ? view(target->name) : column_name(target->val);
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
                covered = covered || (!name.empty() && column_name(sorted_by(j)) == name && !aliased(name));
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

Statement only(StatementKind kind, std::string_view why) {
    Statement result;
    result.kind = kind;
    result.why = why;
    return result;
}

Statement walk(Node* node, StatementKind kind, std::string_view why) {
    Statement result = only(kind, why);
    result.names_known = true;
    const std::string_view refusal = Walk{result}.run(node);
    if (!refusal.empty()) return only(StatementKind::write, refusal);
    return result;
}

Statement classify_tree(Node* node) {
    switch (tag(node)) {
        case T_SelectStmt: {
            Statement result = walk(node, StatementKind::read, "");
            if (result.kind == StatementKind::read) read_order(*reinterpret_cast<SelectStmt*>(node), result);
            return result;
        }
        case T_InsertStmt: case T_UpdateStmt: case T_DeleteStmt:
            return walk(node, StatementKind::write, "changes rows");
        case T_VariableShowStmt: {
            Statement result = only(StatementKind::write, "SHOW");
            result.names_known = true;
            return result;
        }
        case T_TransactionStmt: case T_ConstraintsSetStmt:
            return only(StatementKind::transaction, "transaction control");
        case T_VariableSetStmt:
            // SET LOCAL and SET TRANSACTION end with their transaction.
            if (reinterpret_cast<VariableSetStmt*>(node)->is_local) {
                return only(StatementKind::transaction, "transaction control");
            }
            return only(StatementKind::session, "changes the session");
        case T_ListenStmt: case T_UnlistenStmt: case T_PrepareStmt: case T_DeallocateStmt:
        case T_DeclareCursorStmt: case T_ClosePortalStmt: case T_DiscardStmt: case T_LoadStmt:
            return only(StatementKind::session, "changes the session");
        default: return only(StatementKind::write, "not a SELECT");
    }
}

// The parser's memory, given back when the tree is no longer needed.
class ParserMemory {
public:
    ParserMemory() : context_(pg_query_enter_memory_context()) {}
    ~ParserMemory() { pg_query_exit_memory_context(context_); }
    ParserMemory(const ParserMemory&) = delete;
    ParserMemory& operator=(const ParserMemory&) = delete;

private:
    MemoryContext context_;
};

}  // namespace

Statement classify(std::string_view text) {
    if (text.size() > statement_size_max) return only(StatementKind::write, "too long to be examined");
    const std::string terminated{text};
    if (terminated.find('\0') != std::string::npos) return only(StatementKind::write, "contains a zero byte");

    const ParserMemory memory;
    const PgQueryInternalParsetreeAndError parsed = pg_query_raw_parse(terminated.c_str());
    free(parsed.stderr_buffer);
    if (parsed.error != nullptr) {
        pg_query_free_error(parsed.error);
        return only(StatementKind::write, "not understood by the grammar");
    }
    if (parsed.tree == NIL) return only(StatementKind::nothing, "empty");
    if (list_length(parsed.tree) > 1) return only(StatementKind::write, "several statements");
    return classify_tree(linitial_node(RawStmt, parsed.tree)->stmt);
}

}  // namespace segue::protocol::postgres
