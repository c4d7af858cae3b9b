#include "protocol/postgres/statement_hints.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "protocol/postgres/messages_client.hpp"

namespace segue::protocol::postgres {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string query(std::string_view statement) {
    std::string output;
    append(output, Query{statement});
    return output;
}
std::string parse(std::string_view name, std::string_view statement) {
    std::string output;
    append(output, Parse{name, statement, {23}});
    return output;
}

StateHints after(const std::string& stream, std::size_t slice_size = 1u << 20) {
    Boundary boundary;
    StateHints hints;
    for (std::size_t at = 0; at < stream.size(); at += slice_size) {
        boundary.client(bytes(std::string_view{stream}.substr(at, slice_size)),
                        [&](const Piece& piece) { hints.see(piece); });
    }
    return hints;
}

TEST(StateHints, LearnsTheNamesOfCustomSettings) {
    const struct {
        const char* statement;
        const char* name;
    } rows[] = {
        {"SET my.tenant = '7'", "my.tenant"},
        {"set session My.Tenant to 7", "my.tenant"},
        {"SET LOCAL my.tenant=7", "my.tenant"},
        {"begin;set local  my . tenant = 7", "my.tenant"},
        {"SET /* why */ my.tenant = 1", "my.tenant"},
        {"SET -- why\n my.tenant = 1", "my.tenant"},
        {"SET \"my.tenant\" = 1", "my.tenant"},
        {"SET \"My\".\"Tenant\" = 1", "my.tenant"},
        {"select set_config('my.tenant', $1, false)", "my.tenant"},
        {"select pg_catalog.SET_CONFIG ( 'My.Tenant', '1', true)", "my.tenant"},
        {"SET a.b.c = 1", "a.b.c"},
        {"select set_config('my.tenant'::text, 'x', false)", "my.tenant"},
        // Set where it is not seen, in a function, but read here.
        {"select current_setting('My.Tenant')", "my.tenant"},
        {"select * from t where id = pg_catalog.current_setting ( 'my.tenant' , true)::int",
         "my.tenant"},
    };
    for (const auto& row : rows) {
        SCOPED_TRACE(row.statement);
        EXPECT_THAT(after(query(row.statement)).custom_settings(), ElementsAre(row.name));
        EXPECT_THAT(after(parse("", row.statement)).custom_settings(), ElementsAre(row.name));
        EXPECT_FALSE(after(query(row.statement)).custom_settings_opaque());
        for (const std::size_t size : {1u, 3u, 8u}) {
            EXPECT_THAT(after(query(row.statement), size).custom_settings(), ElementsAre(row.name))
                << size;
        }
    }
}

TEST(StateHints, LearnsNothingFromOtherStatements) {
    for (const char* statement : {"SELECT 1",
                                  "SET search_path = a, b",
                                  "SET ROLE x",
                                  "UPDATE t SET a = b.c FROM b",
                                  "SELECT set_config('work_mem', '1', false)",
                                  "SELECT 'set_config'",
                                  "SELECT current_setting('work_mem')",
                                  "SELECT current_setting($1)",
                                  // Whatever it is, it ends with its transaction.
                                  "SELECT set_config($1, $2, true)",
                                  "SELECT set_config(lower($1), 'a,b)', TRUE ), 1",
                                  "RESET ALL",
                                  "INSERT INTO settings VALUES (1.5)",
                                  "select offset.a, asset.b"}) {
        SCOPED_TRACE(statement);
        const StateHints hints = after(query(statement));
        EXPECT_THAT(hints.custom_settings(), IsEmpty());
        EXPECT_FALSE(hints.custom_settings_opaque());
        EXPECT_EQ(hints.sequence_uses(), 0u);
        EXPECT_FALSE(hints.advisory_used());
    }
}

TEST(StateHints, SaysWhenANameCannotBeKnown) {
    EXPECT_TRUE(after(parse("", "select set_config($1, $2, false)")).custom_settings_opaque());
    for (const char* statement : {"select set_config('my.' || $1, $2, false)",
                                  "select set_config($1, $2, $3)",
                                  "select set_config($1, ', true)', false)",
                                  "select set_config($1, E'\\', true)', false)",
                                  "select set_config($1, $$', true)$$, false)",
                                  "select set_config($1, /* ', true) */ $2, false)",
                                  "select set_config($1, $2, true or $3)",
                                  "select set_config($1, $2, true"}) {
        SCOPED_TRACE(statement);
        EXPECT_TRUE(after(query(statement)).custom_settings_opaque());
    }
    EXPECT_TRUE(after(query("SET U&\"my\\002etenant\" = 1")).custom_settings_opaque());
    std::string many;
    for (std::size_t i = 0; i <= StateHints::custom_settings_max; ++i)
        many += query("SET a.b" + std::to_string(i) + " = 1");
    EXPECT_TRUE(after(many).custom_settings_opaque());
    EXPECT_EQ(after(many).custom_settings().size(), StateHints::custom_settings_max);
    StateHints reader;
    for (std::size_t i = 0; i <= StateHints::custom_settings_max; ++i)
        reader.scan("select current_setting('a.b" + std::to_string(i) + "')");
    EXPECT_FALSE(reader.custom_settings_opaque()) << "reading sets nothing";
    EXPECT_EQ(reader.custom_settings().size(), StateHints::custom_settings_max);
}

TEST(StateHints, AskForNamesThatAreKnownFromElsewhere) {
    StateHints hints = after(query("SET my.tenant = 1"));
    hints.also_ask_for({"my.other", "my.tenant"});
    EXPECT_THAT(hints.custom_settings(), ElementsAre("my.tenant", "my.other"));
}

TEST(StateHints, CountsUsesOfTheLastSequenceValue) {
    EXPECT_EQ(after(query("select currval('s'); SELECT LASTVAL()")).sequence_uses(), 2u);
    EXPECT_FALSE(after(query("select lastval()")).sequence_use_prepared());
    EXPECT_TRUE(after(parse("s1", "select lastval()")).sequence_use_prepared());
    EXPECT_TRUE(after(query("PREPARE p AS select lastval()")).sequence_use_prepared());
    EXPECT_TRUE(after(query("select pg_try_advisory_lock(1)")).advisory_used());
}

TEST(StateHints, KeepsTheLastUnnamedParseUntilAQueryDestroysIt) {
    const std::string first = parse("", "select 1"), second = parse("", "select 2");
    for (const std::size_t size : {1u, 4u, 4096u}) {
        EXPECT_EQ(after(first + second, size).unnamed_parse(), second);
        EXPECT_EQ(after(first + parse("named", "select 3"), size).unnamed_parse(), first);
        EXPECT_EQ(after(first + query("select 4"), size).unnamed_parse(), "");
    }
}

TEST(StateHints, GivesUpAnUnnamedStatementAboveTheLimitButStillScansIt) {
    const std::string large =
        parse("",
              "select '" + std::string(StateHints::unnamed_parse_size_max * 3, 'x') +
                  "'; SET my.tenant = 1");
    for (const std::size_t size : {4096u, 65536u, 1u << 20}) {
        SCOPED_TRACE(size);
        const StateHints hints = after(large, size);
        EXPECT_TRUE(hints.unnamed_too_large());
        EXPECT_EQ(hints.unnamed_parse(), "");
        EXPECT_THAT(hints.custom_settings(), ElementsAre("my.tenant"));
        EXPECT_FALSE(after(large + parse("", "select 1"), size).unnamed_too_large());
    }
}

}  // namespace
}  // namespace segue::protocol::postgres
