#pragma once
// Servers of several major versions, for the tests that need more than the installed one. They come
// from /usr/lib/postgresql and from the folder that SEGUE_POSTGRES_VERSIONS names
// (tests/versions.sh fills one).

#include <filesystem>
#include <string>

namespace segue::test {

// Where initdb and postgres of that major version are; empty when there are none.
std::filesystem::path server_binaries(int major);

// A folder with a pg_dump and pg_restore that read a server of that major version; empty when there
// is none.
std::filesystem::path dump_binaries(int major);

// Why a test of this pair cannot run; empty when it can.
std::string missing_for_pair(int source, int target);

}  // namespace segue::test
