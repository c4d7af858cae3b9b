#include "backfill/postgres/ddl_apply.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "backfill/event_log.hpp"
#include "backfill/postgres/ddl_capture_sql.hpp"
#include "backfill/postgres/ddl_code.hpp"
#include "backfill/postgres/ddl_computed_key.hpp"
#include "backfill/postgres/ddl_default.hpp"
#include "backfill/postgres/ddl_detach.hpp"
#include "backfill/postgres/ddl_extension.hpp"
#include "backfill/postgres/ddl_kinds.hpp"
#include "backfill/postgres/ddl_left_out.hpp"
#include "backfill/postgres/ddl_record.hpp"
#include "backfill/postgres/ddl_rest.hpp"
#include "backfill/postgres/ddl_text.hpp"
#include "backfill/postgres/lock_retry.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// IF EXISTS, or IF NOT EXISTS, and it was so.
constexpr const char* did_nothing = "there it has nothing to do";
constexpr const char* undo = "ROLLBACK TO SAVEPOINT segue_ddl";

Result<std::vector<std::string>> look_of(Connection& follower, const DdlRecord& record) {
    const auto rows =
        follower.execute("SELECT segue.ddl_look($1::text[])", {text_array(plain_names(record))});
    if (!rows) return rows.error();
    std::vector<std::string> look = comparable(parse_text_array(rows->at(0, 0)));
    // Others make indexes of the same table at the same time.
    if (record.tag == "CREATE INDEX") {
        std::erase_if(look, [&](const std::string& line) {
            return is_of_index(line) &&
                   std::find(record.look.begin(), record.look.end(), line) == record.look.end();
        });
    }
    if (record.without_constraints) std::erase_if(look, is_left_for_later);
    return look;
}

// A table that was made from a query begins empty: its rows follow in the stream. A materialized
// view is filled when the copy is whole; what it would show now, nobody would look at again.
std::string with_its_rows(const DdlRecord& record, std::string statement, bool copying) {
    const bool later = copying && record.tag.ends_with(" MATERIALIZED VIEW") &&
                       (record.tag.starts_with("CREATE") || record.tag.starts_with("REFRESH"));
    return record.tag == "CREATE TABLE AS" || later ? with_no_data(statement) : statement;
}

// Whether none of the objects is there, each as the server names it. Of kinds that are not known
// here: no.
Result<bool> are_all_gone(Connection& follower, const DdlRecord& record) {
    const auto rows = follower.execute(R"sql(
        SELECT coalesce(bool_and(coalesce(CASE
            WHEN o[1] IN ('table', 'view', 'materialized view', 'index', 'sequence') THEN to_regclass(o[2]) IS NULL
            WHEN o[1] IN ('function', 'procedure') THEN to_regprocedure(o[2]) IS NULL
            WHEN o[1] = 'type' THEN to_regtype(o[2]) IS NULL
            WHEN o[1] = 'schema' THEN to_regnamespace(o[2]) IS NULL END, false)), false)
        FROM unnest($1::text[]) AS u(object),
             regexp_match(u.object, '^(materialized view|[a-z]+) (.*)$') AS o)sql",
                                       {text_array(record.objects)});
    if (!rows) return rows.error();
    return rows->truth(0, 0);
}

// The command failed because what it makes is there, or what it drops is not: the operator was
// faster, or the authority's indexes and constraints were taken after it was run there. While
// copying, also a constraint that is not there yet, or that rows break which are not all there.
Result<bool> is_so_already(Connection& follower,
                           const DdlRecord& record,
                           const Error& error,
                           bool copying) {
    const std::string& state = error.sqlstate;
    const bool nothing = error.detail == did_nothing;
    if (record.tag.starts_with("DROP ")) {
        if (!nothing && state != "42704" && state != "42P01" && state != "42883" &&
            state != "3F000")
            return false;
        return are_all_gone(follower, record);
    }
    if (copying && is_comment_on_the_rest(record) && (state == "42P01" || state == "42704"))
        return true;
    const bool present = nothing || state == "42P07" || state == "42710" || state == "42701";
    const bool gone = record.tag == "ALTER TABLE" && (state == "42703" || state == "42704") &&
                      error.detail.find("role") == std::string::npos;
    const bool later = copying && record.tag == "ALTER TABLE" &&
                       (state.starts_with("23") || state == "42830" || state == "42P16");
    if (record.names.empty() || !(present || gone || later)) return false;
    const auto look = look_of(follower, record);
    if (!look) return look.error();
    return first_difference(record.look, *look).empty();
}

// One value that a function of ours gives.
Result<std::string> ask(Connection& follower, const std::string& sql, const Parameters& with) {
    const auto rows = follower.execute(sql, with);
    if (!rows) return rows.error();
    return rows->size() == 1 ? rows->text(0, 0) : std::string{};
}

// Runs it in the sandbox, and reads what it did there: a command may do more than its text says,
// through functions that it calls.
Status run_in_sandbox(Connection& follower, const DdlRecord& record, const std::string& statement) {
    if (const auto watched = follower.execute(
            "SELECT set_config('segue.ddl_watch', 'on', true); DELETE FROM segue.ddl_did");
        !watched)
        return watched.error();
    const auto before = ask(follower, "SELECT segue.ddl_written()", {});
    if (!before) return before.error();
    const auto done =
        follower.execute("SELECT segue.ddl_as($1, $2::text[], $3, $4)",
                         {record.role, text_array(record.settings), record.tag, statement});
    if (!done) return done.error();
    const auto wrote = follower.execute(
        "WITH now AS MATERIALIZED (SELECT segue.ddl_written() AS written), before AS (SELECT"
        " $1::jsonb AS written), tables AS (SELECT jsonb_object_keys(written) AS number FROM now"
        " UNION SELECT jsonb_object_keys(written) FROM before) SELECT FROM tables t, now, before"
        " WHERE coalesce(now.written->>t.number, '0') <> coalesce(before.written->>t.number, '0')"
        " AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.number::oid) LIMIT 1",
        {*before});
    if (!wrote) return wrote.error();
    const auto did = follower.execute(
        "WITH did AS (DELETE FROM segue.ddl_did WHERE xid = pg_current_xact_id() RETURNING did)"
        " SELECT did FROM did WHERE set_config('segue.ddl_watch', '', true) = ''");
    if (!did) return did.error();
    std::vector<std::string> wanted = record.objects, found;
    if (did->size() == 1) found = parse_text_array(did->at(0, 0));
    wanted.push_back(record.tag);
    if (record.without_constraints && record.tag == "CREATE TABLE") {
        std::erase_if(wanted, is_object_of_the_rest);
        std::erase_if(found, is_object_of_the_rest);
    }
    std::sort(wanted.begin(), wanted.end());  // A drop lists its objects in no order of meaning.
    std::sort(found.begin(), found.end());
    if (found.empty()) return Error{Errc::refused, did_nothing};
    if (found != wanted)
        return Error{Errc::refused, "there it does not do the same to the same objects"};
    if (wrote->size() > 0) return Error{Errc::refused, "it writes rows by itself"};
    return Done{};
}

struct Command {
    std::string statement;
    std::vector<std::string> then;  // Further ones of the kind, which belong to it.
    bool renames = false;
};

// Refused with the reason when it is not what was run on the authority.
Status run(Connection& follower, const DdlRecord& record, const Command& command) {
    if (const Status may = may_be_carried(follower, record); !may) return may;
    const auto code = read_code(follower, plain_names(record), command.renames);
    if (!code) return code.error();
    const std::string plain = plain_form(command.statement);
    const bool detaches = record.tag == "ALTER TABLE" && plain != command.statement;
    const auto partitions =
        read_partitions(follower, detaches ? plain_names(record) : std::vector<std::string>{});
    if (!partitions) return partitions.error();
    const Status ran = run_in_sandbox(follower, record, plain);
    if (!ran) return ran;
    if (record.tag == "ALTER TYPE") {
        const Status enums = refuse_other_types(follower, record, TypesNamed::after);
        if (!enums) return enums;
    }
    for (const std::string& statement : command.then) {
        const auto done =
            follower.execute("SELECT segue.ddl_as($1, $2::text[], $3, $4)",
                             {record.role, text_array(record.settings), record.tag, statement});
        if (!done) return done.error();
    }
    const Status kept = keep_bounds_of_detached(follower, record.role, *partitions);
    if (!kept) return kept;
    const Status sound = refuse_new_code(follower, plain_names(record), *code);
    if (!sound) return sound;
    const auto look = look_of(follower, record);
    if (!look) return look.error();
    if (const std::string differs = first_difference(record.look, *look); !differs.empty()) {
        return Error{Errc::refused, "after it the table is not the same there: " + differs};
    }
    return Done{};
}

// With the values that the authority has computed for columns that are new.
Status run_with_its_values(Connection& follower,
                           const DdlRecord& record,
                           const Command& command,
                           const FollowerTables& before) {
    if (const Status ran = run(follower, record, command); !ran) return ran;
    const Status named = refuse_computed_key(follower, record, command.statement, before);
    if (!named) return named;
    auto values = other_values(follower, record, before);
    if (!values) return values.error();
    if (values->empty()) return Done{};
    const auto constants = with_constants(command.statement, record, *values);
    if (!constants) return write_values(follower, *values);
    if (const auto undone = follower.execute(undo); !undone) return undone.error();
    const Status ran =
        run(follower, record, {constants->command, constants->then, command.renames});
    if (ran) {
        const auto left = other_values(follower, record, before);
        if (!left) return left.error();
        if (left->empty()) return Done{};
    }
    if (!follower.good() || (!ran && met_a_lock(ran.error()))) return ran;
    if (const auto undone = follower.execute(undo); !undone) return undone.error();
    if (const Status again = run(follower, record, command); !again) return again;
    values = other_values(follower, record, before);
    return values ? write_values(follower, *values) : values.error();
}

// What the operator has made of it by hand.
Status agrees_with(Connection& follower, const DdlRecord& record) {
    const auto look = look_of(follower, record);
    if (!look) return look.error();
    const std::string differs = first_difference(record.look, *look);
    if (!differs.empty()) return Error{Errc::refused, differs};
    return refuse_what_fires(follower, plain_names(record));
}

Result<bool> is_handled(Connection& follower, Side stream, const DdlRecord& record) {
    const auto rows =
        follower.execute("SELECT FROM segue.ddl_handled WHERE stream = $1 AND id = $2",
                         {std::string{name(stream)}, record.id});
    if (!rows) return rows.error();
    return rows->size() == 1;
}

// It was refused on the authority, where those look who complete the copy.
Status note_handled(Connection& follower, Side stream, const DdlRecord& record) {
    const auto noted =
        follower.execute("INSERT INTO segue.ddl_handled VALUES ($1, $2) ON CONFLICT DO NOTHING",
                         {std::string{name(stream)}, record.id});
    if (!noted) return noted.error();
    return Done{};
}

// Tables that begin in the stream are whole from their first row on: nothing of them is copied. Of
// those that are gone nothing is on record.
Status note_copied(Connection& follower, const DdlRecord& record, Position start) {
    const bool drops = record.tag.starts_with("DROP ");
    const std::string tables = "unnest($1::text[], $2::text[]) AS t(s, n)";
    const auto noted =
        drops ? follower.execute("DELETE FROM segue.chunk USING " + tables +
                                     " WHERE table_schema = t.s AND table_name = t.n",
                                 {text_array(record.schemas), text_array(record.names)})
              : follower.execute(
                    "INSERT INTO segue.chunk (table_schema, table_name, chunk, load_position, rows,"
                    " bytes, last_of_table) SELECT t.s, t.n, 0, $3::pg_lsn, 0, 0, true FROM " +
                        tables + " ON CONFLICT DO NOTHING",
                    {text_array(record.schemas), text_array(record.names), format_lsn(start)});
    if (!noted) return noted.error();
    return Done{};
}

// What names the rows of a table may have gone with something else.
bool may_take_keys(const DdlRecord& record) {
    return !record.tag.starts_with("CREATE ") && record.tag != "COMMENT" && record.tag != "GRANT" &&
           record.tag != "REVOKE" && record.tag != "REFRESH MATERIALIZED VIEW";
}

bool renames(const DdlRecord& record, const SchemaChange& change, const FollowerTables& before) {
    return record.tag.starts_with("ALTER ") &&
           std::any_of(change.tables.begin(), change.tables.end(), [&](const auto& table) {
               return !before.contains({table.schema, table.name}) && has_moved_rows(record, table);
           });
}

// SET LOGGED: moved from now on, and empty, or the authority would have refused to tell of its
// rows.
Result<bool> were_unlogged(Connection& follower, const DdlRecord& record) {
    const auto others = follower.execute(
        "SELECT FROM unnest($1::text[], $2::text[]) AS t(s, n) WHERE NOT EXISTS (SELECT FROM"
        " pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = t.s AND"
        " c.relname = t.n AND c.relpersistence = 'u')",
        {text_array(record.schemas), text_array(record.names)});
    if (!others) return others.error();
    return others->size() == 0;
}

// In the savepoint segue_ddl.
Status carry(Connection& follower,
             const DdlRecord& record,
             const Command& command,
             const FollowerTables& before) {
    if (auto saved = follower.execute("SAVEPOINT segue_ddl"); !saved) return saved.error();
    if (const Status able = may_run(follower, record); !able) return able;
    return run_with_its_values(follower, record, command, before);
}

Status note(Connection& follower,
            Side stream,
            const DdlRecord& record,
            const std::string& what_became = "") {
    const auto noted = follower.execute("INSERT INTO segue.event (kind, detail) VALUES ('ddl', $1)",
                                        {record.tag + ", number " + record.id + " of the " +
                                         std::string{name(stream)} + what_became});
    if (!noted) return noted.error();
    // Never all of them: who builds indexes asks whether there was one (schema.cpp).
    const auto forgotten = follower.execute(
        "DELETE FROM segue.event WHERE id IN (SELECT id FROM segue.event WHERE kind = 'ddl' AND"
        " id <= (SELECT id FROM segue.event WHERE kind = 'ddl' ORDER BY id DESC OFFSET $1::bigint"
        " LIMIT 1) ORDER BY id LIMIT $2::bigint)",
        {std::to_string(events_kept_max), std::to_string(events_deleted_max)});
    if (!forgotten) return forgotten.error();
    return Done{};
}

std::string as_segue(Connection& follower) {
    const auto id = follower.execute("SELECT current_setting('segue.mover', true)");
    return " (as Segue's own role, after SET segue.mover = '" + (id ? id->text(0, 0) : "") + "')";
}

std::string named(Side stream, const DdlRecord& record) {
    std::string objects;
    for (const std::string& object : record.objects)
        objects += (objects.empty() ? "" : ", ") + object;
    return record.tag + " of " + objects + " by role " + record.role + " on the " +
           std::string{name(stream)};
}

std::string handled(const std::string& here, const DdlRecord& record) {
    return "INSERT INTO segue.ddl_handled VALUES ('" + here + "', " + record.id + ")";
}

}  // namespace

// What else the follower needs: its own publication and identities, and a record of it.
Status DdlApplier::adopt(Connection& follower, const DdlRecord& record, Position start) {
    if (rows_ == Rows::in_stream &&
        (record.tag.starts_with("CREATE TABLE") || record.tag == "CREATE SCHEMA" ||
         record.tag.starts_with("DROP "))) {
        const Status noted = note_copied(follower, record, start);
        if (!noted) return noted;
    }
    // The keeper of sequences would take it for set back.
    const auto begun_anew = follower.execute(
        "INSERT INTO segue.saved SELECT DISTINCT $2, c.oid::text, c.relfilenode::text FROM"
        " unnest($1::text[]) AS o(object) JOIN pg_class c ON o.object LIKE 'sequence %' AND c.oid ="
        " to_regclass(substr(o.object, 10)) WHERE c.relkind = 'S' ON CONFLICT (kind, object) DO"
        " UPDATE SET previous = excluded.previous",
        {text_array(record.objects), std::string{carried_sequence}});
    if (!begun_anew) return begun_anew.error();
    const auto adopted = follower.execute(
        "SELECT segue.ddl_adopt(ARRAY(SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid ="
        " c.relnamespace JOIN unnest($1::text[], $2::text[]) AS t(s, n) ON t.s = n.nspname AND t.n"
        " = c.relname), true)",
        {text_array(record.schemas), text_array(record.names)});
    if (!adopted) return adopted.error();
    if (by_hand_ || may_take_keys(record)) {
        const auto named = follower.execute("SELECT segue.ddl_adopt(segue.ddl_nameless(), true)");
        if (!named) return named.error();
    }
    // The command may have disabled or dropped the fence's triggers with others.
    const auto armed =
        follower.execute("SELECT segue.ddl_arm($1::text[])", {text_array(plain_names(record))});
    if (!armed) return armed.error();
    return note(follower, stream_, record);
}

const char* DdlApplier::then() const {
    return rows_ == Rows::in_stream ? "everything goes on from here by itself"
                                    : "run `segue start` again";
}

Error DdlApplier::extension_differs(Connection& follower,
                                    const DdlRecord& record,
                                    const std::string& remedy) const {
    const std::string here{name(stream_)}, there{name(other(stream_))};
    return Error{Errc::bad_value,
                 named(stream_, record) + " is left to you on the " + there + ". Run there" +
                     as_segue(follower) + ": " + remedy +
                     "; where it cannot be made the same, and" +
                     " nothing that is moved needs it, " + handled(here, record) +
                     " instead. Then " + then()};
}

Error DdlApplier::stopped(Connection& follower,
                          const DdlRecord& record,
                          const std::string& why) const {
    const std::string here{name(stream_)}, there{name(other(stream_))};
    return Error{Errc::bad_value,
                 named(stream_, record) + " cannot be carried to the " + there + ": " + why +
                     ". Its text stands in segue.ddl of the " + here + ", id " + record.text_id +
                     ". Make the same change on the " + there + as_segue(follower) + ", then " +
                     handled(here, record) + " there: " + then()};
}

// What its object tells the whole of stands beside its message's text (ddl_capture_sql.cpp).
DdlApplier::Message* DdlApplier::message_of(const DdlRecord& record, Position start) {
    const bool own = record.tag == "REFRESH MATERIALIZED VIEW";
    std::unique_ptr<Message>& kept = own ? own_message_ : message_;
    if (!record.command.empty()) kept = std::make_unique<Message>(start, record.id, record.command);
    return kept && kept->start == start ? kept.get() : nullptr;
}

void DdlApplier::know_text(const SchemaChange& change) {
    (void)message_of(read_ddl_record(change), change.start);
}

Status DdlApplier::apply(Connection& follower,
                         const SchemaChange& change,
                         const FollowerTables& before,
                         bool copying) {
    DdlRecord record = read_ddl_record(change);
    Message* const message = message_of(record, change.start);
    if (message != nullptr) record.text_id = message->id;
    if (copying) leave_for_later(record);
    const auto handled = is_handled(follower, stream_, record);
    if (!handled) return handled.error();
    by_hand_ = *handled;
    if (*handled) {
        const Status agrees = agrees_with(follower, record);
        if (!agrees) {
            return stopped(
                follower, record, "it is marked as handled, but " + agrees.error().detail);
        }
        if (const Status known = know_code(follower, stream_, record.code); !known) return known;
        return adopt(follower, record, change.start);
    }
    if (record.tag.ends_with(" EXTENSION") && record.refusal.empty()) {
        if (record.extensions.empty() && !record.tag.starts_with("DROP ")) {
            return stopped(follower,
                           record,
                           "an earlier build has captured it, without the extension's version");
        }
        const auto remedy = extension_remedy(follower, record);
        if (!remedy) return remedy.error();
        return remedy->empty() ? adopt(follower, record, change.start)
                               : Status{extension_differs(follower, record, *remedy)};
    }
    const bool before_rows =
        rows_ == Rows::come_later && record.refusal.starts_with(ddl_rows_not_shown);
    if (!record.refusal.empty() && !before_rows) return stopped(follower, record, record.refusal);
    if (const Status known = refuse_unknown_code(follower, stream_, record.code); !known) {
        return known.error().code == Errc::refused ? stopped(follower, record, known.error().detail)
                                                   : known;
    }
    const bool renamed = renames(record, change, before);
    const auto logged = renamed ? were_unlogged(follower, record) : false;
    if (!logged) return logged.error();
    if (copying && renamed && !*logged && rows_ == Rows::in_stream) {
        return stopped(follower,
                       record,
                       "a table was renamed before the copy was consistent; rename it back, or"
                       " finish and start anew");
    }
    const bool rest = copying && comes_with_the_rest(record.tag);
    const auto changes = rest ? may_change_the_rest(follower, record) : true;
    if (!changes) return changes.error();
    if (!*changes) return note(follower, stream_, record);
    std::string why = "its text is missing";
    const auto statement = message == nullptr
                               ? std::nullopt
                               : message->text.statement_at(record.tag, record.place, why);
    if (!statement && rest) return note(follower, stream_, record);
    if (!statement) return stopped(follower, record, why);
    const Command command{with_its_rows(record, std::string{*statement}, copying), {}, renamed};
    const Status carried = carry(follower, record, command, before);
    // Unless it is a table that this run has been copying: then the next one does.
    if (carried && *logged && rows_ == Rows::in_stream && change.emptied.empty()) {
        const Status noted = note_copied(follower, record, change.start);
        if (!noted) return noted;
    }
    if (carried && before_rows) {
        const Status dealt_with = note_handled(follower, stream_, record);
        if (!dealt_with) return dealt_with;
    }
    if (carried) return adopt(follower, record, change.start);
    return after_failure(follower, record, change, {command.statement, copying}, carried.error());
}

// It failed: because there is nothing for it to do, or something to be told of.
Status DdlApplier::after_failure(Connection& follower,
                                 const DdlRecord& record,
                                 const SchemaChange& change,
                                 const Tried& tried,
                                 const Error& error) {
    if (!follower.good() || met_a_lock(error)) return error;
    if (auto undone = follower.execute(undo); !undone) return undone.error();
    if (tried.copying && comes_with_the_rest(record.tag) &&
        (error.detail == did_nothing || is_left_to_the_rest(error)))
        return note(follower, stream_, record);
    const auto so = is_so_already(follower, record, error, tried.copying);
    if (!so) return so.error();
    if (*so) return adopt(follower, record, change.start);
    const auto not_moved = is_left_out(follower, exclude_, record, tried.statement, error);
    if (!not_moved) return not_moved.error();
    if (*not_moved)
        return note(follower, stream_, record, ", left out: it is about what is not moved");
    return stopped(follower, record, error.detail);
}

}  // namespace segue::backfill::postgres
