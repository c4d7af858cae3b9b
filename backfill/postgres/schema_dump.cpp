#include "backfill/postgres/schema_dump.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <thread>
#include <utility>

#include "backfill/postgres/text_array.hpp"
#include "protocol/crypto.hpp"

namespace segue::backfill::postgres {

namespace {

// pg_dump asks for ACCESS SHARE on every table. It must not queue for long: whoever comes later
// queues behind it (law 10).
constexpr const char* dump_lock_wait = "--lock-wait-timeout=1000";
constexpr int dump_tries_max = 30;
constexpr std::chrono::seconds pause_between_tries{1};
// It holds its locks until it ends. The first try yields to the application at once; each one after
// it lets somebody wait a little longer, because where tables are emptied all the time none would
// ever come to its end.
constexpr std::chrono::milliseconds patience_step{100}, patience_max{2000};

// In segue.saved of the target; its value is the archive in base 64.
constexpr const char* dump_kind = "schema_dump";

// pg_dump waits for locks by statement_timeout.
bool lock_was_busy(const Error& error) {
    const auto said = [&](const char* words) {
        return error.detail.find(words) != std::string::npos;
    };
    return error.code == Errc::timed_out || (said("LOCK TABLE") && said("timeout"));
}

bool holds_up_others(Connection& source) {
    const auto rows = source.execute(R"sql(
        SELECT FROM pg_stat_activity waiting JOIN pg_stat_activity dump
            ON dump.pid = ANY (pg_blocking_pids(waiting.pid))
        WHERE waiting.wait_event_type = 'Lock' AND dump.application_name = 'segue pg_dump'
          AND dump.datname = current_database() LIMIT 1)sql");
    return rows && rows->size() == 1;
}

// True once somebody has waited for pg_dump's locks that long.
std::function<bool()> in_the_way(Connection& source, std::chrono::milliseconds patience) {
    return [&source,
            patience,
            since = std::optional<std::chrono::steady_clock::time_point>{}]() mutable {
        if (!holds_up_others(source)) {
            since.reset();
            return false;
        }
        const auto now = std::chrono::steady_clock::now();
        if (!since) since = now;
        return now - *since >= patience;
    };
}

Result<SchemaDump> empty_dump(const SchemaSettings& settings, Connection& source) {
    auto tools = find_pg_tools(settings.pg_bin, source.server_version());
    if (!tools) return tools.error();
    auto folder = PrivateFolder::create();
    if (!folder) return folder.error();
    return SchemaDump{std::move(*tools), std::move(*folder)};
}

// With the partitions of excluded tables: they are not moved either, and could not be attached.
Result<std::vector<std::string>> left_out(const SchemaSettings& settings, Connection& source) {
    const auto rows = source.execute(R"sql(
        WITH named AS (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                       WHERE n.nspname || '.' || c.relname = ANY ($1::text[]))
        SELECT DISTINCT n.nspname, c.relname
        FROM (SELECT oid FROM named UNION SELECT t.relid FROM named, pg_partition_tree(named.oid) t) x
        JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace)sql",
                                     {text_array(settings.exclude)});
    if (!rows) return rows.error();
    std::vector<std::string> names;
    for (int row = 0; row < rows->size(); ++row)
        names.push_back(qualified(rows->at(row, 0), rows->at(row, 1)));
    return names;
}

Result<ToolRun> dump_run(const SchemaSettings& settings,
                         const SchemaDump& dump,
                         Connection& source) {
    const auto url = split_password(settings.source_url);
    if (!url) return url.error();
    ToolRun run{.arguments = {dump.tools.dump,
                              "--format=custom",
                              "--schema-only",
                              "--no-tablespaces",
                              "--no-publications",
                              "--no-subscriptions",
                              "--exclude-schema=segue",
                              dump_lock_wait,
                              "--file=" + dump.file()}};
    const auto names = left_out(settings, source);
    if (!names) return names.error();
    for (const std::string& table : *names) run.arguments.push_back("--exclude-table=" + table);
    run.arguments.push_back("--dbname=" + url->without_password +
                            " application_name='segue pg_dump'");
    if (!url->password.empty()) run.environment.emplace_back("PGPASSWORD", url->password);
    return run;
}

Status keep(const SchemaDump& dump, Connection& target) {
    const auto archive = read_whole(dump.file());
    if (!archive) return archive.error();
    const auto kept = target.execute(
        "INSERT INTO segue.saved VALUES ($1, '', $2) ON CONFLICT (kind, object)"
        " DO UPDATE SET previous = excluded.previous",
        {dump_kind, crypto::base64(*archive)});
    if (!kept) return kept.error();
    return Done{};
}

}  // namespace

Result<SchemaDump> take_dump(const SchemaSettings& settings,
                             Connection& source,
                             Connection& target,
                             const std::string& snapshot) {
    auto dump = empty_dump(settings, source);
    if (!dump) return dump.error();
    auto run = dump_run(settings, *dump, source);
    if (!run) return run.error();
    if (!snapshot.empty()) run->arguments.push_back("--snapshot=" + snapshot);
    for (int tries = 1;; ++tries) {
        run->in_the_way = in_the_way(source, std::min(patience_step * (tries - 1), patience_max));
        const Status dumped = run_tool(*run);
        if (dumped) break;
        if (!lock_was_busy(dumped.error()) || tries == dump_tries_max) return dumped.error();
        std::this_thread::sleep_for(pause_between_tries);
    }
    if (const Status kept = keep(*dump, target); !kept) return kept.error();
    return dump;
}

Result<SchemaDump> kept_dump(const SchemaSettings& settings,
                             Connection& source,
                             Connection& target) {
    const auto rows =
        target.execute("SELECT previous FROM segue.saved WHERE kind = $1", {dump_kind});
    if (!rows) return rows.error();
    if (rows->size() == 0) return take_dump(settings, source, target);
    const auto archive = crypto::from_base64(rows->at(0, 0));
    if (!archive)
        return Error{Errc::bad_value, "segue.saved: the description of the schema is unreadable"};
    auto dump = empty_dump(settings, source);
    if (!dump) return dump.error();
    std::ofstream file{dump->file(), std::ios::binary};
    file << *archive;
    if (!file.flush()) return Error{Errc::io, "cannot write " + dump->file()};
    return dump;
}

Result<std::string> read_whole(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    if (!file) return Error{Errc::io, "cannot read " + path};
    return std::string{std::istreambuf_iterator<char>{file}, {}};
}

}  // namespace segue::backfill::postgres
