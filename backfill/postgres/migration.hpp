#pragma once
// Both databases of one migration as its administrative steps see them, and those steps that are
// longer than a statement: `start` (prepare) and `finish`. Every step is idempotent: run again
// after a crash at any instant, it does what is left.

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backfill/change_steps.hpp"
#include "backfill/control.hpp"
#include "backfill/postgres/fence.hpp"
#include "backfill/postgres/link.hpp"
#include "backfill/postgres/schema.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

class Migration {
public:
    Migration(const ServerSettings& settings, const std::string& id);

    Link& link(Side side) { return links_[index(side)]; }
    Fence& fence(Side side) { return fences_[index(side)]; }
    const ServerSettings& settings() const { return settings_; }
    const std::string& id() const { return id_; }

private:
    ServerSettings settings_;
    std::string id_;
    std::array<Link, 2> links_;
    std::array<Fence, 2> fences_;
};

using ControlStores = std::array<std::unique_ptr<ControlStore>, 2>;  // By index(Side).

// ChangeSteps::prepare and ::finish.
Status prepare_migration(Migration& migration, ControlStores& control, const ControlRecord& record);
Status finish_migration(Migration& migration,
                        ControlStores& control,
                        const ControlRecord& tombstone,
                        bool unfence);

// What the operator is told when a side answers with an error.
Error on_side(Side side, const Error& error);

// Statements that lock tables of the application: (what for, statement). One transaction each, with
// the link's short lock timeout; those that met a lock are tried again until the deadline.
using TableStatements = std::vector<std::pair<std::string, std::string>>;
Status run_table_by_table(Link& link, TableStatements statements, Deadline deadline);

// How long a step of start or finish goes on asking for locks before it gives up and says who holds
// them.
inline constexpr std::chrono::minutes table_locks_time_max{5};

// The publication on that side, with these tables and Segue's own that travel in the stream.
struct PublishedTable {
    std::string schema, name;
};
Status publish(Migration& migration, Side side, const std::vector<PublishedTable>& tables);

// The slot on the source, created once, and the row of progress that the mover starts from. Where
// DDL is captured, what has committed below that position is carried before. A slot that nobody is
// going to read is not left behind.
Status create_source_slot(Migration& migration, bool captures_ddl);

SchemaSettings schema_settings(const Migration& migration);

// Chunks are loaded at different moments, so a unique value may stand in two rows until the stream
// has caught up. Unique, exclusion and foreign key constraints of the empty tables that are used as
// they are go away, and come back equal after the copy. Keys stay, and excluded tables as they are.
Status drop_secondary_unique(Migration& migration);

}  // namespace segue::backfill::postgres
