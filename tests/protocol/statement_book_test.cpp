#include "protocol/postgres/statement_book.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "protocol/postgres/messages_client.hpp"

namespace segue::protocol::postgres {
namespace {

// Feeds whole messages, each in pieces of `step` bytes, as Boundary would.
std::vector<std::string> feed(StatementBook& book,
                              const std::string& wire,
                              std::size_t step = 1u << 20) {
    std::vector<std::string> seen;
    for (std::size_t at = 0; at < wire.size();) {
        ByteReader reader{bytes(wire).subspan(at + 1)};
        const auto size = reader.big_endian<std::uint32_t>() - 4;
        const Bytes body = bytes(wire).subspan(at + 5, size);
        std::size_t from = 0;
        do {
            const Bytes part = body.subspan(from, std::min(step, body.size() - from));
            const auto one =
                book.see({wire[at], from == 0, from + part.size() == body.size(), size, part});
            if (one) seen.emplace_back(one->text.value_or("?"));
            from += part.size();
        } while (from < body.size());
        at += 5 + size;
    }
    return seen;
}

template <class... Messages>
std::string wire(const Messages&... messages) {
    std::string output;
    (append(output, messages), ...);
    return output;
}

using Texts = std::vector<std::string>;

TEST(StatementBook, KnowsAStatementOnceTheServerCannotHaveRefusedIt) {
    for (const std::size_t step : {1u, 3u, 1000u}) {
        StatementBook book;
        EXPECT_EQ(feed(book, wire(Parse{"s", "SELECT 1", {}}), step), Texts{"SELECT 1"});
        EXPECT_EQ(book.find("s"), nullptr);
        book.settle(false);
        ASSERT_NE(book.find("s"), nullptr);
        EXPECT_EQ(book.find("s")->text, "SELECT 1");
        EXPECT_EQ(book.find("s")->message, wire(Parse{"s", "SELECT 1", {}}));
        EXPECT_EQ(feed(book, wire(Bind{"", "s", {}, {}, {}}, Execute{"", 0}), step),
                  Texts{"SELECT 1"});
        feed(book, wire(Close{'S', "s"}), step);
        EXPECT_EQ(book.find("s"), nullptr);
        EXPECT_EQ(feed(book, wire(Bind{"", "s", {}, {}, {}}), step), Texts{"?"});
    }
}

TEST(StatementBook, WhatAnErrorMayHaveUndoneIsUnknown) {
    StatementBook book;
    feed(book, wire(Parse{"s", "SELECT 1", {}}));
    book.settle(true);
    EXPECT_EQ(book.find("s"), nullptr);
    EXPECT_EQ(book.size(), 0u);
}

TEST(StatementBook, ANameGivenTwiceIsUnknown) {
    StatementBook book;
    feed(book, wire(Parse{"s", "DELETE FROM t", {}}));
    book.settle(false);
    feed(book, wire(Parse{"s", "SELECT 1", {}}));
    book.settle(false);
    EXPECT_EQ(book.find("s"), nullptr);
    feed(book, wire(Parse{"r", "DELETE FROM t", {}}, Parse{"r", "SELECT 1", {}}));
    book.settle(false);
    EXPECT_EQ(book.find("r"), nullptr);
}

TEST(StatementBook, TheUnnamedStatementIsReplacedAndEndsWithAQuery) {
    StatementBook book;
    feed(book, wire(Parse{"", "SELECT 1", {}}));
    book.settle(false);
    feed(book, wire(Parse{"", "SELECT 2", {}}));
    book.settle(false);
    EXPECT_EQ(book.find("")->text, "SELECT 2");
    EXPECT_EQ(feed(book, wire(Query{"SELECT 3"})), Texts{"SELECT 3"});
    EXPECT_EQ(book.find(""), nullptr);
    book.set_unnamed("SELECT 4", "P");
    EXPECT_EQ(book.find("")->text, "SELECT 4");
}

TEST(StatementBook, TellsWhatItCannotKnow) {
    StatementBook book;
    EXPECT_EQ(feed(book, std::string("F\0\0\0\4", 5)), Texts{"?"});
    EXPECT_EQ(feed(book, wire(Bind{"", "never seen", {}, {}, {}})), Texts{"?"});
    EXPECT_EQ(feed(book, wire(Query{std::string(statement_message_size_max, 'x')}), 1000),
              Texts{"?"});
    EXPECT_EQ(feed(book, wire(Parse{"s", std::string(statement_message_size_max, 'x'), {}}), 1000),
              Texts{"?"});
    book.settle(false);
    EXPECT_EQ(book.find("s"), nullptr);
    book.learn("t", "SELECT 1", {23});
    EXPECT_EQ(book.find("t")->message, wire(Parse{"t", "SELECT 1", {23}}));
    book.forget();
    EXPECT_EQ(book.find("t"), nullptr);
}

TEST(StatementBook, StaysBounded) {
    StatementBook book;
    for (int i = 0; i < 3000; ++i) {
        feed(book, wire(Parse{"s" + std::to_string(i), std::string(1000, 'x'), {}}));
        book.settle(false);
        ASSERT_LE(book.size(), statement_book_size_max);
    }
    std::string pipeline;
    for (int i = 0; i < 1000; ++i) pipeline += wire(Parse{"p" + std::to_string(i), "x", {}});
    book.forget();
    feed(book, pipeline);
    book.settle(false);
    EXPECT_NE(book.find("p0"), nullptr);
    EXPECT_EQ(book.find("p999"), nullptr);
}

}  // namespace
}  // namespace segue::protocol::postgres
