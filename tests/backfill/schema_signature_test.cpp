#include "backfill/postgres/schema_signature.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <string>
#include <utility>

#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

TEST(SchemaSignature, ListsReadTheSameHoweverTheyWereWritten) {
    const std::pair<const char*, const char*> typed_and_dumped[] = {
        {"CHECK (((s)::text = ANY ((ARRAY['a'::character varying, 'it''s, ])'::character "
         "varying])::text[])))",
         "CHECK (((s)::text = ANY (ARRAY[('a'::character varying)::text, ('it''s, ])'::character "
         "varying)::text])))"},
        {R"((ARRAY[E'\\'::character varying])::text[])",
         R"(ARRAY[(E'\\'::character varying)::text])"},
        {"(ARRAY['a'::character varying, NULL::character varying])::text[]",
         "ARRAY[('a'::character varying)::text, (NULL::character varying)::text]"},
        {"ANY ((ARRAY['a'::character varying(20), b, f(c, d)])::text[])",
         "ANY (ARRAY[('a'::character varying(20))::text, (b)::text, (f(c, d))::text])"},
        {R"x((ARRAY["odd, ]) name", (g((ARRAY[1, 2])::bigint[]))])::public."T, (x)"[])x",
         R"x(ARRAY[("odd, ]) name")::public."T, (x)", ((g(ARRAY[(1)::bigint, (2)::bigint])))::public."T, (x)"])x"},
    };
    for (const auto& [typed, dumped] : typed_and_dumped) {
        EXPECT_EQ(canonical_definition(typed), dumped);
        EXPECT_EQ(canonical_definition(dumped), dumped);
        const std::string twice = std::string{typed} + " AND " + dumped;
        EXPECT_EQ(canonical_definition(twice), std::string{dumped} + " AND " + dumped);
    }
    // What is something else stays as it is.
    for (const char* other : {"",
                              "int DEFAULT 1",
                              "ARRAY[",
                              "(ARRAY[",
                              "(ARRAY['a",
                              "(ARRAY['a'::character varying",
                              "(ARRAY['a'::character varying])",
                              "(ARRAY['a'::character varying])::text",
                              "(ARRAY[])::text[]",
                              "(ARRAY[ARRAY[1, 2], ARRAY[3, 4]])::bigint[]",
                              "'(ARRAY[1, 2])::bigint[]'::text",
                              "ARRAY['a'::character varying, 'b'::character varying]",
                              "ANY (ARRAY['a'::bpchar, 'b'::bpchar])"}) {
        EXPECT_EQ(canonical_definition(other), other);
    }
}

// They may be an address with its secret.
TEST(SchemaSignature, TheConstantsOfATriggerAreComparedAndNotTold) {
    const std::string hook = "CREATE TRIGGER h AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f(";
    const SchemaObject secret{"t", "trigger", "h", hook + "'secret', 'it''s')"};
    const SchemaObject other{"t", "trigger", "h", hook + "'other')"};
    const SchemaObject plain{"t", "trigger", "p", hook + ")"};
    const SchemaObject quiet{"t", "trigger", "p", hook + ") DISABLED"};
    EXPECT_EQ(schema_differences({secret}, {}, 9),
              (std::vector<std::string>{"t: trigger h is missing on the target (its text is not "
                                        "told: it has constants)"}));
    const auto differs = schema_differences({secret}, {other}, 9);
    ASSERT_EQ(differs.size(), 1u);
    EXPECT_EQ(differs[0].find("secret"), std::string::npos) << differs[0];
    EXPECT_EQ(differs[0].find("other"), std::string::npos) << differs[0];
    EXPECT_EQ(schema_differences({plain}, {}, 9),
              (std::vector<std::string>{"t: trigger p is missing on the target: " + hook + ")"}));
    EXPECT_EQ(schema_differences({quiet}, {}, 9),
              (std::vector<std::string>{"t: trigger p is missing on the target: " + hook +
                                        "), and disable it"}));
}

TEST(SchemaSignature, AnInvalidIndexIsToBeDropped) {
    const SchemaObject index{"t", "index", "i", "CREATE INDEX i ON t USING btree (a) INVALID"};
    EXPECT_EQ(schema_differences({index}, {}, 9),
              (std::vector<std::string>{
                  "t: index i is missing on the target, and invalid where it is: drop it there"}));
}

TEST(SchemaSignature, AnIndexOfAPartitionedTableIsMadeWithThoseOfItsPartitions) {
    const SchemaObject index{
        "t", "index", "i", "CREATE INDEX \"i ON ONLY x\" ON ONLY public.t USING btree (a)"};
    EXPECT_EQ(schema_differences({index}, {}, 9),
              (std::vector<std::string>{
                  "t: index i is missing on the target: CREATE INDEX \"i ON ONLY x\" ON public.t"
                  " USING btree (a) (after those of its partitions, which it takes)"}));
    SchemaObject unattached = index;
    unattached.definition += " INVALID";
    const auto differs = schema_differences({index}, {unattached}, 9);
    ASSERT_EQ(differs.size(), 1u);
    EXPECT_TRUE(differs[0].ends_with("ATTACH PARTITION ... there, for the one of each partition"))
        << differs[0];
}

TEST(SchemaSignature, AnIndexOfAPartitionIsDroppedWithItsTables) {
    const auto told = [](const char* table) {
        const SchemaObject index{"t", "index", "i", "CREATE INDEX i ON public.t USING btree (a)"};
        const SchemaObject other{"t", "index", "i", "CREATE INDEX i ON public.t USING btree (b)"};
        const SchemaObject itself{"t", "table", "", table};
        return schema_differences({index, itself}, {other, itself}, 9).at(0);
    };
    const std::string make = ", then CREATE INDEX i ON public.t USING btree (a)";
    EXPECT_TRUE(told("r p").ends_with(": drop it there" + make)) << told("r p");
    for (const char* partition : {"r p FOR VALUES IN (1)", "r p DEFAULT"}) {
        EXPECT_TRUE(told(partition).ends_with(
            ": drop it there (where it is attached, drop the partitioned table's index)" + make))
            << told(partition);
    }
}

// A dump has it with the table, which is there already.
TEST(SchemaSignature, RowSecurityThatIsForcedIsNotForcedByTheCopy) {
    SEGUE_NEEDS_POSTGRES();
    const test::Databases databases;
    databases.run(Side::source,
                  "CREATE TABLE t (i int); ALTER TABLE t ENABLE ROW LEVEL SECURITY;"
                  "CREATE TABLE u (i int); ALTER TABLE u ENABLE ROW LEVEL SECURITY;"
                  "CREATE TABLE w (i int); ALTER TABLE w ENABLE ROW LEVEL SECURITY;"
                  "ALTER TABLE t FORCE ROW LEVEL SECURITY; ALTER TABLE w FORCE ROW LEVEL SECURITY");
    databases.run(Side::target, "CREATE TABLE t (i int); CREATE TABLE u (i int)");
    Connection source = databases.open(Side::source), target = databases.open(Side::target);
    const auto conflicts = target_conflicts(source, target, {});
    ASSERT_TRUE(conflicts);
    ASSERT_EQ(conflicts->size(), 1u);
    EXPECT_EQ(conflicts->front().text, "public.t: row security is missing on the target");
}

TEST(SchemaSignature, DefinitionsAreTheSameHoweverTheServersVersionPrintsThem) {
    struct Case {
        const char *kind, *older, *newer;
    };
    const Case cases[] = {
        {"column",
         "timestamp without time zone default timezone('utc'::text, now())",
         "timestamp without time zone default (now() AT TIME ZONE 'utc'::text)"},
        {"table",
         "p p RANGE (timezone('utc'::text, a))",
         "p p RANGE (((a AT TIME ZONE 'utc'::text)))"},
        {"constraint",
         "CHECK ((date_part('month'::text, a) > (1)::double precision))",
         "CHECK ((EXTRACT(month FROM a) > (1)::numeric))"},
        {"index",
         "CREATE INDEX i ON public.t USING btree (timezone('utc'::text, a)) INVALID",
         "CREATE INDEX i ON public.t USING btree (((a AT TIME ZONE 'utc'::text))) INVALID"},
        {"trigger",
         "CREATE TRIGGER g BEFORE INSERT ON public.t FOR EACH ROW WHEN ((btrim(new.a) <> ''::text))"
         " EXECUTE FUNCTION public.f() DISABLED",
         "CREATE TRIGGER g BEFORE INSERT ON public.t FOR EACH ROW WHEN ((TRIM(BOTH FROM new.a) <>"
         " ''::text)) EXECUTE FUNCTION public.f() DISABLED"}};
    for (const Case& each : cases) {
        EXPECT_TRUE(same_definition(each.kind, each.older, each.newer)) << each.older;
        EXPECT_FALSE(same_definition(each.kind, each.older, std::string{each.newer} + " x"));
        EXPECT_EQ(schema_differences(
                      {{"t", each.kind, "n", each.older}}, {{"t", each.kind, "n", each.newer}}, 9),
                  std::vector<std::string>{});
    }
    EXPECT_FALSE(same_definition("index",
                                 cases[3].older,
                                 "CREATE INDEX i ON public.t USING btree "
                                 "(((a AT TIME ZONE 'utc'::text)))"));
    EXPECT_FALSE(same_definition("column", "integer default 1", "bigint default 1"));
    EXPECT_FALSE(same_definition("column", "integer", "integer default 1"));
}

// They would fire after a change of authority, which refuses them.
TEST(SchemaSignature, TriggersThatStandOnTheTargetMustBeTheSources) {
    SEGUE_NEEDS_POSTGRES();
    const test::Databases databases;
    const std::string tables =
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TABLE t (i int PRIMARY KEY); CREATE TABLE u (i int PRIMARY KEY REFERENCES t);"
        "CREATE TABLE p (i int PRIMARY KEY) PARTITION BY RANGE (i);"
        "CREATE TABLE p_1 PARTITION OF p DEFAULT;"
        "CREATE TRIGGER same BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f('secret');"
        "CREATE TRIGGER rows AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION f();"
        "CREATE CONSTRAINT TRIGGER later AFTER INSERT ON p DEFERRABLE FOR EACH ROW EXECUTE "
        "FUNCTION f();";
    for (const Side side : {Side::source, Side::target}) databases.run(side, tables);
    Connection source = databases.open(Side::source), target = databases.open(Side::target);
    const auto told = [&] {
        std::string all;
        const auto conflicts = target_conflicts(source, target, {});
        EXPECT_TRUE(conflicts);
        for (const TargetConflict& conflict : *conflicts) all += conflict.text + "\n";
        return all;
    };
    EXPECT_EQ(told(), "");
    // The dump makes them.
    databases.run(Side::target, "DROP TRIGGER same ON t");
    EXPECT_EQ(told(), "");
    struct Case {
        const char *command, *text;
    };
    const Case cases[] = {
        {"CREATE TRIGGER same BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION "
         "public.f('other')",
         "public.t: trigger same differs from the source: CREATE TRIGGER same BEFORE INSERT ON "
         "public.t FOR EACH ROW EXECUTE FUNCTION public.f('?') instead of CREATE TRIGGER same "
         "BEFORE"
         " INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.f('?') (in its constants)\n"},
        {"ALTER TABLE public.p DISABLE TRIGGER rows",
         "public.p: trigger rows differs from the source"},
        {"ALTER TABLE public.p_1 DISABLE TRIGGER rows",
         "public.p_1: trigger rows differs from the source"},
        {"CREATE TRIGGER more BEFORE INSERT ON public.u FOR EACH ROW EXECUTE FUNCTION public.f()",
         "public.u: trigger more is not on the source"},
        {"ALTER TABLE public.t DISABLE TRIGGER ALL",
         "public.u: disabled constraint u_i_fkey is not on the source"},
        {"ALTER TABLE public.u DISABLE TRIGGER ALL",
         "public.u: disabled constraint u_i_fkey is not on the source"}};
    for (const Case& each : cases) {
        ASSERT_TRUE(target.execute("BEGIN"));
        ASSERT_TRUE(target.execute(each.command)) << each.command;
        EXPECT_NE(told().find(each.text), std::string::npos) << each.command << "\n" << told();
        EXPECT_EQ(told().find("secret"), std::string::npos);
        ASSERT_TRUE(target.execute("ROLLBACK"));
    }
    EXPECT_EQ(told(), "");
    for (const char* command :
         {"ALTER TABLE t DISABLE TRIGGER ALL", "ALTER TABLE p_1 DISABLE TRIGGER rows"}) {
        for (const Side side : {Side::source, Side::target}) databases.run(side, command);
        EXPECT_EQ(told(), "") << command;
    }
    databases.run(Side::target, "ALTER TABLE t ENABLE TRIGGER ALL");
    EXPECT_EQ(told(), "public.u: disabled constraint u_i_fkey is missing on the target\n");
    const auto wanted = read_schema_signature(source, {}),
               found = read_schema_signature(target, {});
    ASSERT_TRUE(wanted && found);
    EXPECT_EQ(
        schema_differences(*wanted, *found, 9).back(),
        "public.u: disabled constraint u_i_fkey is missing on the target, where it is enabled:"
        " ALTER TABLE ... ENABLE TRIGGER ALL on the source");
    databases.run(Side::target, "ALTER TABLE u DROP CONSTRAINT u_i_fkey");
    EXPECT_EQ(told(), "");
}

// What was typed on the source, and what a dump of it makes.
TEST(SchemaSignature, TablesThatWereDumpedAreEqualToWhatWasTyped) {
    SEGUE_NEEDS_POSTGRES();
    const test::Databases databases;
    databases.run(Side::source, R"sql(
        CREATE TABLE t (i int PRIMARY KEY, s varchar(9) DEFAULT 'a' CHECK (s IN ('a', 'b')),
            CONSTRAINT nulls CHECK (s IN ('a', NULL)), CONSTRAINT cut CHECK (s IN ('a'::varchar(9), 'b')));
        CREATE INDEX ON t (i) WHERE s NOT IN ('a', 'c'))sql");
    databases.run(Side::target, R"sql(
        CREATE TABLE t (i int PRIMARY KEY, s character varying(9) DEFAULT 'a'::character varying,
            CONSTRAINT t_s_check CHECK (((s)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))),
            CONSTRAINT nulls CHECK (((s)::text = ANY ((ARRAY['a'::character varying, NULL::character varying])::text[]))),
            CONSTRAINT cut CHECK (((s)::text = ANY ((ARRAY['a'::character varying(9), 'b'::character varying])::text[]))));
        CREATE INDEX t_i_idx ON t USING btree (i)
            WHERE ((s)::text <> ALL ((ARRAY['a'::character varying, 'c'::character varying])::text[])))sql");
    Connection source = databases.open(Side::source), target = databases.open(Side::target);
    const auto conflicts = target_conflicts(source, target, {});
    ASSERT_TRUE(conflicts);
    for (const TargetConflict& conflict : *conflicts) ADD_FAILURE() << conflict.text;
    databases.run(Side::target,
                  "ALTER TABLE t DROP CONSTRAINT t_s_check, ADD CHECK (s IN ('a', 'c'))");
    const auto different = target_conflicts(source, target, {});
    ASSERT_TRUE(different);
    EXPECT_EQ(different->size(), 1u);
}

// The server makes a constraint of its own for each partition that is referenced, and numbers them
// as they come; in a dump they all come at once, in the order of their bounds.
TEST(SchemaSignature, AForeignKeyToPartitionsIsTheSameInWhateverOrderTheyWereMade) {
    SEGUE_NEEDS_POSTGRES();
    const test::Databases databases;
    const std::string first = "CREATE TABLE p_1 PARTITION OF p FOR VALUES IN (1);",
                      second =
                          "CREATE TABLE p_2 PARTITION OF p FOR VALUES IN (2)"
                          " PARTITION BY LIST (i);"
                          "CREATE TABLE p_22 PARTITION OF p_2 FOR VALUES IN (2);",
                      table = "CREATE TABLE p (i int PRIMARY KEY) PARTITION BY LIST (i);",
                      key =
                          "CREATE TABLE t (i int, CONSTRAINT t_fk FOREIGN KEY (i) REFERENCES p);"
                          "CREATE TABLE h (i int REFERENCES p) PARTITION BY LIST (i);"
                          "CREATE TABLE h_1 PARTITION OF h FOR VALUES IN (1)";
    databases.run(Side::source, table + second + key + ";" + first);
    databases.run(Side::target, table + first + second + key);
    Connection source = databases.open(Side::source), target = databases.open(Side::target);
    const auto there = read_schema_signature(source, {});
    const auto here = read_schema_signature(target, {});
    ASSERT_TRUE(there && here);
    EXPECT_EQ(schema_differences(*there, *here, 9), std::vector<std::string>{});
    databases.run(Side::target,
                  "ALTER TABLE t DROP CONSTRAINT t_fk,"
                  " ADD CONSTRAINT t_fk FOREIGN KEY (i) REFERENCES p ON DELETE CASCADE");
    const auto cascades = read_schema_signature(target, {});
    ASSERT_TRUE(cascades);
    EXPECT_EQ(schema_differences(*there, *cascades, 9).size(), 1u);
}

// Who stops waits for who reads it.
TEST(SchemaSignature, IsNotWaitedForWhereTheServerHangs) {
    SEGUE_NEEDS_POSTGRES();
    const test::Databases databases;
    Connection source = databases.open(Side::source);
    const pid_t backend = PQbackendPID(source.raw());
    ASSERT_EQ(::kill(backend, SIGSTOP), 0);
    const auto read = read_schema_signature(source, {}, std::chrono::milliseconds{50});
    EXPECT_EQ(::kill(backend, SIGCONT), 0);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, Errc::closed) << read.error().detail;
}

// Up to PostgreSQL 16 only a table that is attached can have one, from 17 on every partition has
// its table's: on the servers of a move to a newer one they differ, and nobody can make them the
// same.
TEST(SchemaSignature, APartitionOfATableWithAnIdentityMayHaveItOrNot) {
    SEGUE_NEEDS_POSTGRES();
    const test::Databases databases;
    const std::string table =
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, n int) PARTITION BY LIST (n);";
    databases.run(Side::source, table + "CREATE TABLE t_1 PARTITION OF t FOR VALUES IN (1)");
    databases.run(Side::target,
                  table +
                      "CREATE TABLE t_1 (id int NOT NULL, n int);"
                      "ALTER TABLE t ATTACH PARTITION t_1 FOR VALUES IN (1);"
                      "ALTER TABLE t_1 ALTER id ADD GENERATED ALWAYS AS IDENTITY");
    Connection source = databases.open(Side::source), target = databases.open(Side::target);
    const auto conflicts = target_conflicts(source, target, {});
    ASSERT_TRUE(conflicts);
    for (const TargetConflict& conflict : *conflicts) ADD_FAILURE() << conflict.text;
    databases.run(Side::target, "ALTER TABLE t ALTER id DROP IDENTITY");
    const auto different = target_conflicts(source, target, {});
    ASSERT_TRUE(different);
    EXPECT_EQ(different->size(), 1u);
}

}  // namespace
}  // namespace segue::backfill::postgres
