#include "backfill/postgres/setting_names.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

using test::Databases;
using testing::ElementsAre;

constexpr const char* schema = R"sql(
    CREATE FUNCTION one() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM Set_Config ( 'a.Function', '1', false); END $$;
    CREATE FUNCTION two() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET SESSION a . "Set" TO 1; END $$;
    CREATE FUNCTION three() RETURNS text LANGUAGE sql AS $$ SELECT current_setting('work_mem') || set_config('a.' || 'x', '', false) $$;
    CREATE TABLE t (id int DEFAULT current_setting('a.default')::int CHECK (id > current_setting('a.check', true)::int), n int);
    CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER noted BEFORE INSERT ON t FOR EACH ROW WHEN (current_setting('a.trigger') = 'on') EXECUTE FUNCTION noted();
    CREATE POLICY mine ON t USING (id = current_setting('a.policy.using')::int) WITH CHECK (id = current_setting('a.policy.check')::int);
    CREATE VIEW v AS SELECT * FROM t WHERE id::text = current_setting('a.view');
    CREATE RULE r AS ON UPDATE TO v WHERE current_setting('a.rule') = '1' DO INSTEAD NOTHING;
    CREATE AGGREGATE total (int) (sfunc = int4pl, stype = int);
)sql";

TEST(SettingNames, AreFoundWhereverTheDatabaseSetsOrReadsThem) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, schema);
    Connection source = databases.open(Side::source);
    const auto names = load_setting_names(source);
    ASSERT_TRUE(names) << names.error().detail;
    EXPECT_THAT(*names,
                ElementsAre("a.check",
                            "a.default",
                            "a.function",
                            "a.policy.check",
                            "a.policy.using",
                            "a.rule",
                            "a.set",
                            "a.trigger",
                            "a.view"));
}

// Whoever may not see such a setting could not be asked for it either.
TEST(SettingNames, AreNoneThatAnExtensionDefines) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source,
                  "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN "
                  "current_setting('auto_explain.log_level') || current_setting('a.own'); END $$; "
                  "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET session_preload_libraries = "
                  "auto_explain', current_database()); END $$");
    Connection source = databases.open(Side::source);
    const auto names = load_setting_names(source);
    ASSERT_TRUE(names) << names.error().detail;
    EXPECT_THAT(*names, ElementsAre("a.own"));
}

// Whoever asks has the names of before, and clients that wait.
TEST(SettingNames, AreNotWaitedForBehindALock) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    databases.run(Side::source, schema);
    Connection holder = databases.open(Side::source);
    ASSERT_TRUE(holder.execute("BEGIN; LOCK TABLE public.t"));
    Connection source = databases.open(Side::source);
    const auto locked = load_setting_names(source);
    ASSERT_FALSE(locked);
    EXPECT_EQ(locked.error().sqlstate, "55P03") << locked.error().detail;
    ASSERT_TRUE(holder.execute("COMMIT"));
    EXPECT_TRUE(load_setting_names(source));
}

TEST(SettingNames, AreFoundInBodiesOfTheStandardsForm) {
    SEGUE_NEEDS_POSTGRES();
    const Databases databases;
    if (std::stoi(databases.value(Side::source, "SHOW server_version_num")) < 140000)
        GTEST_SKIP() << "needs PostgreSQL 14";
    databases.run(Side::source,
                  "CREATE FUNCTION f() RETURNS text BEGIN ATOMIC SELECT current_setting('a.body'); "
                  "END");
    Connection source = databases.open(Side::source);
    const auto names = load_setting_names(source);
    ASSERT_TRUE(names) << names.error().detail;
    EXPECT_THAT(*names, ElementsAre("a.body"));
}

}  // namespace
}  // namespace segue::backfill::postgres
