#pragma once
// Where pg_dump and pg_restore are: the folder of the configuration, else PATH and Debian's
// folders, the newest of those that can read the source.

#include <string>

#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct PgTools {
    std::string dump, restore;  // Paths.
    int major = 0;              // Of pg_dump.
};

// `pg_bin`: the only folder to look in, unless empty. `server_version`: the source's, as
// PQserverVersion gives it; a pg_dump of a lower major version refuses to read it. Errc::refused
// names what was found and what to install.
Result<PgTools> find_pg_tools(const std::string& pg_bin, int server_version);

}  // namespace segue::backfill::postgres
