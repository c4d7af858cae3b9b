#pragma once
// Roles of the source on the target, so that an application's own user and password work on both
// servers.

#include <string>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct Role {
    std::string name;
    bool superuser = false, inherit = true, create_role = false, create_database = false;
    bool login = false, replication = false, bypass_rls = false;
    long long connection_limit = -1;
    std::string
        verifier;  // As the server stores it; never logged. Empty: none, or not readable by us.
    std::string valid_until;  // Empty: for ever.

    friend bool operator==(const Role&, const Role&) = default;
};

// Every role but the predefined ones (pg_...). Verifiers only where we may read them (superuser).
Result<std::vector<Role>> read_roles(Connection& connection);

// Names of login roles of `source` that are missing on the target, or whose verifier differs there.
std::vector<std::string> roles_to_change(const std::vector<Role>& source,
                                         const std::vector<Role>& target);

// Names of roles that only a superuser may create or change: superusers there or here, and those
// that replicate or bypass row security. Empty when our role on the target is a superuser.
Result<std::vector<std::string>> roles_beyond_us(const std::vector<Role>& source,
                                                 const std::vector<Role>& present,
                                                 Connection& target);

// The commands that give the target's database the settings of the source's (ALTER DATABASE ...
// SET) which it lacks. Empty when our role there may run them, being its owner or a superuser.
Result<std::vector<std::string>> database_settings_beyond_us(Connection& source,
                                                             Connection& target);

// Creates what is missing, sets verifiers that differ to the source's, adds memberships and the
// roles' settings. Drops nothing and takes nothing away; leaves roles_beyond_us alone. Idempotent.
Status sync_roles(Connection& source, Connection& target);

}  // namespace segue::backfill::postgres
