#include "protocol/postgres/statement_cache.hpp"

#include <utility>

#include "protocol/postgres/table_scope.hpp"

namespace segue::protocol::postgres {

const KnownStatement& StatementCache::find(std::string_view text,
                                           const ReadCatalog& catalog,
                                           std::uint64_t generation,
                                           const std::vector<QualifiedName>& scope) {
    if (generation != generation_) {
        young_.clear();
        old_.clear();
        generation_ = generation;
    }
    const Hash128 id = hash128(bytes(text));
    if (const auto found = young_.find(id); found != young_.end()) return found->second;

    KnownStatement known;
    if (const auto found = old_.find(id); found != old_.end()) {
        known = found->second;
    } else {
        const Statement statement = classify(text);
        known = {id,
                 statement.kind,
                 judge(statement, catalog),
                 changes_session(statement, catalog),
                 scope.empty() || reads_only(statement, catalog, scope)};
    }
    if (young_.size() >= entries_max_) old_ = std::exchange(young_, {});
    return young_.emplace(id, std::move(known)).first->second;
}

void Demotions::add(Hash128 statement) {
    if (statements_.size() < entries_max_) statements_.insert(statement);
}

bool Demotions::contains(Hash128 statement) const {
    return statements_.size() >= entries_max_ || statements_.contains(statement);
}

}  // namespace segue::protocol::postgres
