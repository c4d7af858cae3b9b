#pragma once
// Twenty schemas that are healthy: whatever an application may have, and Segue must move without a
// word. Each is made in a schema of its own, and written to by what follows.

#include <vector>

namespace segue::test {

struct HealthySchema {
    const char* name;
    const char* made;   // Under SET ROLE app and search_path = NAME, public.
    const char* write;  // As app, under the same path: again and again.
};

std::vector<HealthySchema> healthy_schemas();

// What both databases have beforehand; as superuser.
inline constexpr const char* healthy_extensions = R"sql(
    CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION pg_trgm; CREATE EXTENSION pgcrypto;
    CREATE EXTENSION "uuid-ossp"; CREATE EXTENSION ltree; CREATE EXTENSION btree_gist; CREATE EXTENSION intarray)sql";
// Roles besides app; on the source.
inline constexpr const char* healthy_roles = R"sql(
    CREATE ROLE clerk LOGIN PASSWORD 'clerk'; CREATE ROLE "Chief Owner"; GRANT clerk TO app)sql";

}  // namespace segue::test
