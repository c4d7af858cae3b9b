#include "backfill/postgres/dump_script.hpp"

#include <gtest/gtest.h>

namespace segue::backfill::postgres {
namespace {

constexpr const char* list = R"(;
; Archive created at 2026-11-21 11:24:25 UTC
;
221; 1255 16422 FUNCTION public f() me
214; 1259 16415 TABLE public t me
3224; 2606 16421 CONSTRAINT public t t_pkey me
3230; 0 0 INDEX ATTACH public p1 pkey an owner
10; 2617 1 OPERATOR public = me
11; 2617 2 OPERATOR public = me
3375; 6104 16438 PUBLICATION - pub me
3376; 6106 16439 PUBLICATION TABLE public pub t me
3; 3079 16384 EXTENSION - hstore
4; 0 0 COMMENT - EXTENSION hstore
40; 2620 5 TRIGGER public t segue_fence me
41; 2620 6 TRIGGER public t mine me
42; 3466 7 EVENT TRIGGER - segue_fence_ddl me
)";

TEST(PostgresDumpScript, ReadsTheListAndLeavesBehindWhatIsNotMoved) {
    auto entries = parse_dump_list(list);
    ASSERT_EQ(entries.size(), 13u);
    EXPECT_EQ(entries[2],
              (DumpEntry{3224,
                         2606,
                         16421,
                         "CONSTRAINT public t t_pkey me",
                         "3224; 2606 16421 CONSTRAINT public t t_pkey me"}));
    EXPECT_EQ(entries[5].what, "OPERATOR public = me#2");
    std::erase_if(entries, is_left_behind);
    std::vector<int> ids;
    for (const DumpEntry& entry : entries) ids.push_back(entry.id);
    EXPECT_EQ(ids, (std::vector<int>{221, 214, 3224, 3230, 10, 11, 41}));
}

TEST(PostgresDumpScript, KnowsTheEntriesOfKeys) {
    KeyIndexes keys;
    keys.indexes = {16415};
    keys.constraints = {16421};
    keys.names = {"public p1 pkey"};
    std::vector<int> ids;
    for (const DumpEntry& entry : parse_dump_list(list)) {
        if (is_key_entry(entry, keys)) ids.push_back(entry.id);
    }
    EXPECT_EQ(ids, (std::vector<int>{214, 3224, 3230}));
}

DumpEntry entry(int id) {
    DumpEntry entry;
    entry.id = id;
    return entry;
}

std::string heading(int id) {
    return "--\n-- TOC entry " + std::to_string(id) + " (class 1259 OID 1)\n-- Name: x\n--\n\n";
}

TEST(PostgresDumpScript, CutsOnePieceForEachEntryInTheScriptsOwnOrder) {
    const std::string script =
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\nSET a = 0;\n"
        "SELECT pg_catalog.set_config('search_path', '', false);\n\n" +
        heading(2) +
        "CREATE FUNCTION f() AS $$\n-- TOC entry 9 (class 1 OID 1)\n"
        "\\unrestrict xyz\n$$;\n\n" +
        heading(1) + "CREATE TABLE t ();\n\n\n\\unrestrict abc\n\n";
    const auto cut = cut_script(script, {entry(1), entry(2)});
    ASSERT_TRUE(cut) << cut.error().detail;
    EXPECT_EQ(cut->settings,
              (std::vector<std::string>{
                  "SET a = 0;", "SELECT pg_catalog.set_config('search_path', '', false);"}));
    ASSERT_EQ(cut->pieces.size(), 2u);
    EXPECT_EQ(cut->pieces[0].entry_id, 2);
    EXPECT_NE(cut->pieces[0].sql.find("TOC entry 9"), std::string::npos);
    EXPECT_NE(cut->pieces[0].sql.find("\\unrestrict xyz"), std::string::npos);
    EXPECT_EQ(cut->pieces[1].sql.find("unrestrict"), std::string::npos);
    EXPECT_FALSE(cut_script(script, {entry(1), entry(3)}));
}

}  // namespace
}  // namespace segue::backfill::postgres
