#include "protocol/postgres/same_print.hpp"

#include <string>

#include "protocol/postgres/parse_tree.hpp"

namespace segue::protocol::postgres {

namespace {

Node* node_of(const ListCell* cell) { return static_cast<Node*>(lfirst(cell)); }

// Rewrites expressions, in place, to what all versions could have printed.
class Rewriting {
public:
    // Of extract() the older servers made a double precision, the newer ones make a numeric: so the
    // constants that it is compared with have another type, which is printed with them.
    enum class Numbers { as_they_are, without_casts };

    explicit Rewriting(Numbers numbers) : numbers_(numbers) {}

    void statement(Node* node) {
        switch (tag(node)) {
            case T_SelectStmt:
                return results(reinterpret_cast<SelectStmt*>(node)->targetList);
            case T_IndexStmt:
                elements(reinterpret_cast<IndexStmt*>(node)->indexParams);
                return in_place(reinterpret_cast<IndexStmt*>(node)->whereClause);
            case T_CreateTrigStmt:
                return in_place(reinterpret_cast<CreateTrigStmt*>(node)->whenClause);
            case T_AlterTableStmt:
                return commands(reinterpret_cast<AlterTableStmt*>(node)->cmds);
            default:
                return;
        }
    }

    bool extracts() const { return extracts_; }
    bool too_deep() const { return too_deep_; }

private:
    void results(List* list) {
        const ListCell* cell = nullptr;
        foreach (cell, list) in_place(reinterpret_cast<ResTarget*>(node_of(cell))->val);
    }
    void elements(List* list) {
        const ListCell* cell = nullptr;
        foreach (cell, list) in_place(reinterpret_cast<IndexElem*>(node_of(cell))->expr);
    }
    void commands(List* list) {
        const ListCell* cell = nullptr;
        foreach (cell, list) {
            Node* const what = reinterpret_cast<AlterTableCmd*>(node_of(cell))->def;
            if (what == nullptr || tag(what) != T_Constraint) continue;
            auto* const constraint = reinterpret_cast<Constraint*>(what);
            in_place(constraint->raw_expr);
            in_place(constraint->where_clause);
            const ListCell* pair = nullptr;
            foreach (pair, constraint->exclusions)
                in_place(
                    reinterpret_cast<IndexElem*>(linitial(reinterpret_cast<List*>(node_of(pair))))
                        ->expr);
        }
    }

    template <class T>
    void in_place(T*& node) {
        node = reinterpret_cast<T*>(plain(reinterpret_cast<Node*>(node)));
    }
    void each(List* list) {
        ListCell* cell = nullptr;
        foreach (cell, list) lfirst(cell) = plain(node_of(cell));
    }

    Node* plain(Node* node) {
        if (node == nullptr) return nullptr;
        if (++depth_ > statement_depth_max) too_deep_ = true;
        if (!too_deep_) node = rewritten(node);
        --depth_;
        return node;
    }
    Node* rewritten(Node* node) {
        switch (tag(node)) {
            case T_FuncCall:
                function(*reinterpret_cast<FuncCall*>(node));
                break;
            case T_TypeCast:
                in_place(reinterpret_cast<TypeCast*>(node)->arg);
                return without_number_cast(node);
            case T_A_Expr:
                in_place(reinterpret_cast<A_Expr*>(node)->lexpr);
                in_place(reinterpret_cast<A_Expr*>(node)->rexpr);
                break;
            case T_BoolExpr:
                each(reinterpret_cast<BoolExpr*>(node)->args);
                break;
            case T_NullTest:
                in_place(reinterpret_cast<NullTest*>(node)->arg);
                break;
            case T_BooleanTest:
                in_place(reinterpret_cast<BooleanTest*>(node)->arg);
                break;
            case T_CoalesceExpr:
                each(reinterpret_cast<CoalesceExpr*>(node)->args);
                break;
            case T_MinMaxExpr:
                each(reinterpret_cast<MinMaxExpr*>(node)->args);
                break;
            case T_CaseExpr:
                in_place(reinterpret_cast<CaseExpr*>(node)->arg);
                each(reinterpret_cast<CaseExpr*>(node)->args);
                in_place(reinterpret_cast<CaseExpr*>(node)->defresult);
                break;
            case T_CaseWhen:
                in_place(reinterpret_cast<CaseWhen*>(node)->expr);
                in_place(reinterpret_cast<CaseWhen*>(node)->result);
                break;
            case T_A_ArrayExpr:
                each(reinterpret_cast<A_ArrayExpr*>(node)->elements);
                break;
            case T_RowExpr:
                each(reinterpret_cast<RowExpr*>(node)->args);
                break;
            case T_CollateClause:
                in_place(reinterpret_cast<CollateClause*>(node)->arg);
                break;
            case T_A_Indirection:
                in_place(reinterpret_cast<A_Indirection*>(node)->arg);
                break;
            case T_List:
                each(reinterpret_cast<List*>(node));
                break;
            default:
                break;
        }
        return node;
    }

    void function(FuncCall& call) {
        each(call.args);
        const QualifiedName name = qualified(call.funcname);
        if (name.schema != "" && name.schema != "pg_catalog") return;
        const bool extracts = name.name == "extract";
        extracts_ = extracts_ || extracts;
        call.funcname = lappend(NIL, llast(call.funcname));
        if (!extracts && name.name != "date_part") return;
        call.funcname = lappend(NIL, makeString(pstrdup("date_part")));
        // The field: a word there, a constant of type text here.
        if (call.args == NIL) return;
        Node* const field = node_of(list_head(call.args));
        if (tag(field) == T_TypeCast)
            lfirst(list_head(call.args)) = reinterpret_cast<TypeCast*>(field)->arg;
    }

    Node* without_number_cast(Node* node) const {
        if (numbers_ == Numbers::as_they_are) return node;
        const auto* const cast = reinterpret_cast<TypeCast*>(node);
        const std::string_view type =
            string_at(cast->typeName->names, list_length(cast->typeName->names) - 1);
        const bool number = type == "float8" || type == "numeric";
        return number && cast->typeName->typmods == NIL && tag(cast->arg) == T_A_Const ? cast->arg
                                                                                       : node;
    }

    Numbers numbers_;
    int depth_ = 0;
    bool extracts_ = false, too_deep_ = false;
};

// Its only statement; null where it has none, or several. Lives as long as the parser's memory.
Node* parsed(std::string_view text) {
    if (text.size() > statement_size_max || text.find('\0') != std::string_view::npos)
        return nullptr;
    const PgQueryInternalParsetreeAndError result = pg_query_raw_parse(std::string{text}.c_str());
    free(result.stderr_buffer);
    if (result.error != nullptr) {
        pg_query_free_error(result.error);
        return nullptr;
    }
    if (list_length(result.tree) != 1) return nullptr;
    Node* const statement = linitial_node(RawStmt, result.tree)->stmt;
    switch (tag(statement)) {
        case T_SelectStmt:
        case T_IndexStmt:
        case T_CreateTrigStmt:
        case T_AlterTableStmt:
            return statement;
        default:
            return nullptr;
    }
}

}  // namespace

bool same_print(std::string_view one, std::string_view other) {
    if (one == other) return true;
    const ParserMemory memory;
    Node* const statements[2] = {parsed(one), parsed(other)};
    if (statements[0] == nullptr || statements[1] == nullptr) return false;
    bool extracts = false;
    for (Node* const statement : statements) {
        Rewriting rewriting{Rewriting::Numbers::as_they_are};
        rewriting.statement(statement);
        if (rewriting.too_deep()) return false;
        extracts = extracts || rewriting.extracts();
    }
    for (Node* const statement : statements) {
        if (extracts) Rewriting{Rewriting::Numbers::without_casts}.statement(statement);
    }
    return equal(statements[0], statements[1]);
}

}  // namespace segue::protocol::postgres
