#pragma once
// The description of the source's schema as pg_dump gives it. It is taken when the migration starts
// and kept on the target: pg_dump locks every table for as long as it runs, and whoever empties
// tables all the time would find it in the way, or never let it come to its end, again and again
// while the copy goes on.

#include <string>

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/pg_tools.hpp"
#include "backfill/postgres/schema.hpp"
#include "backfill/postgres/tools.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct SchemaDump {
    PgTools tools;
    PrivateFolder folder;  // Has `file()`, and is removed with this object.
    std::string file() const { return folder.file("schema.dump"); }
};

// Dumps the source, and keeps that on the target in the place of an earlier one. As `snapshot`
// shows it; empty: as it is now.
Result<SchemaDump> take_dump(const SchemaSettings& settings,
                             Connection& source,
                             Connection& target,
                             const std::string& snapshot = {});
// The one that is kept; taken now where there is none.
Result<SchemaDump> kept_dump(const SchemaSettings& settings,
                             Connection& source,
                             Connection& target);

Result<std::string> read_whole(const std::string& path);

}  // namespace segue::backfill::postgres
