#pragma once
// The texts that pg_restore makes of a dump: its table of contents, and a script cut into one piece
// per entry. Pure.

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// One line of `pg_restore -l`: "3224; 2606 16421 CONSTRAINT public t t_pkey postgres".
struct DumpEntry {
    int id = 0;               // 3224: valid for this one dump.
    long long class_oid = 0;  // 2606: the source's catalog that the object is in; 0 for none.
    long long oid = 0;        // 16421: the object there.
    std::string what;         // "CONSTRAINT public t t_pkey postgres", with "#2" when it repeats.
    std::string line;         // The whole line, for `pg_restore -L`.

    friend bool operator==(const DumpEntry&, const DumpEntry&) = default;
};

std::vector<DumpEntry> parse_dump_list(std::string_view list);

// Objects that are never carried: Segue's own, publications, subscriptions (they would start to
// pull), and extensions, which must be on the target before.
bool is_left_behind(const DumpEntry& entry);

// Made again it fails because it is there already, or changes nothing. What is known to have been
// made may be gone since, or be another one of the name.
bool tells_that_it_exists(const DumpEntry& entry);

// The indexes behind keys, as the source's catalog tells them.
struct KeyIndexes {
    std::unordered_set<long long> indexes;      // pg_class
    std::unordered_set<long long> constraints;  // pg_constraint
    std::unordered_set<std::string> names;  // "schema index": attaching has no object of its own.
};
bool is_key_entry(const DumpEntry& entry, const KeyIndexes& keys);

struct ScriptPiece {
    int entry_id = 0;
    std::string sql;
};

struct DumpScript {
    std::vector<std::string> settings;  // Statements before the first entry.
    std::vector<ScriptPiece> pieces;    // In the order of execution.
};

// `script` is what `pg_restore --verbose --file=-` writes for exactly these entries. An error when
// an entry is missing: nothing is restored by halves.
Result<DumpScript> cut_script(std::string_view script, const std::vector<DumpEntry>& entries);

}  // namespace segue::backfill::postgres
