#include "proxy/certificate.hpp"

#include <gtest/gtest.h>

namespace segue::proxy {
namespace {

using backfill::Verification;
using nlohmann::json;

Verification equal_one() {
    Verification one;
    one.id = "5";
    one.asked_by = "me@here";
    one.build = "a build";
    one.verdict = backfill::Verdict::equal;
    one.begun_at = backfill::WallTime{std::chrono::seconds{1000}};
    one.ended_at = backfill::WallTime{std::chrono::seconds{2000}};
    backfill::VerifiedTable& table = one.tables[{"public", "t"}];
    table.verdict = backfill::TableVerdict::equal;
    table.sums[0] = table.sums[1] = {7, 8, 9};
    table.from[0] = Position{0x16B374D848};
    table.begun_at = one.begun_at;
    table.ended_at = one.ended_at;
    table.sql = "SELECT 1";
    one.excluded[{"public", "left"}] = "unlogged";
    return one;
}

TEST(Certificate, SaysWhatWasComparedWhereAndWhatWasNot) {
    const json document = certificate(equal_one(), {}, {"segue", "id"});
    EXPECT_EQ(document["verdict"], "equal");
    EXPECT_EQ(document["rows_compared"], 7);
    EXPECT_EQ(document["tables"][0]["source"]["hash"], "8:9");
    EXPECT_EQ(document["tables"][0]["source"]["from"], "16/B374D848");
    EXPECT_EQ(document["excluded"][0]["reason"], "unlogged");
    EXPECT_EQ(document["every_row_verified_since"], "1970-01-01T00:16:40.000Z");
    const std::string text = certificate_text(document);
    EXPECT_NE(text.find("EQUAL"), std::string::npos);
    EXPECT_NE(text.find("public.left: unlogged"), std::string::npos) << text;
}

TEST(Certificate, IsTheSameAgainAndShowsEveryChange) {
    const json document = certificate(equal_one(), {}, {"segue", "id"});
    EXPECT_EQ(document, certificate(equal_one(), {}, {"segue", "id"}));
    // However it was written down.
    EXPECT_TRUE(check_certificate(json::parse(document.dump(7))));
    for (const json::json_pointer& changed : {"/rows_compared"_json_pointer,
                                              "/tables/0/source/hash"_json_pointer,
                                              "/excluded/0/reason"_json_pointer,
                                              "/digest/value"_json_pointer}) {
        json forged = document;
        forged[changed] = "another";
        EXPECT_FALSE(check_certificate(forged)) << changed.to_string();
    }
    json without = document;
    without.erase("digest");
    EXPECT_FALSE(check_certificate(without));
    EXPECT_FALSE(check_certificate(json::array()));
    EXPECT_FALSE(check_certificate(json{{"document", 5}, {"digest", 5}}));
}

// Of another version, or made by somebody else with a digest that fits.
TEST(Certificate, IsShownWhateverItLacks) {
    const json whole = certificate(equal_one(), {}, {"segue", "id"});
    for (const auto& [member, value] : whole.items()) {
        for (const json& instead :
             {json(nullptr), json(5), json::array({1, json::array()}), json::object()}) {
            json other = whole;
            other[member] = instead;
            EXPECT_NE(certificate_text(other).find("CERTIFICATE"), std::string::npos) << member;
        }
        json without = whole;
        without.erase(member);
        EXPECT_NE(certificate_text(without).find("CERTIFICATE"), std::string::npos) << member;
    }
    EXPECT_NE(certificate_text({{"document", "segue certificate"}}).find("NOT EQUAL"),
              std::string::npos);
    EXPECT_NE(certificate_text(json::array()).find("NOT EQUAL"), std::string::npos);
}

TEST(Certificate, TextsAreBoundedAndSayWhereTheRestIs) {
    Verification one = equal_one();
    one.verdict = backfill::Verdict::different;
    backfill::VerifiedTable& table = one.tables.begin()->second;
    table.verdict = backfill::TableVerdict::different;
    table.differences = 5000;
    for (int i = 0; i < 5000; ++i)
        table.listed.push_back({"public.t", "(" + std::to_string(i) + ")", "missing"});
    const std::string text = verification_text(one);
    EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 60);
    EXPECT_NE(text.find("--certificate"), std::string::npos);
    const json details = verification_details(one, {}, {"segue", "id"});
    EXPECT_EQ(details["first_differences"].size(), differences_detailed_max);
    EXPECT_EQ(details["certificate"]["differences_listed"].size(), 5000u);
}

TEST(RepairText, SaysOfASequenceThatItWasBehind) {
    backfill::RepairReport report;
    report.tables.resize(2);
    report.tables[0].schema = report.tables[1].schema = "app";
    report.tables[0].name = "t_id_seq";
    report.tables[1].name = "t";
    report.tables[1].changed = report.rows = 1;
    const std::string text = repair_text(report);
    EXPECT_NE(text.find("app.t_id_seq: behind, set ahead\n"), std::string::npos) << text;
    EXPECT_NE(text.find("app.t: 0 missing, 0 extra, 1 changed\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace segue::proxy
