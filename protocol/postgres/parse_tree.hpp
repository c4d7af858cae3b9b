#pragma once
// The raw tree of libpg_query, for the few sources that look at it. It is made of the server's own
// C structs, whose headers define macros with common names: included last, and in no other header.

#include <string>
#include <string_view>

#include "protocol/postgres/classify.hpp"

extern "C" {
#include <pg_query.h>

#include <postgres.h>

#include <nodes/nodeFuncs.h>
#include <nodes/parsenodes.h>
#include <pg_query/pg_query_internal.h>
}

static_assert(PG_VERSION_NUM / 10000 == 15,
              "the headers must be those of the grammar in libpg_query");

namespace segue::protocol::postgres {

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

// As a number: the server's enumeration has hundreds of tags that are none of our business.
inline int tag(const Node* node) { return static_cast<int>(nodeTag(node)); }

inline std::string_view view(const char* text) {
    return text == nullptr ? std::string_view{} : std::string_view{text};
}

inline std::string_view string_at(const List* list, int position) {
    if (list == NIL || position < 0 || position >= list_length(list)) return {};
    const auto* node = static_cast<const Node*>(list_nth(list, position));
    return node != nullptr && IsA(node, String) ? view(reinterpret_cast<const String*>(node)->sval)
                                                : "";
}

inline QualifiedName qualified(const List* names) {
    const int count = list_length(names);
    return {std::string{string_at(names, count - 2)}, std::string{string_at(names, count - 1)}};
}

// Walks the whole statement: names, and whatever makes it not a read, not comparable, the
// authority's own. Empty when everything was understood, else why not; `result` is worth nothing
// then.
std::string_view walk_tree(Node* statement, Statement& result);

// What the outermost SELECT's ORDER BY and LIMIT settle. After walk_tree.
void read_order(const SelectStmt& select, Statement& result);

}  // namespace segue::protocol::postgres
