#include "protocol/postgres/prepare_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::protocol::postgres {
namespace {

using testing::ElementsAre;

TEST(PrepareText, SplitsOnlyAtTopLevelSemicolons) {
    EXPECT_THAT(split_statements("a;b", false), ElementsAre("a", "b"));
    EXPECT_THAT(split_statements("a; -- done;\n", false), ElementsAre("a"));
    EXPECT_THAT(split_statements("select ';', \";\"; b", false),
                ElementsAre("select ';', \";\"", " b"));
    EXPECT_THAT(split_statements("$$;$$;$a$;$$;$a$;$1;x", false),
                ElementsAre("$$;$$", "$a$;$$;$a$", "$1", "x"));
    EXPECT_THAT(split_statements("/* ; /* ; */ ; */a;b", false),
                ElementsAre("/* ; /* ; */ ; */a", "b"));
    EXPECT_THAT(split_statements("'it''s;';e'\\';';b", false),
                ElementsAre("'it''s;'", "e'\\';'", "b"));
    EXPECT_THAT(split_statements("'\\';';b", true), ElementsAre("'\\';'", "b"));
    EXPECT_THAT(split_statements("a$b$;c$b$", false),
                ElementsAre("a$b$", "c$b$"));  // No dollar quote inside a word.
    EXPECT_THAT(split_statements("'open; end", false), ElementsAre("'open; end"));
    EXPECT_THAT(split_statements("", false), ElementsAre());
}

TEST(PrepareText, FindsTheLastPrepareOfThatName) {
    const char* text =
        "BEGIN; PREPARE a AS SELECT 1; /* PREPARE b */ prepare \"B\"(int) AS SELECT ';'; "
        "DEALLOCATE a; PREPARE A AS SELECT 2";
    EXPECT_EQ(find_prepare(text, "a", false), " PREPARE A AS SELECT 2");
    EXPECT_EQ(find_prepare(text, "B", false), " /* PREPARE b */ prepare \"B\"(int) AS SELECT ';'");
    EXPECT_EQ(find_prepare(text, "b", false), std::nullopt);
    EXPECT_EQ(find_prepare("PREPARE TRANSACTION 'x'", "transaction", false),
              "PREPARE TRANSACTION 'x'");
    EXPECT_EQ(find_prepare("prepare \"we\"\"ird\" as select 1", "we\"ird", false),
              "prepare \"we\"\"ird\" as select 1");
    EXPECT_EQ(find_prepare("; prepare p as select 1 ; -- done\n", "p", false),
              "; prepare p as select 1 ; -- done\n")
        << "alone: as it was written";
    const std::string long_name(70, 'n');
    EXPECT_TRUE(find_prepare("PREPARE " + long_name + " AS SELECT 1", std::string(63, 'n'), false));
}

}  // namespace
}  // namespace segue::protocol::postgres
