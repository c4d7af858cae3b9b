#include "backfill/postgres/change_batch.hpp"

#include <gtest/gtest.h>

#include "tests/backfill/databases.hpp"

namespace segue::backfill::postgres {
namespace {

using test::Databases;

// Applies changes to a real table as the applier does: gathered, then one transaction's worth is
// flushed.
class ChangeBatchTest : public testing::Test {
protected:
    void SetUp() override {
        SEGUE_NEEDS_POSTGRES();
        databases_ = std::make_unique<Databases>();
        databases_->run(Side::target, R"sql(
            CREATE TABLE t (a int, b text, v text, n numeric(6,2), g int GENERATED ALWAYS AS (a + 1) STORED,
                            PRIMARY KEY (a, b)))sql");
        connection_.emplace(databases_->open(Side::target));
        auto tables = read_follower_tables(*connection_, {});
        ASSERT_TRUE(tables);
        tables_ = std::move(*tables);
        relation_.schema = "public";
        relation_.name = "t";
        relation_.columns = {{"a", 23, true},
                             {"b", 25, true},
                             {"v", 25, false},
                             {"n", 1700, false, ((6 << 16) | 2) + 4}};
    }
    using Value = std::optional<std::string>;  // "~" stands for an unchanged value.
    Change change(ChangeKind kind, OldRow old_row, const std::vector<Value>& cells) const {
        ChangeBuilder builder{relation_, kind, old_row, 64};
        for (const Value& value : cells) {
            if (!value) {
                builder.add(CellKind::null);
            } else if (*value == "~") {
                builder.add(CellKind::unchanged);
            } else {
                builder.add(CellKind::text, *value);
            }
        }
        return builder.take();
    }
    void insert(const std::vector<Value>& row) {
        add(change(ChangeKind::insert, OldRow::none, row));
    }
    void update(const std::vector<Value>& row) {
        add(change(ChangeKind::update, OldRow::none, row));
    }
    void move(std::vector<Value> old_key, const std::vector<Value>& row) {
        old_key.insert(old_key.end(), row.begin(), row.end());
        add(change(ChangeKind::update, OldRow::key, old_key));
    }
    void remove(const std::vector<Value>& key) {
        add(change(ChangeKind::remove, OldRow::key, key));
    }
    void add(Change change) { changes_.push_back(std::move(change)); }

    Status apply() {
        auto pipeline = StatementPipeline::enter(*connection_);
        EXPECT_TRUE(pipeline);
        Status sent = pipeline->query("BEGIN", {}, {{}, "BEGIN"});
        for (Change& change : changes_) {
            if (sent) sent = batch_.add(*pipeline, std::move(change));
        }
        changes_.clear();
        if (sent) sent = batch_.flush(*pipeline);
        const Status done = pipeline->finish();
        if (const Status ended = pipeline->query(done ? "COMMIT" : "ROLLBACK", {}, {{}, "end"});
            ended) {
            EXPECT_TRUE(pipeline->finish());
        }
        return sent ? done : sent;
    }
    std::string rows() const {
        return databases_->value(Side::target,
                                 "SELECT string_agg(t::text, ' ' ORDER BY a, b) FROM t");
    }

    std::unique_ptr<Databases> databases_;
    std::optional<Connection> connection_;
    FollowerTables tables_;
    RowWriter writer_{tables_};
    ChangeBatch batch_{tables_, writer_};
    Relation relation_;
    std::vector<Change> changes_;
};

TEST_F(ChangeBatchTest, LeavesWhatOneStatementAChangeWouldHaveLeft) {
    insert({"1", "x", "quote \" back \\ comma , brace {}", "1.50"});
    insert({"2", "", std::nullopt, "NaN"});
    insert({"3", "NULL", "NULL", std::nullopt});
    update({"1", "x", "first", "2.00"});
    update({"2", "", "", "3"});
    update({"1", "x", "last", "2.25"});  // In place of the first one.
    update({"2", "", "~", "4.00"});      // Another shape: its own statement, behind.
    move({"3", "NULL", std::nullopt, std::nullopt}, {"4", "moved", "m", "0"});
    remove({"1", "x", std::nullopt, std::nullopt});
    insert({"1", "x", "again", "9.99"});  // Deleted and inserted anew.
    insert({"5", "y", std::nullopt, std::nullopt});
    const Status applied = apply();
    ASSERT_TRUE(applied) << applied.error().detail;
    EXPECT_EQ(rows(), "(1,x,again,9.99,2) (2,\"\",\"\",4.00,3) (4,moved,m,0.00,5) (5,y,,,6)");
    remove({"1", "x", std::nullopt, std::nullopt});
    remove({"2", "", std::nullopt, std::nullopt});
    remove({"5", "y", std::nullopt, std::nullopt});
    ASSERT_TRUE(apply());
    EXPECT_EQ(rows(), "(4,moved,m,0.00,5)");
}

TEST_F(ChangeBatchTest, IsAsStrictAsOneStatementAChange) {
    insert({"1", "x", "a", "1"});
    ASSERT_TRUE(apply());
    update({"1", "x", "b", "1"});
    update({"2", "x", "b", "1"});  // Not there.
    const Status missed = apply();
    ASSERT_FALSE(missed);
    EXPECT_EQ(missed.error().detail, "public.t: a change hit 1 row instead of 2");
    remove({"1", "x", std::nullopt, std::nullopt});
    remove({"7", "x", std::nullopt, std::nullopt});
    EXPECT_FALSE(apply());
    EXPECT_EQ(rows(), "(1,x,a,1.00,2)");
}

}  // namespace
}  // namespace segue::backfill::postgres
