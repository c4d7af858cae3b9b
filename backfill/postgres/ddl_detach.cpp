#include "backfill/postgres/ddl_detach.hpp"

#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

Result<std::vector<Partition>> read_partitions(Connection& follower,
                                               const std::vector<std::string>& names) {
    if (names.empty()) return std::vector<Partition>{};
    const auto rows = follower.execute(
        "SELECT c.oid, format('%I.%I', n.nspname, c.relname), pg_get_partition_constraintdef(c.oid)"
        " FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_namespace n ON n.oid ="
        " c.relnamespace JOIN pg_class p ON p.oid = h.inhparent JOIN pg_namespace o ON o.oid ="
        " p.relnamespace WHERE c.relispartition AND o.nspname || '.' || p.relname = ANY"
        " ($1::text[])",
        {text_array(names)});
    if (!rows) return rows.error();
    std::vector<Partition> found;
    for (int row = 0; row < rows->size(); ++row)
        found.push_back({rows->text(row, 0), rows->text(row, 1), rows->text(row, 2)});
    return found;
}

Status keep_bounds_of_detached(Connection& follower,
                               const std::string& role,
                               const std::vector<Partition>& before) {
    for (const Partition& partition : before) {
        if (partition.bounds.empty()) continue;  // A default one among no others.
        // One that has such a check already gets no other.
        const auto without = follower.execute(
            "SELECT FROM pg_class c WHERE c.oid = $1::oid AND NOT c.relispartition AND NOT EXISTS ("
            "SELECT FROM pg_constraint o WHERE o.conrelid = c.oid AND o.contype = 'c' AND"
            " pg_get_constraintdef(o.oid) = 'CHECK (' || $2 || ')')",
            {partition.number, partition.bounds});
        if (!without) return without.error();
        if (without->size() == 0) continue;
        const auto added = follower.execute(
            "SELECT segue.ddl_as($1, '{}', 'ALTER TABLE', $2)",
            {role, "ALTER TABLE " + partition.name + " ADD CHECK (" + partition.bounds + ")"});
        if (!added) return added.error();
    }
    return Done{};
}

}  // namespace segue::backfill::postgres
