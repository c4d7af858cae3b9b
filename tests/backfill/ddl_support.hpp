#pragma once
// A pair of databases between which DDL is captured and carried, without anything that moves: what
// the application runs on the source stands in segue.ddl, and is applied to the target by hand.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "backfill/postgres/ddl_apply.hpp"
#include "backfill/postgres/ddl_capture.hpp"
#include "backfill/postgres/ddl_record.hpp"
#include "backfill/postgres/follower_tables.hpp"
#include "backfill/postgres/link.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/text_array.hpp"
#include "tests/backfill/databases.hpp"
#include "tests/support/sql.hpp"

namespace segue::test {

class DdlTest : public testing::Test {
protected:
    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases_ = shared();
        for (const Side side : {Side::source, Side::target}) {
            databases_->run(
                side,
                "SET segue.mover = 'id-1'; DROP SCHEMA IF EXISTS app CASCADE;"
                " ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO ddl_app;"
                " ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO ddl_app;"
                " ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO ddl_app;"
                " CREATE SCHEMA app AUTHORIZATION ddl_app; TRUNCATE segue.ddl, segue.ddl_known");
        }
        app_ = std::make_unique<Sql>(databases_->url(Side::source, "ddl_app"));
        follower_ = std::make_unique<backfill::postgres::Connection>(
            databases_->open(Side::target, mover_id));
        follow("SET session_replication_role = replica");
    }
    // One pair for all of these tests, never destroyed: its servers end with the program.
    static Databases* shared() {
        static Databases* const databases = [] {
            auto* made = new Databases;
            for (const Side side : {Side::source, Side::target}) install(*made, side);
            return made;
        }();
        return databases;
    }
    static void install(Databases& databases, Side side) {
        databases.run(side, R"sql(
            DO $$ BEGIN CREATE ROLE ddl_app LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
            CREATE PUBLICATION segue_m)sql");
        databases.run(side, backfill::postgres::segue_schema_ddl);
        for (const std::string& name : backfill::postgres::new_table_publication_names("m"))
            databases.run(side, "CREATE PUBLICATION " + name);
        databases.run(side,
                      "CREATE FUNCTION segue.fence_guard() RETURNS trigger LANGUAGE plpgsql AS"
                      " 'BEGIN RETURN NULL; END'");
        backfill::postgres::Link link{
            databases.url(side), {.settings = {{backfill::postgres::mover_setting, mover_id}}}};
        const Status installed = install_ddl_capture(link, {mover_id, "m", {"app.excluded"}});
        ASSERT_TRUE(installed) << installed.error().detail;
    }

    void follow(const std::string& sql) {
        const auto done = follower_->execute(sql);
        EXPECT_TRUE(done) << sql << ": " << done.error().detail;
    }
    Answer app(const std::string& sql) { return app_->query(sql); }
    // Why the last command cannot be carried, as the capture says; empty where it can.
    std::string refusal() {
        return databases_->value(Side::source,
                                 "SELECT refusal FROM segue.ddl ORDER BY id DESC LIMIT 1");
    }
    bool is_superuser(Side side) {
        return databases_->value(side, "SELECT rolsuper FROM pg_roles WHERE rolname = 'ddl_app'") ==
               "t";
    }
    std::string on_source(const std::string& sql) { return databases_->value(Side::source, sql); }
    std::string on_target(const std::string& sql) { return databases_->value(Side::target, sql); }

    // What was captured since the last call, in one transaction of the follower. Empty: all of it
    // was carried; else why not.
    std::string carry(bool copying = false) {
        std::string list;
        for (const char* column : backfill::postgres::ddl_columns)
            list += (list.empty() ? "" : ", ") + std::string{column};
        const Answer rows = databases_->run(Side::source,
                                            "SELECT " + list + " FROM segue.ddl WHERE id > " +
                                                std::to_string(carried_) + " ORDER BY id");
        for (const auto& row : rows.rows) {
            carried_ = std::stoll(row[0]);
            backfill::SchemaChange change;
            for (std::size_t i = 0; i < row.size(); ++i) {
                change.record.push_back(backfill::postgres::ddl_columns[i]);
                change.record.push_back(row[i]);
            }
            const auto schemas = backfill::postgres::parse_text_array(row[6]);
            const auto names = backfill::postgres::parse_text_array(row[7]);
            for (std::size_t i = 0; i < names.size(); ++i)
                change.tables.push_back({schemas[i], names[i]});
            const auto tables = backfill::postgres::read_follower_tables(*follower_, {});
            follow("BEGIN");
            const Status applied = applier_.apply(*follower_, change, *tables, copying);
            follow(applied ? "COMMIT" : "ROLLBACK");
            if (!applied) return applied.error().detail;
        }
        return "";
    }

    // Runs it as the application, and says what becomes of it on the target.
    std::string both(const std::string& sql) {
        app(sql);
        return carry();
    }

    static constexpr const char* mover_id = "id-1";
    Databases* databases_ = nullptr;
    std::unique_ptr<Sql> app_;
    std::unique_ptr<backfill::postgres::Connection> follower_;
    backfill::postgres::DdlApplier applier_{Side::source, {"app.excluded"}};
    long long carried_ = 0;
};

}  // namespace segue::test
