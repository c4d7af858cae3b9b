// What `check` says of what is in the databases: tables of (code, object) for one set-up each.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "backfill/change_steps.hpp"
#include "backfill/postgres/preflight_live.hpp"
#include "backfill/postgres/preflight_versions.hpp"
#include "backfill/preflight.hpp"
#include "tests/backfill/databases.hpp"
#include "tests/backfill/preflight_support.hpp"

namespace segue::backfill {
namespace {

using test::Databases;
using test::settings_of;
using ::testing::HasSubstr;
using ::testing::Not;
using enum Severity;

struct Expected {
    Severity severity;
    const char* code;
    const char* object;
};

std::string shown(const std::vector<Finding>& findings) {
    std::string text;
    for (const Finding& finding : findings)
        text += std::string{finding.code.name()} + " of " + finding.object + "\n";
    return text;
}

void expect_found(const ServerSettings& settings, const std::vector<Expected>& expected) {
    const auto findings = postgres_preflight(settings);
    ASSERT_TRUE(findings);
    for (const Expected& wanted : expected) {
        const bool found = std::any_of(findings->begin(), findings->end(), [&](const Finding& f) {
            return f.severity == wanted.severity && f.code == wanted.code &&
                   f.object == wanted.object;
        });
        EXPECT_TRUE(found) << wanted.code << " of " << wanted.object << " is missing in\n"
                           << shown(*findings);
    }
    for (const Finding& finding : *findings) {
        EXPECT_FALSE(finding.reason.empty()) << finding.code.name();
        EXPECT_TRUE(finding.severity == information || !finding.remedy.empty())
            << finding.code.name();
    }
}

// The failures must be these and no other.
void expect_failures(const ServerSettings& settings, const std::vector<Expected>& expected) {
    expect_found(settings, expected);
    const auto findings = postgres_preflight(settings);
    ASSERT_TRUE(findings);
    for (const Finding& finding : *findings) {
        const bool wanted = std::any_of(expected.begin(), expected.end(), [&](const Expected& e) {
            return finding.code == e.code && finding.object == e.object;
        });
        EXPECT_TRUE(wanted || finding.severity != fail)
            << finding.code.name() << " of " << finding.object << ": " << finding.reason;
    }
}

TEST(PreflightObjects, TellsOfColumnsAndExpressionsThatMeanNothingElsewhere) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE DOMAIN version AS xid; CREATE TYPE seen AS (at int, by version);
        CREATE TABLE plain (i int PRIMARY KEY, x xid8);
        CREATE TABLE hidden (i int PRIMARY KEY, list version[]);
        CREATE TABLE deeper (i int PRIMARY KEY, s seen);
        CREATE TABLE defaulted (i int PRIMARY KEY, v bigint DEFAULT txid_current());
        CREATE TABLE checked (i bigint PRIMARY KEY, CHECK (i < txid_snapshot_xmax(txid_current_snapshot())));
        CREATE TABLE pointing (i int PRIMARY KEY, lob oid);
        CREATE TABLE sound (i int PRIMARY KEY, txid_current text DEFAULT 'txid_current()');
        CREATE FUNCTION stamps() RETURNS bigint LANGUAGE sql AS 'SELECT txid_current()')sql");
    expect_failures(settings_of(databases),
                    {{fail, "transaction_id_column", "source: public.plain"},
                     {fail, "transaction_id_column", "source: public.hidden"},
                     {fail, "transaction_id_column", "source: public.deeper"},
                     {fail, "transaction_id_default", "source: public.defaulted"},
                     {fail, "transaction_id_default", "source: public.checked"}});
    expect_found(settings_of(databases),
                 {{warn, "oid_column", "source: public.pointing"},
                  {information, "transaction_id_code", "source: function public.stamps()"}});
}

// No dump carries that, and a cutover is refused for it.
TEST(PreflightObjects, TellsOfConstraintsThatNobodyLooksAfter) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE TABLE up (i int PRIMARY KEY); CREATE TABLE "Down" (i int PRIMARY KEY REFERENCES up);
        CREATE TABLE kept (i int PRIMARY KEY REFERENCES up, j int UNIQUE DEFERRABLE);
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TABLE parts (i int PRIMARY KEY) PARTITION BY RANGE (i);
        CREATE TABLE part PARTITION OF parts DEFAULT;
        CREATE CONSTRAINT TRIGGER own AFTER INSERT ON parts FOR EACH ROW EXECUTE FUNCTION f();
        ALTER TABLE part DISABLE TRIGGER own)sql");
    // The application's own trigger is no constraint, though on a partition an old server takes it
    // for one.
    expect_failures(settings_of(databases), {});
    databases.run(Side::source, "ALTER TABLE \"Down\" DISABLE TRIGGER ALL");
    expect_failures(settings_of(databases), {{fail, "disabled_constraint", "source: public.Down"}});
    const auto findings = postgres_preflight(settings_of(databases));
    ASSERT_TRUE(findings);
    for (const Finding& finding : *findings) {
        if (finding.code == "disabled_constraint") databases.run(Side::source, finding.remedy);
    }
    expect_failures(settings_of(databases), {});
    databases.run(Side::source,
                  "ALTER TABLE kept DISABLE TRIGGER ALL; INSERT INTO kept VALUES (1, 1), (2, 1)");
    expect_found(settings_of(databases), {{fail, "disabled_constraint", "source: public.kept"}});
}

TEST(PreflightObjects, TellsWhatIsCarriedWithACost) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE TABLE parent (i int PRIMARY KEY); CREATE TABLE child (j int PRIMARY KEY) INHERITS (parent);
        CREATE TABLE loose (i int PRIMARY KEY, v int); ALTER TABLE loose ADD CONSTRAINT positive CHECK (v > 0) NOT VALID;
        CREATE TABLE busy (i int, v int); INSERT INTO busy SELECT i, i FROM generate_series(1, 20000) i;
        DELETE FROM busy WHERE i = 1; ANALYZE busy;
        CREATE TABLE padded (i char(8), PRIMARY KEY (i) DEFERRABLE); CREATE TABLE led (i int, PRIMARY KEY (i) DEFERRABLE);
        INSERT INTO padded SELECT i FROM generate_series(1, 20000) i; INSERT INTO led SELECT i FROM generate_series(1, 20000) i;
        DELETE FROM padded WHERE i = '1'; DELETE FROM led WHERE i = 1; ANALYZE padded; ANALYZE led;
        CREATE FUNCTION known(int) RETURNS bool LANGUAGE sql STABLE AS 'SELECT EXISTS (SELECT FROM public.parent WHERE i = $1) OR $1 > 0';
        CREATE TABLE careful (i int PRIMARY KEY CHECK (known(i)));
        CREATE SEQUENCE blocks CACHE 50;
        CREATE TABLE flyway_schema_history (installed_rank int PRIMARY KEY);
        CREATE FUNCTION last() RETURNS bigint LANGUAGE sql AS 'SELECT lastval()';
        CREATE FUNCTION audit() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
        CREATE EVENT TRIGGER audit ON ddl_command_end EXECUTE FUNCTION audit();
        CREATE PUBLICATION theirs FOR TABLE parent;
        CREATE TABLE wide (i int PRIMARY KEY, v text); ALTER TABLE wide ALTER v SET STORAGE EXTERNAL;
        INSERT INTO wide SELECT i, repeat('x', 200000) FROM generate_series(1, 20) i;
        CREATE TABLE counter (i int PRIMARY KEY, v int); INSERT INTO counter VALUES (1, 0))sql");
    databases.run(Side::source, "VACUUM ANALYZE wide");
    databases.run(Side::source,
                  "DO $$ BEGIN FOR i IN 1 .. 10001 LOOP UPDATE counter SET v = v + 1;"
                  " IF i % 100 = 0 THEN COMMIT; END IF; END LOOP; END $$");
    EXPECT_TRUE(test::eventually(std::chrono::seconds{20}, [&] {  // Statistics come later.
        return databases.value(Side::source,
                               "SELECT sum(n_tup_del) FROM pg_stat_all_tables WHERE relname IN"
                               " ('busy', 'padded', 'led')") == "3" &&
               databases.value(
                   Side::source,
                   "SELECT n_tup_upd FROM pg_stat_all_tables WHERE relname = 'counter'") == "10001";
    }));
    expect_failures(settings_of(databases), {});
    const auto findings = postgres_preflight(settings_of(databases));
    ASSERT_TRUE(findings);
    for (const Finding& finding : *findings) {
        EXPECT_FALSE(finding.code == "full_identity_cost" && finding.object.ends_with("led"))
            << "its rows are found by the index, deferrable as it is";
    }
    expect_found(settings_of(databases),
                 {{information, "inheritance", "source: public.child"},
                  {information, "size", "source: public.wide"},
                  {information, "size", "source: public.counter"},
                  {warn, "not_valid_constraint", "source: public.loose"},
                  {warn, "full_identity_cost", "source: public.busy"},
                  {warn, "full_identity_cost", "source: public.padded"},
                  {warn, "row_function", "source: function public.known(integer)"},
                  {information, "sequence_cache", "source: sequence public.blocks"},
                  {warn, "schema_tool", "source: public.flyway_schema_history"},
                  {information, "session_state", "source: function public.last()"},
                  {information, "event_trigger", "source: event trigger audit"},
                  {information, "other_consumers", "source: publication theirs"}});
}

// As ll_to_earth of earthdistance did up to PostgreSQL 15: the copy would never end.
TEST(PreflightObjects, TriesTheFunctionsThatTheMoverHasToRun) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE FUNCTION helper(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1';
        CREATE FUNCTION lost(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT helper($1)';
        CREATE FUNCTION lost_late(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN helper($1); END';
        CREATE FUNCTION found(int) RETURNS int IMMUTABLE LANGUAGE plpgsql SET search_path = public
            AS 'BEGIN RETURN helper($1); END';
        CREATE FUNCTION errs(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 1 / ($1 - $1); END';
        CREATE TABLE indexed (i int PRIMARY KEY); CREATE INDEX lost_index ON indexed (lost(i)) WHERE found(i) > 0;
        CREATE TABLE checked (i int PRIMARY KEY CHECK (lost_late(i) > 0)); INSERT INTO checked VALUES (1);
        CREATE TABLE made (i int PRIMARY KEY, j int GENERATED ALWAYS AS (lost_late(i)) STORED); INSERT INTO made VALUES (1);
        CREATE TABLE "Part ed" (i int PRIMARY KEY) PARTITION BY RANGE (i);
        CREATE TABLE part PARTITION OF "Part ed" FOR VALUES FROM (0) TO (9);
        CREATE INDEX part_index ON "Part ed" (i) WHERE lost(i) > 3;
        CREATE TABLE sound (i int PRIMARY KEY CHECK (found(i) > 0)); INSERT INTO sound VALUES (1);
        CREATE INDEX ON sound (helper(i), abs(i)); CREATE TABLE odd (i int PRIMARY KEY); CREATE INDEX ON odd (errs(i)) WHERE i > 5;
        INSERT INTO odd VALUES (1);
        CREATE DOMAIN kind AS int CHECK (lost(VALUE) > 0); CREATE TABLE kinds (k kind PRIMARY KEY); INSERT INTO kinds VALUES (1);
        CREATE MATERIALIZED VIEW seen AS SELECT lost(i) FROM checked;
        CREATE MATERIALIZED VIEW never_seen AS SELECT lost(i) FROM checked WITH NO DATA)sql");
    auto settings = settings_of(databases);
    expect_failures(settings,
                    {{fail, "function_path", "source: public.indexed"},
                     {fail, "function_path", "source: public.checked"},
                     {fail, "function_path", "source: public.made"},
                     {fail, "function_path", "source: public.Part ed"},
                     {fail, "function_path", "source: public.part"},
                     {fail, "function_path", "source: public.kinds"},
                     {fail, "function_path", "source: public.seen"}});
    databases.run(Side::source,
                  "ALTER FUNCTION lost SET search_path = public; ALTER FUNCTION lost_late SET "
                  "search_path = public");
    expect_failures(settings, {});
}

// What has just been filled, or begun to be counted, would be told to be written all the time.
TEST(PreflightObjects, TellsNoRateOfWritesThatWereCountedForSecondsOnly) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source,
                  "CREATE TABLE filled AS SELECT generate_series(1, 5000) i;"
                  " SELECT pg_stat_reset()");
    postgres::Connection source = databases.open(Side::source);
    const auto told = [&](std::chrono::seconds counted_for_min) {
        std::vector<Finding> findings;
        postgres::tell_size(source, findings, counted_for_min);
        EXPECT_FALSE(findings.empty());
        return findings.empty() ? "" : findings.front().reason;
    };
    using namespace std::chrono_literals;
    EXPECT_THAT(told(1h), HasSubstr("written a second cannot be told yet"));
    EXPECT_THAT(told(1h), Not(HasSubstr("on average")));
    EXPECT_THAT(told(0s), HasSubstr(" of them written a second on average since 20"));
}

// On the source only, as one that the target's version has no more.
TEST(PreflightObjects, WarnsOfBuiltInFunctionsThatTheTargetDoesNotHave) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        SET allow_system_table_mods = on;
        CREATE FUNCTION pg_catalog.old_way(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
        RESET allow_system_table_mods;
        CREATE FUNCTION calls() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN Old_Way (2); END';
        CREATE FUNCTION names() RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN 'old_way' || very_old_way(1); END$$;
        CREATE VIEW asks AS SELECT old_way(3) AS a)sql");
    expect_found(settings_of(databases),
                 {{warn, "function_gone", "source: function public.calls()"},
                  {warn, "function_gone", "source: view public.asks"}});
    const auto findings = postgres_preflight(settings_of(databases));
    ASSERT_TRUE(findings);
    EXPECT_EQ(std::count_if(findings->begin(),
                            findings->end(),
                            [](const Finding& f) { return f.code == "function_gone"; }),
              2)
        << shown(*findings);
}

TEST(PreflightObjects, WarnsOfPartitionsByTimeThatEndSoon) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        DO $$
        DECLARE name text; kind text; soon text; far text;
        BEGIN
            FOREACH kind IN ARRAY ARRAY['date', 'timestamp', 'timestamptz'] LOOP
                FOREACH name IN ARRAY ARRAY['ending', 'lasting', 'open', 'past', 'caught'] LOOP
                    EXECUTE format('CREATE TABLE %I (at %s, PRIMARY KEY (at)) PARTITION BY RANGE (at)', name || '_' || kind, kind);
                    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', name || '_' || kind || '_1',
                                   name || '_' || kind, '2001-01-01', current_date - 3);
                    IF name <> 'past' THEN
                        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%s)', name || '_' || kind || '_2',
                                       name || '_' || kind, current_date - 3,
                                       CASE name WHEN 'open' THEN 'MAXVALUE'
                                       WHEN 'lasting' THEN quote_literal(current_date + 60) ELSE quote_literal(current_date + 5) END);
                    END IF;
                END LOOP;
                EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', 'caught_' || kind || '_3', 'caught_' || kind);
            END LOOP;
            CREATE TABLE months (at date, PRIMARY KEY (at)) PARTITION BY RANGE (at);
            EXECUTE format('CREATE TABLE months_1 PARTITION OF months FOR VALUES FROM (%L) TO (%L) PARTITION BY RANGE (at)',
                           current_date - 20, current_date + 5);
            EXECUTE format('CREATE TABLE months_1_1 PARTITION OF months_1 FOR VALUES FROM (%L) TO (%L)',
                           current_date - 20, current_date + 5);
            EXECUTE format('CREATE TABLE months_2 PARTITION OF months FOR VALUES FROM (%L) TO (%L)',
                           current_date + 5, DATE '500000-01-01');
            CREATE TABLE unmoved (at date, PRIMARY KEY (at)) PARTITION BY RANGE (at);
            EXECUTE format('CREATE TABLE unmoved_1 PARTITION OF unmoved FOR VALUES FROM (%L) TO (%L)',
                           current_date - 20, current_date + 5);
        END $$)sql");
    ServerSettings settings = settings_of(databases);
    settings.exclude = {"public.unmoved", "public.unmoved_1"};
    const auto findings = postgres_preflight(settings);
    ASSERT_TRUE(findings);
    std::vector<std::string> found;
    for (const Finding& finding : *findings) {
        if (finding.code == "partition_end") found.push_back(finding.object);
    }
    EXPECT_EQ(found,
              (std::vector<std::string>{"source: public.ending_date",
                                        "source: public.ending_timestamp",
                                        "source: public.ending_timestamptz"}));
}

TEST(PreflightObjects, KnowsWhichNamesTheTargetsVersionReserves) {
    using postgres::Keywords;
    const Keywords before{{"a", 'U'}, {"b", 'C'}, {"c", 'T'}, {"d", 'R'}, {"e", 'C'}};
    const Keywords after{
        {"a", 'R'}, {"b", 'T'}, {"c", 'R'}, {"d", 'R'}, {"e", 'C'}, {"f", 'C'}, {"g", 'T'}};
    const auto lost = postgres::lost_names(before, after);
    EXPECT_EQ(lost.of_columns, (std::vector<std::string>{"a", "b", "g"}));
    EXPECT_EQ(lost.of_functions, (std::vector<std::string>{"a", "c", "f"}));
    const auto none = postgres::lost_names(after, before);
    EXPECT_TRUE(none.of_columns.empty());
    EXPECT_EQ(none.of_functions, (std::vector<std::string>{"b"}));
}

TEST(PreflightObjects, NamesWhatDependsOnExcludedTables) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE TABLE junk (i int PRIMARY KEY, v int); CREATE TABLE "j_nk" (i int PRIMARY KEY);
        CREATE TABLE lines (i int PRIMARY KEY REFERENCES junk);
        CREATE TABLE heir (k int PRIMARY KEY) INHERITS (junk); CREATE VIEW seen AS SELECT * FROM junk;
        CREATE TABLE away (i int PRIMARY KEY REFERENCES "j_nk");
        CREATE TABLE parts (i int PRIMARY KEY) PARTITION BY RANGE (i);
        CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (9);
        CREATE TABLE of_part (i int PRIMARY KEY REFERENCES parts_1); CREATE TABLE holder (i int PRIMARY KEY, j junk[]);
        CREATE FUNCTION counted() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM junk; END;
        CREATE TABLE guarded (i int PRIMARY KEY); CREATE POLICY p ON guarded USING (EXISTS (SELECT FROM junk));
        CREATE RULE r AS ON INSERT TO guarded DO ALSO DELETE FROM junk)sql");
    ServerSettings settings = settings_of(databases);
    expect_failures(settings, {});
    settings.exclude = {"public.junk", "public.parts"};
    expect_failures(settings,
                    {{fail, "exclude_dependent", "source: public.lines"},
                     {fail, "exclude_dependent", "source: public.heir"},
                     {fail, "exclude_dependent", "source: public.seen"},
                     {fail, "exclude_dependent", "source: public.of_part"},
                     {fail, "exclude_dependent", "source: public.holder"},
                     {fail, "exclude_dependent", "source: function public.counted()"},
                     {fail, "exclude_dependent", "source: public.guarded"}});
    // What the operator has made there serves those that need it.
    databases.run(Side::target,
                  "CREATE TABLE junk (i int PRIMARY KEY, v int); CREATE TABLE parts (i int);"
                  " CREATE TABLE parts_1 (i int PRIMARY KEY)");
    expect_failures(settings, {});
    expect_found(settings,
                 {{warn, "exclude_dependent", "source: public.lines"},
                  {warn, "exclude_dependent", "source: public.seen"}});
}

// One configuration may serve many databases; but nobody means a table that is nearly there.
TEST(PreflightObjects, WarnsOfNamesThatExcludeNothingAndRefusesSlips) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(
        Side::source,
        "CREATE TABLE junk (i int PRIMARY KEY); CREATE TABLE \"Odd.one\" (i int PRIMARY KEY)");
    databases.run(Side::target, "CREATE TABLE own (i int)");
    ServerSettings settings = settings_of(databases);
    settings.exclude = {"public.elsewhere", "public.own", "public.Odd.one"};
    expect_failures(settings, {});
    expect_found(settings, {{warn, "exclude_unknown", "source: public.elsewhere"}});
    settings.exclude = {"Public.Junk", "junk", "public.\"Odd.one\""};
    expect_failures(settings,
                    {{fail, "exclude_unknown", "source: Public.Junk"},
                     {fail, "exclude_unknown", "source: junk"},
                     {fail, "exclude_unknown", "source: public.\"Odd.one\""}});
}

TEST(PreflightObjects, ComparesWhatTheTargetHasAlready) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN level AS int CHECK (VALUE > 0);
        CREATE TYPE pair AS (a int, b text); CREATE TYPE same AS ENUM ('x');
        CREATE TABLE used (i int PRIMARY KEY, m mood); CREATE EXTENSION hstore VERSION '1.7')sql");
    databases.run(Side::target, R"sql(
        CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE DOMAIN level AS int CHECK (VALUE > 1);
        CREATE TYPE pair AS (a int, b varchar(5)); CREATE TYPE same AS ENUM ('x');
        CREATE EXTENSION hstore VERSION '1.4'; CREATE SCHEMA segue; CREATE TABLE segue.theirs (i int))sql");
    databases.run(Side::source,
                  "SELECT pg_create_logical_replication_slot('segue_shop_source', 'pgoutput')");
    databases.run(Side::source, "CREATE PUBLICATION segue_shop");
    expect_failures(settings_of(databases),
                    {{fail, "type_different", "target: type public.mood"},
                     {fail, "type_different", "target: type public.level"},
                     {fail, "type_different", "target: type public.pair"},
                     {fail, "leftover", "target: schema segue"},
                     {fail, "leftover", "source: slot segue_shop_source"},
                     {fail, "leftover", "source: publication segue_shop"}});
    expect_found(settings_of(databases), {{warn, "extension_version", "target: extension hstore"}});
}

// As a dump makes them: under no search_path, with names that the server has chosen.
TEST(PreflightObjects, TakesTypesOfOneMeaningForEqual) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, R"sql(
        CREATE SEQUENCE s; CREATE DOMAIN d AS int DEFAULT nextval('s') CONSTRAINT low CHECK (VALUE > 0) CONSTRAINT high CHECK (VALUE < 9);
        CREATE DOMAIN state AS varchar(9) CHECK (VALUE IN ('on', 'off'));
        CREATE TYPE "Odd type" AS ENUM ('a'); CREATE TABLE "Odd ""table" (i int PRIMARY KEY); CREATE TABLE "Full one" (i int PRIMARY KEY))sql");
    databases.run(Side::target, R"sql(
        CREATE SEQUENCE public.s; SET search_path = pg_catalog;
        CREATE DOMAIN public.d AS int DEFAULT nextval('public.s'::regclass) CONSTRAINT a CHECK (VALUE < 9) CONSTRAINT b CHECK (VALUE > 0);
        CREATE DOMAIN public.state AS character varying(9) CHECK
            (((VALUE)::text = ANY ((ARRAY['on'::character varying, 'off'::character varying])::text[]))))sql");
    expect_failures(settings_of(databases), {});
    databases.run(Side::target, R"sql(
        CREATE TYPE "Odd type" AS ENUM ('b'); CREATE TABLE "Odd ""table" (i bigint); CREATE TABLE "Full one" (i int PRIMARY KEY);
        INSERT INTO "Full one" VALUES (1))sql");
    expect_failures(settings_of(databases),
                    {{fail, "type_different", "target: type public.Odd type"},
                     {fail, "table_different", "target: public.Odd \"table"},
                     {fail, "table_not_empty", "target: public.Full one"}});
    // The remedies are commands that work.
    const auto findings = postgres_preflight(settings_of(databases));
    ASSERT_TRUE(findings);
    for (const Finding& finding : *findings)
        if (finding.severity == fail) databases.run(Side::target, finding.remedy);
    expect_failures(settings_of(databases), {});
}

TEST(PreflightObjects, NamesExtensionsThatAreMissingOrElsewhere) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(
        Side::source,
        "CREATE SCHEMA ours; CREATE EXTENSION hstore SCHEMA ours; CREATE EXTENSION citext");
    databases.run(Side::target, "CREATE EXTENSION hstore");
    expect_failures(settings_of(databases),
                    {{fail, "extension", "target: extension hstore"},
                     {fail, "extension", "target: extension citext"}});
    databases.run(
        Side::target,
        "CREATE SCHEMA ours; ALTER EXTENSION hstore SET SCHEMA ours; CREATE EXTENSION citext");
    expect_failures(settings_of(databases), {});
}

// Everything that moves, and nothing to complain of.
TEST(PreflightObjects, GivesNoFalseFailureForSoundSchemas) {
    SEGUE_NEEDS_POSTGRES();
    const char* const sound[] = {
        "CREATE TABLE a (i int PRIMARY KEY DEFERRABLE, j int UNIQUE DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TABLE b (i int, j int GENERATED ALWAYS AS (i + 1) STORED, k int GENERATED BY "
        "DEFAULT AS IDENTITY)",
        "CREATE TABLE c (d date) PARTITION BY RANGE (d); CREATE TABLE c_default PARTITION OF c "
        "DEFAULT",
        "CREATE TABLE e (r int4range, EXCLUDE USING gist (r WITH &&)); CREATE INDEX ON e "
        "((lower(r)))",
        "CREATE TABLE f (i int PRIMARY KEY, up int REFERENCES f); CREATE RULE r AS ON DELETE TO f "
        "DO ALSO NOTHING",
        "CREATE TABLE g (j jsonb, x xml, u uuid, n numrange, m money, t tsvector, p point, b "
        "bit(3), i interval)",
        "CREATE TABLE h (c text COLLATE \"C\" PRIMARY KEY, regc regclass, n name, ch \"char\")",
        "CREATE TABLE k (i int PRIMARY KEY); ALTER TABLE k ENABLE ROW LEVEL SECURITY; ALTER TABLE "
        "k FORCE ROW LEVEL SECURITY",
        "CREATE TABLE l (i int NOT NULL, j int); CREATE UNIQUE INDEX l_i ON l (i); ALTER TABLE l "
        "REPLICA IDENTITY USING INDEX l_i",
        "CREATE TABLE m (i int PRIMARY KEY); ALTER TABLE m REPLICA IDENTITY FULL; CREATE "
        "STATISTICS s ON i, (i + 1) FROM m",
        "CREATE SCHEMA \"Odd 'Name\"; CREATE TABLE \"Odd 'Name\".\"a.b\"\"c\" (\"x y\" int PRIMARY "
        "KEY)",
        "CREATE EXTENSION citext; CREATE TABLE o (c citext PRIMARY KEY); CREATE EXTENSION pg_trgm",
        "CREATE VIEW p AS SELECT 1; CREATE MATERIALIZED VIEW q AS SELECT 1 AS i WITH NO DATA; "
        "CREATE TABLE empty ()",
        "CREATE FOREIGN DATA WRAPPER fdw; CREATE SERVER s FOREIGN DATA WRAPPER fdw; CREATE FOREIGN "
        "TABLE r (i int) SERVER s",
        "CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int); CREATE OPERATOR !! (LEFTARG = "
        "int, RIGHTARG = int, FUNCTION = int4pl)",
    };
    const Databases databases;
    for (const char* sql : sound) databases.run(Side::source, sql);
    databases.run(Side::target, "CREATE EXTENSION citext; CREATE EXTENSION pg_trgm");
    expect_failures(settings_of(databases), {});
}

}  // namespace
}  // namespace segue::backfill
