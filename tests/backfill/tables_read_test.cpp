#include "backfill/postgres/tables_read.hpp"

#include <gtest/gtest.h>

#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

using test::Databases;

// Asks the source, which nobody writes to.
class PlainTwin : public Twin {
public:
    explicit PlainTwin(const Databases& databases) : connection_(databases.open(Side::source)) {}
    Result<std::vector<Row>> query(Side,
                                   const std::string& sql,
                                   const std::vector<std::optional<std::string>>& parameters,
                                   std::size_t rows_max) override {
        const auto rows = connection_.execute(sql, parameters);
        if (!rows) return rows.error();
        if (static_cast<std::size_t>(rows->size()) > rows_max)
            return Error{Errc::too_large, "too many"};
        std::vector<Row> result;
        for (int row = 0; row < rows->size(); ++row)
            result.push_back({rows->text(row, 0), rows->text(row, 1), rows->text(row, 2)});
        return result;
    }
    Result<std::vector<Row>> ask(Side, const SessionRead&, std::size_t) override {
        return Error{Errc::refused, "it is of no role"};
    }
    Result<AnswerDigest> digest(Side, const SessionRead&) override {
        return Error{Errc::refused, "it is of no role"};
    }

private:
    Connection connection_;
};

struct TablesReadTest : testing::Test {
    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases.emplace();
        databases->run(Side::source, R"sql(
CREATE SCHEMA app; CREATE SCHEMA "O""dd";
CREATE TABLE app.account (id int PRIMARY KEY, owner text);
CREATE TABLE "O""dd".account (id int PRIMARY KEY);
CREATE TABLE app.payment (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE app.payment_old PARTITION OF app.payment FOR VALUES FROM (MINVALUE) TO ('2020-01-01') PARTITION BY RANGE (id);
CREATE TABLE app.payment_old_1 PARTITION OF app.payment_old DEFAULT;
CREATE TABLE app.payment_new PARTITION OF app.payment DEFAULT;
CREATE TABLE app.parent (id int); CREATE TABLE app.child () INHERITS (app.parent);
CREATE TABLE app.tenant (name text);
ALTER TABLE app.account ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app.account USING (owner IN (SELECT name FROM app.tenant));
CREATE VIEW app.paid AS SELECT p.id FROM app.payment p;
CREATE VIEW app.paid_by AS SELECT * FROM app.paid JOIN "O""dd".account USING (id);
CREATE FUNCTION app.label(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1::text';
CREATE VIEW app.labelled AS SELECT app.label(id) FROM app.parent;
)sql");
    }
    std::string read(const std::string& statement, const std::string& path = "app") {
        PlainTwin twin{*databases};
        const auto found = tables_read(twin, Side::source, statement, path);
        if (!found) return "error: " + found.error().detail;
        std::string all;
        for (const auto& [schema, name] : found->tables)
            all += (all.empty() ? "" : " ") + schema + "." + name;
        for (const std::string& function : found->functions) all += " +" + function;
        return all;
    }
    std::optional<Databases> databases;
};

TEST_F(TablesReadTest, AreThoseWithRowsUnderViewsPartitionsChildrenAndPolicies) {
    EXPECT_EQ(read("SELECT * FROM tenant"), "app.tenant");
    EXPECT_EQ(read("SELECT 1"), "");
    EXPECT_EQ(read("SELECT * FROM account"), "app.account app.tenant");
    EXPECT_EQ(read("SELECT * FROM payment"), "app.payment_new app.payment_old_1");
    EXPECT_EQ(read("SELECT * FROM app.payment_old"), "app.payment_old_1");
    EXPECT_EQ(read("SELECT count(*) FROM parent"), "app.child app.parent");
    EXPECT_EQ(read("SELECT * FROM paid_by"), "O\"dd.account app.payment_new app.payment_old_1");
    EXPECT_EQ(read("SELECT t.name FROM tenant t WHERE EXISTS (SELECT FROM paid)"),
              "app.payment_new app.payment_old_1 app.tenant");
    EXPECT_EQ(read("WITH tenant AS (SELECT * FROM app.parent) TABLE tenant"),
              "app.child app.parent app.tenant");
    EXPECT_TRUE(read("DELETE FROM tenant").starts_with("error"));
}

TEST_F(TablesReadTest, AreFoundBySearchPathAndCallsAreTold) {
    EXPECT_EQ(read("SELECT * FROM account", "\"O\"\"dd\", app"), "O\"dd.account");
    EXPECT_EQ(read("SELECT * FROM account", "public, app"), "app.account app.tenant");
    EXPECT_EQ(read("SELECT * FROM tenant", "\"O\"\"dd\""), "");
    EXPECT_EQ(read("SELECT * FROM app.tenant", ""), "app.tenant");
    EXPECT_EQ(read("SELECT label(1), upper('a') FROM tenant"), "app.tenant +app.label");
    EXPECT_EQ(read("SELECT app.label(1)", ""), " +app.label");
    EXPECT_EQ(read("SELECT * FROM labelled"), "app.child app.parent +app.label");
}

}  // namespace
}  // namespace segue::backfill::postgres
