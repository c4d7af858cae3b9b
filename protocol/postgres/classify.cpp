#include "protocol/postgres/classify.hpp"

#include "protocol/postgres/parse_tree.hpp"

namespace segue::protocol::postgres {

namespace {

Statement only(StatementKind kind, std::string_view why) {
    Statement result;
    result.kind = kind;
    result.why = why;
    return result;
}

Statement walk(Node* node, StatementKind kind, std::string_view why) {
    Statement result = only(kind, why);
    result.names_known = true;
    const std::string_view refusal = walk_tree(node, result);
    if (!refusal.empty()) return only(StatementKind::write, refusal);
    return result;
}

Statement classify_tree(Node* node) {
    switch (tag(node)) {
        case T_SelectStmt: {
            Statement result = walk(node, StatementKind::read, "");
            if (result.kind == StatementKind::read)
                read_order(*reinterpret_cast<SelectStmt*>(node), result);
            return result;
        }
        case T_InsertStmt:
        case T_UpdateStmt:
        case T_DeleteStmt:
            return walk(node, StatementKind::write, "changes rows");
        case T_VariableShowStmt: {
            Statement result = only(StatementKind::write, "SHOW");
            result.names_known = true;
            return result;
        }
        case T_TransactionStmt:
        case T_ConstraintsSetStmt:
            return only(StatementKind::transaction, "transaction control");
        case T_VariableSetStmt:
            // SET LOCAL and SET TRANSACTION end with their transaction.
            if (reinterpret_cast<VariableSetStmt*>(node)->is_local) {
                return only(StatementKind::transaction, "transaction control");
            }
            return only(StatementKind::session, "changes the session");
        case T_ListenStmt:
        case T_UnlistenStmt:
        case T_PrepareStmt:
        case T_DeallocateStmt:
        case T_DeclareCursorStmt:
        case T_ClosePortalStmt:
        case T_DiscardStmt:
        case T_LoadStmt:
            return only(StatementKind::session, "changes the session");
        default:
            return only(StatementKind::write, "not a SELECT");
    }
}

}  // namespace

Statement classify(std::string_view text) {
    if (text.size() > statement_size_max)
        return only(StatementKind::write, "too long to be examined");
    const std::string terminated{text};
    if (terminated.find('\0') != std::string::npos)
        return only(StatementKind::write, "contains a zero byte");

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
