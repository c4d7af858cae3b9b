#include "backfill/postgres/schema.hpp"

#include <fstream>
#include <set>
#include <unordered_map>
#include <utility>

#include "backfill/postgres/ddl_code.hpp"
#include "backfill/postgres/dump_script.hpp"
#include "backfill/postgres/schema_dump.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/text_array.hpp"
#include "backfill/postgres/tools.hpp"

namespace segue::backfill::postgres {

namespace {

enum class Portion { pre_data, key_indexes, post_data };

// The object is on the target already: created by the operator before, as INTERFACE allows. Whether
// it is equal has been compared before the first entry.
bool exists_already(const Error& error, const DumpEntry& entry) {
    static const std::set<std::string> always = {
        "42P07",  // relation
        "42710",  // object
        "42P06",  // schema
        "42723",  // function
        "42701",  // column
    };
    if (always.contains(error.sqlstate)) return true;
    const std::string_view what = entry.what;
    if (what.starts_with("CONSTRAINT ")) return error.sqlstate == "42P16";    // a primary key
    if (what.starts_with("TABLE ATTACH ")) return error.sqlstate == "42809";  // a partition already
    if (what.starts_with("SEQUENCE ")) return error.sqlstate == "55000";      // an identity already
    return false;
}

Result<Connection> open_source(const SchemaSettings& settings) {
    return Connection::open(settings.source_url,
                            {.application_name = "segue schema", .settings = {}});
}

Result<Connection> open_target(const SchemaSettings& settings) {
    return Connection::open(
        settings.target_url,
        {.application_name = "segue schema", .settings = {{mover_setting, settings.migration_id}}});
}

Result<std::vector<DumpEntry>> list_section(const SchemaDump& dump, const std::string& section) {
    const std::string output = dump.folder.file("list");
    const Status listed =
        run_tool({.arguments = {dump.tools.restore, "--list", "--section=" + section, dump.file()},
                  .output_file = output});
    if (!listed) return listed.error();
    const auto text = read_whole(output);
    if (!text) return text.error();
    return parse_dump_list(*text);
}

Result<DumpScript> script_of(const SchemaDump& dump, const std::vector<DumpEntry>& entries) {
    const std::string list = dump.folder.file("wanted"), output = dump.folder.file("script");
    {
        std::ofstream file{list, std::ios::binary};
        for (const DumpEntry& entry : entries) file << entry.line << '\n';
        if (!file.flush()) return Error{Errc::io, "cannot write " + list};
    }
    const Status written = run_tool({.arguments = {dump.tools.restore,
                                                   "--verbose",
                                                   "--no-tablespaces",
                                                   "--use-list=" + list,
                                                   "--file=-",
                                                   dump.file()},
                                     .output_file = output});
    if (!written) return written.error();
    const auto text = read_whole(output);
    if (!text) return text.error();
    return cut_script(*text, entries);
}

Result<std::set<std::string>> marks(Connection& target) {
    const auto rows =
        target.execute("SELECT object FROM segue.saved WHERE kind = $1", {restored_kind});
    if (!rows) return rows.error();
    std::set<std::string> found;
    for (int row = 0; row < rows->size(); ++row) found.insert(rows->text(row, 0));
    return found;
}

// A grant on the server's own catalog that our role may not make: `check` has said that such are
// not carried.
bool is_catalog_grant_beyond_us(const Error& error, const DumpEntry& entry) {
    return error.sqlstate == "42501" && entry.what.starts_with("ACL pg_catalog ");
}

Status restore_piece(Connection& target, const DumpEntry& entry, const std::string& sql) {
    const std::string mark = "\nINSERT INTO segue.saved VALUES ('" + std::string{restored_kind} +
                             "', " + quote_literal(entry.what) + ", '') ON CONFLICT DO NOTHING";
    const auto done = target.execute(sql + mark);
    if (done) return Done{};
    if (done.error().code == Errc::server &&
        (exists_already(done.error(), entry) || is_catalog_grant_beyond_us(done.error(), entry))) {
        const auto marked = target.execute(mark);
        if (!marked) return marked.error();
        return Done{};
    }
    Error error = done.error();
    error.detail = "target: cannot create " + entry.what + ": " + error.detail;
    return error;
}

Status restore_script(Connection& target,
                      const DumpScript& script,
                      const std::vector<DumpEntry>& entries) {
    for (const std::string& setting : script.settings) {
        const auto set = target.execute(setting);
        // A newer pg_dump names settings that an older server does not have.
        if (!set && set.error().sqlstate != "42704") return set.error();
    }
    // Losing the latest entries to a crash is harmless, because their marks are lost with them.
    if (auto lazily = target.execute("SET synchronous_commit = off"); !lazily)
        return lazily.error();
    std::unordered_map<int, const DumpEntry*> by_id;
    for (const DumpEntry& entry : entries) by_id.emplace(entry.id, &entry);
    for (const ScriptPiece& piece : script.pieces) {
        const Status restored = restore_piece(target, *by_id.at(piece.entry_id), piece.sql);
        if (!restored) return restored.error();
    }
    // What follows relies on the whole portion: this commit flushes the log up to here.
    const auto flushed = target.execute(
        "SET synchronous_commit = on; INSERT INTO segue.event (kind, detail) VALUES ('schema', "
        "'restored " +
        std::to_string(script.pieces.size()) + " objects')");
    if (!flushed) return flushed.error();
    return Done{};
}

// Primary keys and replica identity indexes of moved tables and of the partitioned tables above
// them.
Result<KeyIndexes> read_key_indexes(Connection& source) {
    const auto rows = source.execute(R"sql(
        SELECT i.indexrelid, coalesce(o.oid, 0), n.nspname || ' ' || x.relname
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
        JOIN pg_namespace n ON n.oid = x.relnamespace
        LEFT JOIN pg_constraint o ON o.conindid = i.indexrelid AND o.contype IN ('p', 'u')
        WHERE (i.indisprimary OR i.indisreplident) AND c.relkind IN ('r', 'p')
          AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'segue'))sql");
    if (!rows) return rows.error();
    KeyIndexes keys;
    for (int row = 0; row < rows->size(); ++row) {
        keys.indexes.insert(rows->number(row, 0));
        if (rows->number(row, 1) != 0) keys.constraints.insert(rows->number(row, 1));
        keys.names.insert(rows->text(row, 2));
    }
    return keys;
}

Result<std::vector<DumpEntry>> key_entries(const SchemaDump& dump, Connection& source) {
    auto entries = list_section(dump, "post-data");
    if (!entries) return entries.error();
    const auto keys = read_key_indexes(source);
    if (!keys) return keys.error();
    std::erase_if(*entries, [&](const DumpEntry& entry) { return !is_key_entry(entry, *keys); });
    return entries;
}

// What was a key at the moment of the description may have got another number since, or another
// name.
Result<std::vector<DumpEntry>> kept_key_entries(const SchemaDump& dump,
                                                Connection& source,
                                                Connection& target) {
    const auto kept =
        target.execute("SELECT previous FROM segue.saved WHERE kind = $1", {key_entries_kind});
    if (!kept) return kept.error();
    if (kept->size() == 0) return key_entries(dump, source);
    auto entries = list_section(dump, "post-data");
    if (!entries) return entries.error();
    const std::vector<std::string> names = parse_text_array(kept->at(0, 0));
    const std::set<std::string> wanted{names.begin(), names.end()};
    std::erase_if(*entries, [&](const DumpEntry& entry) { return !wanted.contains(entry.what); });
    return entries;
}

Status restore(const SchemaSettings& settings,
               Portion portion,
               Description description = Description::taken_now) {
    auto source = open_source(settings);
    if (!source) return source.error();
    auto target = open_target(settings);
    if (!target) return target.error();
    // What is created later belongs to the tables as they were at the start, unless they have been
    // changed since: then as they are. What the follower does not have yet comes with the stream,
    // and the next try finds it.
    const auto carried = target->execute("SELECT FROM segue.event WHERE kind = 'ddl' LIMIT 1");
    if (!carried) return carried.error();
    const bool anew = (portion == Portion::pre_data && description == Description::taken_now) ||
                      (portion == Portion::post_data && carried->size() == 1);
    const auto dump =
        anew ? take_dump(settings, *source, *target) : kept_dump(settings, *source, *target);
    if (!dump) return dump.error();
    // It may be younger than what the stream has brought.
    if (anew && portion == Portion::post_data) {
        const Status judged = refuse_unjudged_commands(*source, *target);
        if (!judged) return judged;
    }
    auto entries =
        portion == Portion::key_indexes
            ? kept_key_entries(*dump, *source, *target)
            : list_section(*dump, portion == Portion::pre_data ? "pre-data" : "post-data");
    if (!entries) return entries.error();
    const auto done = marks(*target);
    if (!done) return done.error();
    // Carried commands may have dropped or changed it since.
    const bool again = anew && portion == Portion::post_data;
    std::erase_if(*entries, [&](const DumpEntry& entry) {
        return is_left_behind(entry) ||
               (done->contains(entry.what) && !(again && tells_that_it_exists(entry)));
    });
    if (entries->empty()) return Done{};
    const auto script = script_of(*dump, *entries);
    if (!script) return script.error();
    return restore_script(*target, *script, *entries);
}

// Those to be filled: not what is empty on the source ($1), unless another one is filled from it.
constexpr const char* unfilled_views = R"sql(
    WITH RECURSIVE of AS (
        SELECT c.oid, n.nspname, c.relname, n.nspname || '.' || c.relname = ANY ($1::text[]) AS lent,
               c.relkind = 'm' AS kept, c.relkind = 'm' AND NOT c.relispopulated AS unfilled
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('m', 'v') AND n.nspname <> 'segue'),
    wanted AS (
        SELECT oid FROM of WHERE unfilled AND NOT lent
        UNION
        SELECT of.oid FROM wanted w JOIN pg_rewrite r ON r.ev_class = w.oid
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                        AND d.refclassid = 'pg_class'::regclass
        JOIN of ON of.oid = d.refobjid AND (of.unfilled OR NOT of.kept))
    SELECT nspname, relname, lent FROM of JOIN wanted USING (oid) WHERE unfilled)sql";

Status empty_again(Connection& target, const std::vector<std::string>& views) {
    for (const std::string& view : views) {
        const auto emptied = target.execute("REFRESH MATERIALIZED VIEW " + view + " WITH NO DATA");
        if (!emptied) return emptied.error();
    }
    return Done{};
}

// One that nobody has filled on the source stays so: it may be one that cannot be. A view that
// reads another one must wait for it: whoever can be filled is, until nothing changes any more. The
// other one may have been emptied on the source since, and is then filled only meanwhile.
Status refresh_materialized_views(const SchemaSettings& settings) {
    auto source = open_source(settings);
    if (!source) return source.error();
    const auto empty = source->execute(R"sql(
        SELECT coalesce(array_agg(n.nspname || '.' || c.relname), '{}')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm' AND NOT c.relispopulated)sql");
    if (!empty) return empty.error();
    auto target = open_target(settings);
    if (!target) return target.error();
    std::vector<std::string> lent;
    for (;;) {
        const auto views = target->execute(unfilled_views, {empty->text(0, 0)});
        if (!views) return views.error();
        int filled = 0;
        std::optional<Error> failure;
        for (int row = 0; row < views->size(); ++row) {
            const std::string view = qualified(views->text(row, 0), views->text(row, 1));
            const auto refreshed = target->execute("REFRESH MATERIALIZED VIEW " + view);
            if (refreshed) {
                ++filled;
                if (views->truth(row, 2)) lent.push_back(view);
            } else {
                failure = refreshed.error();
                failure->detail = "target: cannot refresh " + view + ": " + failure->detail;
            }
        }
        if (failure && filled > 0) continue;
        if (Status emptied = empty_again(*target, lent); !emptied) return emptied;
        if (failure) return *failure;
        return Done{};
    }
}

}  // namespace

Status keep_description(const SchemaSettings& settings,
                        Connection& moment,
                        const std::string& snapshot) {
    auto source = open_source(settings);
    if (!source) return source.error();
    auto target = open_target(settings);
    if (!target) return target.error();
    const auto dump = take_dump(settings, *source, *target, snapshot);
    if (!dump) return dump.error();
    const auto keys = key_entries(*dump, moment);
    if (!keys) return keys.error();
    std::vector<std::string> names;
    for (const DumpEntry& entry : *keys) names.push_back(entry.what);
    const auto kept = target->execute(
        "INSERT INTO segue.saved VALUES ($1, '', $2) ON CONFLICT (kind, object) DO UPDATE SET"
        " previous = excluded.previous",
        {key_entries_kind, text_array(names)});
    if (!kept) return kept.error();
    return Done{};
}

Status restore_pre_data(const SchemaSettings& settings, Description description) {
    return restore(settings, Portion::pre_data, description);
}

Status restore_key_indexes(const SchemaSettings& settings) {
    return restore(settings, Portion::key_indexes);
}

Status restore_post_data(const SchemaSettings& settings) {
    if (const Status restored = restore(settings, Portion::post_data); !restored) return restored;
    return refresh_materialized_views(settings);
}

Status analyze(Connection& target, const std::vector<Table>& tables) {
    for (const Table& table : tables) {
        const auto analyzed = target.execute("ANALYZE " + table.qualified_name());
        if (!analyzed) {
            Error error = analyzed.error();
            // Its creation or its end is on its way in the stream.
            if (error.sqlstate == "42P01" || error.sqlstate == "3F000") continue;
            error.detail = "target: cannot analyze " + table.plain_name() + ": " + error.detail;
            return error;
        }
    }
    return Done{};
}

}  // namespace segue::backfill::postgres
