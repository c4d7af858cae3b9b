#pragma once
// What the applier knows of the follower's tables. A command says which tables it names, and
// changes others with them (those that inherit from them or refer to them, those with a column of a
// type). So after any change of the schema nothing is known any more, and a table is described anew
// when its next change is to be applied: what the others look like nobody needs.

#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "backfill/change.hpp"
#include "backfill/dispatcher.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/follower_tables.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

class KnownTables {
public:
    // `all` that there are.
    KnownTables(FollowerTables all, std::vector<std::string> exclude)
        : tables_(std::move(all)), exclude_(std::move(exclude)) {}

    // Its address stays.
    const FollowerTables& tables() const { return tables_; }
    void forget();
    // Whether all is known that there is of the tables that `item` is about.
    bool knows(const ApplyItem& item);
    // Those of `items` from `first` on that are not known, up to the next change of the schema.
    Status learn(Connection& follower, const std::vector<ApplyItem>& items, std::size_t first);
    Status learn(Connection& follower, const std::set<TableName>& names);

private:
    bool knows(const TableName& name) const { return all_known_ || asked_for_.contains(name); }

    FollowerTables tables_;
    std::vector<std::string> exclude_;
    bool all_known_ = true;
    std::set<TableName> asked_for_;                  // Since then; also those that are not there.
    std::unordered_set<const Relation*> relations_;  // Of tables that are known.
};

}  // namespace segue::backfill::postgres
