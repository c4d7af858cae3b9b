#include "backfill/postgres/change_statement.hpp"

#include <gtest/gtest.h>

namespace segue::backfill::postgres {
namespace {

FollowerTable table(bool with_key) {
    FollowerTable result;
    result.table.schema = "public";
    result.table.name = "t";
    Column id, body, made;
    id.name = "id";
    id.type = "integer";
    id.type_oid = 23;
    body.name = "body";
    body.type = "text";
    made.name = "made";
    made.type = "text";
    made.generated = true;
    result.table.columns = {id, body, made};
    if (with_key) result.table.key = {0};
    return result;
}

Relation relation(bool full) {
    Relation result;
    result.schema = "public";
    result.name = "t";
    result.full_identity = full;
    result.columns = {{"id", 23, true}, {"body", 25, full}};
    return result;
}

Change update(const Relation& of, OldRow old_row, std::string_view old_id, bool unchanged) {
    ChangeBuilder builder{of, ChangeKind::update, old_row, 0};
    if (old_row != OldRow::none) {
        builder.add(CellKind::text, old_id);
        builder.add(old_row == OldRow::full ? CellKind::text : CellKind::null, "b");
    }
    builder.add(CellKind::text, "1");
    if (unchanged) {
        builder.add(CellKind::unchanged);
    } else {
        builder.add(CellKind::text, "c");
    }
    return builder.take();
}

std::string sql(const FollowerTable& of, const Change& change) {
    const auto statement = change_statement(of, change);
    return statement ? statement->sql : statement.error().detail;
}

TEST(ChangeStatement, NamesTheRowByItsKeyAndSetsWhatWasSent) {
    const Relation keyed = relation(false);
    const FollowerTable on = table(true);
    EXPECT_EQ(sql(on, update(keyed, OldRow::none, "", false)),
              R"(UPDATE ONLY "public"."t" SET "body" = $1 WHERE "id" = $2::integer)");
    EXPECT_EQ(sql(on, update(keyed, OldRow::key, "0", false)),
              R"(UPDATE ONLY "public"."t" SET "id" = $1, "body" = $2 WHERE "id" = $3::integer)");
    EXPECT_EQ(sql(on, update(keyed, OldRow::key, "0", true)),
              R"(UPDATE ONLY "public"."t" SET "id" = $1 WHERE "id" = $2::integer)");
    EXPECT_EQ(sql(on, update(keyed, OldRow::none, "", true)),
              R"(SELECT FROM ONLY "public"."t" WHERE "id" = $1::integer FOR UPDATE)");
}

TEST(ChangeStatement, WithoutAKeyOneOfTheEqualRowsIsMeant) {
    const Relation whole = relation(true);
    const std::string expected =
        R"(UPDATE ONLY "public"."t" SET "id" = $1, "body" = $2 WHERE ctid = (SELECT ctid FROM )"
        R"(ONLY "public"."t" WHERE "id"::text IS NOT DISTINCT FROM $3::integer::text AND )"
        R"(("id" = $4 OR $4 IS NULL) AND "body"::text IS NOT DISTINCT FROM $5::text::text LIMIT 1))";
    EXPECT_EQ(sql(table(false), update(whole, OldRow::full, "0", false)), expected);
    // A key on the follower is enough, however much was sent.
    EXPECT_EQ(sql(table(true), update(whole, OldRow::full, "0", false)),
              R"(UPDATE ONLY "public"."t" SET "id" = $1, "body" = $2 WHERE "id" = $3::integer)");
}

// Or with generated columns only: both are the follower's own affair.
TEST(ChangeStatement, ATableWithoutColumnsHasRows) {
    Relation bare = relation(true);
    bare.columns.clear();
    FollowerTable on = table(false);
    on.table.columns = {on.table.columns.back()};
    EXPECT_EQ(sql(on, ChangeBuilder{bare, ChangeKind::insert, OldRow::none, 0}.take()),
              R"(INSERT INTO "public"."t" DEFAULT VALUES)");
    EXPECT_EQ(sql(on, ChangeBuilder{bare, ChangeKind::remove, OldRow::full, 0}.take()),
              R"(DELETE FROM ONLY "public"."t" WHERE ctid = (SELECT ctid FROM ONLY "public"."t" )"
              R"(WHERE true LIMIT 1))");
}

TEST(ChangeStatement, AnAlwaysIdentityIsInsertedAndNeverSet) {
    FollowerTable on = table(true);
    on.table.columns[0].identity_always = true;
    const Relation keyed = relation(false);
    EXPECT_EQ(sql(on, update(keyed, OldRow::none, "", false)),
              R"(UPDATE ONLY "public"."t" SET "body" = $1 WHERE "id" = $2::integer)");
    EXPECT_EQ(
        sql(on, update(keyed, OldRow::key, "0", true)),
        R"(WITH gone AS (DELETE FROM ONLY "public"."t" WHERE "id" = $2::integer RETURNING *) INSERT INTO )"
        R"("public"."t" ("id", "body") OVERRIDING SYSTEM VALUE SELECT $1::integer, gone."body" FROM gone)");
    ChangeBuilder builder{keyed, ChangeKind::insert, OldRow::none, 0};
    builder.add(CellKind::text, "1");
    builder.add(CellKind::null);
    EXPECT_EQ(sql(on, builder.take()),
              R"(INSERT INTO "public"."t" ("id", "body") OVERRIDING SYSTEM VALUE VALUES ($1, $2))");
}

TEST(ChangeStatement, ARowThatNothingNamesIsRefused) {
    Relation nameless = relation(false);
    nameless.columns[0].part_of_key = false;
    EXPECT_FALSE(change_statement(table(false), update(nameless, OldRow::none, "", false)));
}

}  // namespace
}  // namespace segue::backfill::postgres
