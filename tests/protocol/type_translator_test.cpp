#include "protocol/postgres/type_translator.hpp"

#include <gtest/gtest.h>

#include "protocol/postgres/messages_client.hpp"
#include "tests/protocol/two_catalogs.hpp"

namespace segue::protocol::postgres {
namespace {

using namespace std::literals;

// The client logged in to the first server; the second one answers.
constexpr std::uint32_t theirs = first_base, served = second_base;

struct Exchange {
    Exchange() : translator{two_catalogs(), 0} {}

    // Everything that goes on, fed in two pieces or byte by byte.
    std::string pass(bool from_client, const std::string& bytes_in, std::size_t cut) {
        std::string out;
        const auto feed = [&](std::string_view piece) {
            out += text(from_client ? translator.to_server(bytes(piece))
                                    : translator.to_client(bytes(piece)));
        };
        if (cut == std::string::npos) {
            for (const char& one : bytes_in) feed({&one, 1});
        } else {
            feed(std::string_view{bytes_in}.substr(0, cut));
            feed(std::string_view{bytes_in}.substr(cut));
        }
        return out;
    }
    std::string to_server(const std::string& bytes_in, std::size_t cut = 0) {
        return pass(true, bytes_in, cut);
    }
    std::string to_client(const std::string& bytes_in, std::size_t cut = 0) {
        return pass(false, bytes_in, cut);
    }

    TypeTranslator translator;
};

std::string message(char tag, std::string_view body) {
    std::string wire;
    append_message(wire, tag, body);
    return wire;
}
template <class... Messages>
std::string client(const Messages&... messages) {
    std::string wire;
    (append(wire, messages), ...);
    append_sync(wire);
    return wire;
}
std::string description(const std::vector<std::uint32_t>& types,
                        std::int16_t format,
                        std::uint32_t table = 0) {
    std::string body = be16(static_cast<std::uint16_t>(types.size()));
    for (const std::uint32_t type : types) {
        body += "column\0"s + be32(table) + be16(3) + be32(type) + be16(0xffff) + be32(0xffffffff) +
                be16(static_cast<std::uint16_t>(format));
    }
    return message('T', body);
}
std::string parameters(const std::vector<std::uint32_t>& types) {
    std::string body = be16(static_cast<std::uint16_t>(types.size()));
    for (const std::uint32_t type : types) body += be32(type);
    return message('t', body);
}
std::string row(const std::vector<std::string>& values) {
    std::string body = be16(static_cast<std::uint16_t>(values.size()));
    for (const std::string& value : values) body += sized(value);
    return message('D', body);
}
const std::string parsed = message('1', ""), bound = message('2', ""), closed = message('3', ""),
                  no_data = message('n', "");
const std::string complete = message('C', "SELECT 1\0"sv), ready = message('Z', "I");

Bind bind_values(std::string_view statement, const std::vector<std::string>& values) {
    Bind bind{"", statement, {1}, {}, {1}};
    for (const std::string& value : values) bind.values.emplace_back(value);
    return bind;
}

TEST(TypeTranslator, ReplacesTypesInParseAndDescriptions) {
    Exchange exchange;
    EXPECT_EQ(
        exchange.to_server(client(Parse{"s", "SELECT $1, $2", {theirs, 0}}, Describe{'S', "s"})),
        client(Parse{"s", "SELECT $1, $2", {served, 0}}, Describe{'S', "s"}));
    EXPECT_EQ(exchange.to_client(parsed + parameters({served, 25}) +
                                 description({served + 2, 23}, 0, served) + ready),
              parsed + parameters({theirs, 25}) + description({theirs + 2, 23}, 0, served) + ready)
        << "the number of a table stays the one that the catalog knows";
}

TEST(TypeTranslator, ReplacesWithinBinaryParametersAndRowsOfEveryShape) {
    Exchange exchange;
    const std::vector<std::uint32_t> types = {
        theirs + 1, theirs + 2, theirs + 3, theirs + 4, theirs + 5, theirs + 6, 25};
    const auto values = [](std::uint32_t base) {
        return std::vector<std::string>{moods(base),
                                        pair(base),
                                        pairs(base),
                                        span(base),
                                        spans(base),
                                        moods(base),
                                        be32(first_base)};
    };
    std::vector<std::uint32_t> there;
    for (const std::uint32_t type : types)
        there.push_back(type == 25 ? type : type - theirs + served);
    EXPECT_EQ(exchange.to_server(client(Parse{"", "SELECT", types},
                                        bind_values("", values(theirs)),
                                        Describe{'P', ""},
                                        Execute{})),
              client(Parse{"", "SELECT", there},
                     bind_values("", values(served)),
                     Describe{'P', ""},
                     Execute{}));
    EXPECT_EQ(exchange.to_client(parsed + bound + description(there, 1) + row(values(served)) +
                                 row(values(served)) + complete + ready),
              parsed + bound + description(types, 1) + row(values(theirs)) + row(values(theirs)) +
                  complete + ready);
}

TEST(TypeTranslator, GivesTheSameWhereverTheStreamIsCut) {
    const std::string asked = client(Parse{"s", "SELECT $1", {theirs + 3}},
                                     bind_values("s", {pairs(theirs)}),
                                     Describe{'P', ""},
                                     Execute{});
    const std::string sent = client(Parse{"s", "SELECT $1", {served + 3}},
                                    bind_values("s", {pairs(served)}),
                                    Describe{'P', ""},
                                    Execute{});
    const std::string answered = parsed + bound + description({served + 5, served + 2}, 1) +
                                 row({spans(served), pair(served)}) + complete + ready;
    const std::string told = parsed + bound + description({theirs + 5, theirs + 2}, 1) +
                             row({spans(theirs), pair(theirs)}) + complete + ready;
    for (std::size_t cut = 0; cut <= std::max(asked.size(), answered.size()); ++cut) {
        SCOPED_TRACE(cut);
        Exchange exchange;
        EXPECT_EQ(exchange.to_server(asked, std::min(cut, asked.size())), sent);
        EXPECT_EQ(exchange.to_client(answered, std::min(cut, answered.size())), told);
    }
    Exchange exchange;
    EXPECT_EQ(exchange.to_server(asked, std::string::npos), sent);
    EXPECT_EQ(exchange.to_client(answered, std::string::npos), told);
}

TEST(TypeTranslator, HoldsNothingBackBetweenMessages) {
    Exchange exchange;
    const std::string parse = client(Parse{"s", "SELECT $1", {theirs}});
    for (std::size_t size = 1; size <= parse.size(); ++size) {
        Exchange one;
        const std::string out{
            text(one.translator.to_server(bytes(std::string_view{parse}.substr(0, size))))};
        EXPECT_GE(out.size() + 3, size);
        if (size == parse.size() || size == parse.size() - 5) {
            EXPECT_EQ(out.size(), size);
        }
    }
}

TEST(TypeTranslator, RemembersAStatementThatWasDescribedOnce) {
    Exchange exchange;
    exchange.to_server(client(Parse{"s", "SELECT", {}}, Describe{'S', "s"}));
    exchange.to_client(parsed + parameters({served + 1}) + description({served + 1}, 0) + ready);
    // As asyncpg does: never described again.
    EXPECT_EQ(exchange.to_server(client(bind_values("s", {moods(theirs)}), Execute{})),
              client(bind_values("s", {moods(served)}), Execute{}));
    EXPECT_EQ(exchange.to_client(bound + row({moods(served)}) + complete + ready),
              bound + row({moods(theirs)}) + complete + ready);
}

TEST(TypeTranslator, KnowsStatementsThatWereThereBefore) {
    Exchange exchange;
    exchange.translator.know({"s", "SELECT", {served + 2}, {{0, 23}, {0, served + 1}}});
    EXPECT_EQ(exchange.to_server(client(bind_values("s", {pair(theirs)}), Execute{})),
              client(bind_values("s", {pair(served)}), Execute{}));
    EXPECT_EQ(exchange.to_client(bound + row({be32(served), moods(served)}) + complete + ready),
              bound + row({be32(served), moods(theirs)}) + complete + ready);
}

TEST(TypeTranslator, LeavesTextAndForeignBytesAlone) {
    Exchange exchange;
    const std::vector<std::string> values{moods(theirs)};  // The Bind looks at it.
    Bind text_values = bind_values("s", values);
    text_values.formats = {0};
    text_values.result_formats = {};
    exchange.to_server(client(Parse{"s", "SELECT", {theirs + 1}}, Describe{'S', "s"}));
    exchange.to_client(parsed + parameters({served + 1}) + description({served + 1}, 0) + ready);
    EXPECT_EQ(exchange.to_server(client(text_values, Execute{})), client(text_values, Execute{}));
    const std::string answer = bound + row({moods(served)}) + complete + ready;
    EXPECT_EQ(exchange.to_client(answer), answer);
}

TEST(TypeTranslator, TellsTheAnswersOfAPipelineApart) {
    Exchange exchange;
    exchange.translator.know({"moods", "", {}, {{0, served + 1}}});
    exchange.translator.know({"bytes", "", {}, {{0, 17}}});
    exchange.to_server(client(bind_values("bytes", {}),
                              Execute{},
                              bind_values("moods", {}),
                              Execute{},
                              bind_values("bytes", {}),
                              Execute{}));
    EXPECT_EQ(
        exchange.to_client(bound + row({moods(served)}) + complete + bound + row({moods(served)}) +
                           complete + bound + row({moods(served)}) + complete + ready),
        bound + row({moods(served)}) + complete + bound + row({moods(theirs)}) + complete + bound +
            row({moods(served)}) + complete + ready);
}

TEST(TypeTranslator, StaysInStepAfterAnError) {
    Exchange exchange;
    exchange.translator.know({"moods", "", {}, {{0, served + 1}}});
    // The first is refused, what follows up to the Sync is not answered, and a statement of that
    // name is what it was.
    exchange.to_server(client(Parse{"x", "SELECT oops", {}},
                              Parse{"moods", "SELECT", {}},
                              bind_values("x", {}),
                              Execute{}));
    const std::string refused = message('E', "SERROR\0C42601\0\0"sv);
    EXPECT_EQ(exchange.to_client(refused + ready), refused + ready);
    exchange.to_server(client(bind_values("moods", {}), Execute{}));
    EXPECT_EQ(exchange.to_client(bound + row({moods(served)}) + complete + ready),
              bound + row({moods(theirs)}) + complete + ready);
}

TEST(TypeTranslator, IgnoresWhatTheServerDiscardsBeforeASyncThatIsStillToCome) {
    Exchange exchange;
    exchange.translator.know({"moods", "", {}, {{0, served + 1}}});
    std::string flushed;
    append(flushed, Parse{"x", "SELECT oops", {}});
    append_flush(flushed);
    exchange.to_server(flushed);
    exchange.to_client(message('E', "C42601\0\0"sv));
    exchange.to_server(client(Parse{"moods", "SELECT", {}}, Execute{}));
    exchange.to_client(ready);
    exchange.to_server(client(bind_values("moods", {}), Execute{}));
    EXPECT_EQ(exchange.to_client(bound + row({moods(served)}) + complete),
              bound + row({moods(theirs)}) + complete);
}

TEST(TypeTranslator, ComesInStepAfterASyncThatWasSwallowed) {
    Exchange exchange;
    exchange.translator.know({"moods", "", {}, {{0, served + 1}}});
    exchange.to_server(client(Bind{}, Execute{}));
    std::string second;
    append_sync(second);  // In COPY: swallowed.
    exchange.to_server(second);
    exchange.to_client(bound + complete + ready);
    exchange.to_server(client(bind_values("moods", {}), Execute{}));
    EXPECT_EQ(exchange.to_client(bound + row({moods(served)}) + complete + ready),
              bound + row({moods(theirs)}) + complete + ready);
}

TEST(TypeTranslator, ReadsRowsOfASimpleQuery) {
    Exchange exchange;
    std::string fetch;
    append(fetch, Query{"FETCH ALL FROM binary_cursor"});
    exchange.to_server(fetch);
    EXPECT_EQ(
        exchange.to_client(description({served + 1}, 1) + row({moods(served)}) + complete + ready),
        description({theirs + 1}, 1) + row({moods(theirs)}) + complete + ready);
}

TEST(TypeTranslator, LetsADriverLookUpTypesInTheCatalog) {
    Exchange exchange;
    const std::string ids = be32(1) + be32(0) + be32(26) + be32(1) + be32(1);
    const std::string lookup =
        "SELECT t.oid, typelem, typname FROM pg_catalog.pg_type t WHERE t.oid = ANY($1::oid[])";
    EXPECT_EQ(exchange.to_server(client(Parse{"", lookup, {1028}},
                                        bind_values("", {ids + sized(be32(theirs))}),
                                        Describe{'P', ""},
                                        Execute{})),
              client(Parse{"", lookup, {1028}},
                     bind_values("", {ids + sized(be32(served))}),
                     Describe{'P', ""},
                     Execute{}));
    EXPECT_EQ(exchange.to_client(parsed + bound + description({26, 23}, 1, 1247) +
                                 row({be32(served), be32(served)}) + complete + ready),
              parsed + bound + description({26, 23}, 1, 1247) + row({be32(theirs), be32(served)}) +
                  complete + ready);
    // The application's own oids are data.
    const std::string own = "SELECT picture FROM app.document";
    exchange.to_server(
        client(Parse{"", own, {}}, bind_values("", {}), Describe{'P', ""}, Execute{}));
    const std::string answer = parsed + bound + description({26}, 1, served + 100) +
                               row({be32(served)}) + complete + ready;
    EXPECT_EQ(exchange.to_client(answer), answer);
}

TEST(TypeTranslator, LetsPgjdbcLookUpATypeByAnInt4) {
    Exchange exchange;
    const std::string lookup =
        "SELECT n.nspname = ANY(current_schemas(true)), n.nspname, t.typname FROM "
        "pg_catalog.pg_type t "
        "JOIN pg_catalog.pg_namespace n ON t.typnamespace = n.oid WHERE t.oid = $1";
    EXPECT_EQ(exchange.to_server(
                  client(Parse{"", lookup, {23}}, bind_values("", {be32(theirs)}), Execute{})),
              client(Parse{"", lookup, {23}}, bind_values("", {be32(served)}), Execute{}));
}

TEST(TypeTranslator, ChangesNoNumberOfTheApplications) {
    for (const std::string& statement :
         {"UPDATE t SET ty = pg_typeof($2)::text WHERE id = $1"s,
          "SELECT * FROM t WHERE jpg_type = $1"s,
          "INSERT INTO t SELECT $1, oid FROM pg_catalog.pg_type"s,
          "DELETE FROM t USING pg_type p WHERE p.oid = t.ty AND t.id = $1"s,
          "SELECT t.id, p.typname FROM t JOIN pg_type p ON p.oid = t.ty WHERE t.id = $1"s,
          "SELECT t.id FROM t, pg_type p WHERE p.oid = $1"s,
          "SELECT keep($1) FROM pg_type"s,
          "WITH w AS (INSERT INTO t VALUES ($1)) SELECT 1 FROM pg_type"s,
          "SELECT $1::regtype::text"s}) {
        SCOPED_TRACE(statement);
        for (const std::uint32_t type : {23u, 26u}) {
            Exchange exchange;
            const std::string asked = client(Parse{"s", statement, {type}},
                                             bind_values("s", {be32(theirs)}),
                                             Describe{'P', ""},
                                             Execute{});
            EXPECT_EQ(exchange.to_server(asked), asked);
            const std::string answer = parsed + bound + description({23, 26}, 1) +
                                       row({be32(served), be32(served)}) + complete + ready;
            EXPECT_EQ(exchange.to_client(answer), answer);
            // Prepared before the session moved.
            exchange.translator.know({"k", statement, {type}, {{0, 23}, {0, 26}}});
            const std::string known = client(bind_values("k", {be32(theirs)}), Execute{});
            EXPECT_EQ(exchange.to_server(known), known);
        }
    }
}

TEST(TypeTranslator, ForgetsWhatTheServerForgets) {
    Exchange exchange;
    exchange.translator.know({"moods", "", {}, {{0, served + 1}}});
    std::string discard;
    append(discard, Query{"DISCARD ALL"});
    exchange.to_server(discard);
    exchange.to_client(message('C', "DISCARD ALL\0"sv) + ready);
    exchange.to_server(client(Parse{"moods", "SELECT", {}}, bind_values("moods", {}), Execute{}));
    const std::string answer = parsed + bound + row({moods(served)}) + complete + ready;
    EXPECT_EQ(exchange.to_client(answer), answer);
}

TEST(TypeTranslator, PassesMalformedMessagesAsTheyAre) {
    const std::string array = moods(theirs);
    const std::vector<std::string> values = {array.substr(0, 3),
                                             array.substr(0, 11),
                                             array.substr(0, 19),
                                             array.substr(0, array.size() - 1),
                                             be32(7) + array.substr(4),
                                             be32(0xffffffff) + array.substr(4),
                                             be32(1) + be32(0)};
    for (const std::string& value : values) {
        Exchange exchange;
        const std::string wire =
            client(Parse{"", "SELECT", {23, theirs + 1}}, bind_values("", {"x", value}), Execute{});
        const std::string out = exchange.to_server(wire, std::string::npos);
        EXPECT_EQ(out.size(), wire.size());
        // What comes after it is as it was.
        EXPECT_EQ(out.substr(out.size() - 14), wire.substr(wire.size() - 14));
    }
    for (const std::string& wire : {message('B', ""),
                                    message('B', "portal"),
                                    message('B', "\0\0\0\x01"sv),
                                    message('B', "\0\0\0\0\xff\xff\0\0"sv),
                                    message('P', "name"),
                                    message('P', "\0\0\xff\xff\0\0"sv),
                                    message('D', ""),
                                    message('E', ""),
                                    message('B', "\0\0\0\0\0\x01\0\0\xff\xff"sv),
                                    "Q\0\0\0\0"s,
                                    "P\0\0\0\x02"s}) {
        Exchange exchange;
        EXPECT_EQ(exchange.to_server(wire, std::string::npos), wire);
        std::string sync;
        append_sync(sync);
        EXPECT_EQ(exchange.to_server(sync), sync);
    }
    for (const std::string& wire : {message('T', ""),
                                    message('T', "\xff\xff"sv),
                                    message('t', "\xff\xff\0"sv),
                                    message('D', ""),
                                    message('Z', ""),
                                    message('C', "x")}) {
        Exchange exchange;
        EXPECT_EQ(exchange.to_client(wire, std::string::npos), wire);
        EXPECT_EQ(exchange.to_client(ready), ready);
    }
}

TEST(TypeTranslator, TranslatesAParseMessageThatWasKept) {
    const TypeTranslator translator{two_catalogs(), 0};
    std::string kept, there;
    append(kept, Parse{"", "SELECT $1", {theirs, 23}});
    append(there, Parse{"", "SELECT $1", {served, 23}});
    EXPECT_EQ(translator.parse_for_server(kept), there);
    for (const std::string& none : {""s, "P"s, kept.substr(0, 12)})
        EXPECT_EQ(translator.parse_for_server(none), none);
}

TEST(TypeTranslator, SaysWhenTooMuchIsUnderWay) {
    Exchange exchange;
    std::string executes;
    for (std::size_t i = 0; i < answers_awaited_max; ++i) append(executes, Execute{});
    EXPECT_FALSE(exchange.translator.full());
    exchange.to_server(executes);
    EXPECT_TRUE(exchange.translator.full());
    exchange.to_client(complete);
    EXPECT_FALSE(exchange.translator.full());
}

}  // namespace
}  // namespace segue::protocol::postgres
