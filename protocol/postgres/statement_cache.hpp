#pragma once
// Judgements by statement, so that a text is parsed once and not at every execution. Keyed by a
// 128-bit hash of the bytes. Bounded: two generations, the older one is dropped when the younger is
// full. One thread at a time.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "protocol/hash.hpp"
#include "protocol/postgres/volatility.hpp"

namespace segue::protocol::postgres {

inline constexpr std::size_t statements_cached_max = 8192;
inline constexpr std::size_t statements_demoted_max = 65536;

struct KnownStatement {
    Hash128 id;
    StatementKind kind = StatementKind::write;
    Judgement judgement;
    bool changes_session = true;
    bool in_scope = false;  // Reads nothing but the tables that were asked for.
};

class StatementCache {
public:
    explicit StatementCache(std::size_t entries_max = statements_cached_max)
        : entries_max_(entries_max) {}

    // `generation` names the contents of catalog and scope: another number than last time forgets
    // everything. No tables in the scope: all statements are in it.
    const KnownStatement& find(std::string_view text,
                               const ReadCatalog& catalog,
                               std::uint64_t generation,
                               const std::vector<QualifiedName>& scope = {});
    std::size_t size() const { return young_.size() + old_.size(); }

private:
    using Map = std::unordered_map<Hash128, KnownStatement, Hash128::Hasher>;

    std::size_t entries_max_;
    std::uint64_t generation_ = 0;
    Map young_, old_;
};

// Statements that a follower refused with 25006: never sent there again. At the limit everything is
// taken for demoted, because forgetting one would be a retry.
class Demotions {
public:
    explicit Demotions(std::size_t entries_max = statements_demoted_max)
        : entries_max_(entries_max) {}
    void add(Hash128 statement);
    bool contains(Hash128 statement) const;
    std::size_t size() const { return statements_.size(); }

private:
    std::size_t entries_max_;
    std::unordered_set<Hash128, Hash128::Hasher> statements_;
};

}  // namespace segue::protocol::postgres
