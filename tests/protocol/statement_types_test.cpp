#include "protocol/postgres/statement_types.hpp"

#include <gtest/gtest.h>

namespace segue::protocol::postgres {
namespace {

SharedTypes with_column(std::uint32_t type) {
    StatementTypes types;
    types.columns = {{0, type}};
    return std::make_shared<StatementTypes>(types);
}
std::uint32_t column_of(const PortalTypes* rows) {
    return rows == nullptr ? 0 : rows->statement->columns.front().type;
}

TEST(StatementTypesBook, GivesEachExecutionTheStatementThatItWasBoundTo) {
    StatementTypesBook book;
    book.know("a", with_column(1));
    book.know("b", with_column(2));
    for (const char* name : {"a", "b"}) {
        book.bind("", book.find(name), {});
        book.execute("");
    }
    book.sync();
    book.bound();
    EXPECT_EQ(column_of(book.rows()), 1u) << "though the portal's name is another's by now";
    book.ended();
    book.bound();
    EXPECT_EQ(column_of(book.rows()), 2u);
    book.ended();
    book.ready('I');
    EXPECT_EQ(book.rows(), nullptr);
}

TEST(StatementTypesBook, KnowsPortalsUpToItsLimit) {
    StatementTypesBook book;
    for (std::size_t i = 0; i < portals_known_max; ++i)
        book.bind(std::to_string(i), with_column(1), {});
    book.bind("one more", with_column(1), {});
    book.settle();
    book.execute("one more");
    EXPECT_EQ(book.rows(), nullptr);
    book.settle();
    book.execute("0");
    EXPECT_EQ(column_of(book.rows()), 1u);
}

TEST(StatementTypesBook, KeepsWhatWasPreparedAgainBehindItsClose) {
    StatementTypesBook book;
    const SharedTypes again = with_column(2);
    book.know("a", with_column(1));
    book.close('S', "a");
    book.parse("a", again);
    book.sync();
    book.closed();
    EXPECT_EQ(book.find("a"), again);
    book.parsed();
    book.ready('I');
    EXPECT_EQ(book.find("a"), again);
    book.close('S', "a");
    book.sync();
    book.closed();
    EXPECT_EQ(book.find("a"), nullptr);
}

TEST(StatementTypesBook, TakesBackWhatARefusedPipelineHadChanged) {
    StatementTypesBook book;
    const SharedTypes before = with_column(1);
    book.know("a", before);
    book.parse("a", with_column(2));
    book.parse("a", with_column(3));
    book.parse("b", with_column(4));
    book.close('S', "a");
    book.sync();
    book.error();
    book.ready('I');
    EXPECT_EQ(book.find("a"), before);
    EXPECT_EQ(book.find("b"), nullptr);
}

TEST(StatementTypesBook, KeepsWhatWasDoneBeforeTheError) {
    StatementTypesBook book;
    const SharedTypes first = with_column(1);
    book.parse("a", first);
    book.parse("b", with_column(2));
    book.sync();
    book.parsed();
    book.error();
    book.ready('I');
    EXPECT_EQ(book.find("a"), first);
    EXPECT_EQ(book.find("b"), nullptr);
}

TEST(StatementTypesBook, AnErrorOfAQueryOrOfACommitDiscardsNothing) {
    for (const bool query : {true, false}) {
        StatementTypesBook book;
        query ? book.query() : book.sync();
        book.parse("a", with_column(1));
        book.sync();
        book.error();
        book.ready('I');
        book.parsed();
        book.ready('I');
        EXPECT_NE(book.find("a"), nullptr);
    }
}

TEST(StatementTypesBook, ClosesAStatementWhenTheServerHas) {
    StatementTypesBook book;
    book.know("a", with_column(1));
    book.close('S', "a");
    EXPECT_NE(book.find("a"), nullptr);
    book.closed();
    EXPECT_EQ(book.find("a"), nullptr);
}

TEST(StatementTypesBook, PortalsEndWithTheirTransaction) {
    StatementTypesBook book;
    book.bind("c", with_column(1), {});
    book.sync();
    book.bound();
    book.ready('T');
    book.execute("c");
    EXPECT_EQ(column_of(book.rows()), 1u);
    book.ended();
    book.sync();
    book.ready('I');
    book.execute("c");
    EXPECT_EQ(book.rows(), nullptr);
}

TEST(StatementTypesBook, KnowsNoMoreThanItsLimit) {
    StatementTypesBook book;
    for (std::size_t i = 0; i <= statements_known_max; ++i)
        book.know(std::to_string(i), with_column(1));
    EXPECT_NE(book.find("0"), nullptr);
    EXPECT_EQ(book.find(std::to_string(statements_known_max)), nullptr);
    const SharedTypes again = with_column(2);
    book.know("0", again);
    EXPECT_EQ(book.find("0"), again);
}

TEST(FormatCodes, AreNoneOneForAllOrOneForEach) {
    EXPECT_FALSE(FormatCodes{}.is_binary(0));
    EXPECT_TRUE((FormatCodes{{true}}.is_binary(7)));
    const FormatCodes each{{false, true}};
    EXPECT_FALSE(each.is_binary(0));
    EXPECT_TRUE(each.is_binary(1));
    EXPECT_FALSE(each.is_binary(2));
}

}  // namespace
}  // namespace segue::protocol::postgres
