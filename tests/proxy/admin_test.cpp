#include "proxy/admin.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace segue::proxy {
namespace {

class NoWork : public OperatorWork {
public:
    bool recover() override { return true; }
    VerbResult run(const std::string&, const nlohmann::json&) override {
        return VerbResult::done("");
    }
    bool tick() override { return true; }
};

class AdminTest : public testing::Test {
protected:
    Admin admin(AdminTokens tokens) {
        return Admin{{[] { return StatusInputs{}; },
                      [] {
                          return std::vector<RecentEvent>{{{}, "verb", "cutover: done", false}};
                      },
                      {},
                      [] {
                          StatementReport one;
                          one.rows.emplace();
                          one.rows->state = RowsState::different;
                          one.rows->differences = 1;
                          one.rows->first = {{"app.t", "a@b.org", "changed"}};
                          return std::vector{one};
                      }},
                     operator_,
                     std::move(tokens)};
    }
    static HttpRequest request(const std::string& method, const std::string& path) {
        HttpRequest request;
        request.method = method;
        request.path = path;
        request.host = "127.0.0.1:6480";
        request.content_type = "application/json";
        return request;
    }

private:
    NoWork work_;
    Operator operator_{work_};
};

TEST_F(AdminTest, WithoutATokenWhoeverReachesTheAddressOperates) {
    Admin open = admin({});
    EXPECT_EQ(open.answer(request("GET", "/status")).status, 200U);
    EXPECT_EQ(open.answer(request("POST", "/verb/pause")).status, 202U);
}

TEST_F(AdminTest, WithoutATokenOnlyUnderANameOfThisMachine) {
    Admin open = admin({});
    const auto asked_as = [&](const std::string& host) {
        HttpRequest asked = request("GET", "/status");
        asked.host = host;
        return open.answer(asked).status;
    };
    for (const char* own : {"localhost", "localhost:6480", "127.0.0.1", "[::1]:6480", ""})
        EXPECT_EQ(asked_as(own), 200U) << own;
    for (const char* foreign : {"rebound.example:6480", "10.0.0.7", "[fe80::1]:6480", "["})
        EXPECT_EQ(asked_as(foreign), 421U) << foreign;
}

TEST_F(AdminTest, ATokenIsAskedForEverythingButThePage) {
    Admin guarded = admin({"operate", ""});
    HttpRequest asked = request("GET", "/status");
    asked.host = "segue.example";
    EXPECT_EQ(guarded.answer(asked).status, 401U);
    asked.authorization = "Bearer operatX";
    EXPECT_EQ(guarded.answer(asked).status, 401U);
    asked.authorization = "Bearer ";  // There is no token to read with.
    EXPECT_EQ(guarded.answer(asked).status, 401U);
    asked.authorization = "Bearer operate";
    EXPECT_EQ(guarded.answer(asked).status, 200U);
    const HttpAnswer page = guarded.answer(request("GET", "/"));
    EXPECT_EQ(page.status, 200U);
    EXPECT_TRUE(page.content_type.starts_with("text/html"));
    EXPECT_NE(page.body.find("<title>Segue</title>"), std::string::npos);
}

TEST_F(AdminTest, TheTokenToReadWithOnlyReads) {
    Admin guarded = admin({"operate", "read"});
    HttpRequest asked = request("GET", "/events");
    asked.authorization = "Bearer read";
    const HttpAnswer events = guarded.answer(asked);
    EXPECT_EQ(events.status, 200U);
    EXPECT_EQ(nlohmann::json::parse(events.body)[0]["detail"], "cutover: done");
    asked = request("POST", "/verb/cutover");
    asked.authorization = "Bearer read";
    EXPECT_EQ(guarded.answer(asked).status, 403U);
    asked.authorization = "Bearer operate";
    EXPECT_EQ(guarded.answer(asked).status, 202U);
}

// They are values of the application's.
TEST_F(AdminTest, KeysOfRowsAreToldToWhomMayOperate) {
    Admin guarded = admin({"operate", "read"});
    HttpRequest asked = request("GET", "/statements");
    asked.authorization = "Bearer operate";
    const auto told = nlohmann::json::parse(guarded.answer(asked).body);
    EXPECT_EQ(told[0]["rows"]["first"][0]["key"], "a@b.org");
    EXPECT_EQ(told[0]["rows"]["text"], "1 row differs: changed app.t key a@b.org");
    asked.authorization = "Bearer read";
    const HttpAnswer hidden = guarded.answer(asked);
    EXPECT_EQ(hidden.body.find("b.org"), std::string::npos) << hidden.body;
    EXPECT_NE(hidden.body.find("1 row differs: changed app.t"), std::string::npos) << hidden.body;
    EXPECT_NE(admin({}).answer(request("GET", "/statements")).body.find("b.org"),
              std::string::npos);
    // The answer of `segue statements`, say.
    HttpRequest result = request("GET", "/verb/1");
    result.authorization = "Bearer read";
    EXPECT_EQ(guarded.answer(result).status, 403);
    result.authorization = "Bearer operate";
    EXPECT_EQ(guarded.answer(result).status, 404) << "there is none yet";
}

}  // namespace
}  // namespace segue::proxy
