// The operator's commands against a `segue run` of another build: what is known is said.

#include "proxy/verbs.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <functional>
#include <thread>

#include "proxy/http.hpp"
#include "tests/support/process.hpp"

namespace segue::proxy {
namespace {

using nlohmann::json;

class VerbsTest : public testing::Test {
protected:
    void SetUp() override {
        config.admin = {"", 0, folder / "admin"};
        auto listening =
            HttpServer::listen(context, config.admin, [this](const HttpRequest& asked) {
                return HttpAnswer{status_of(asked), "application/json", body_of(asked)};
            });
        ASSERT_TRUE(listening) << listening.error().detail;
        server = std::move(*listening);
        thread = std::thread{[this] { context.run(); }};
        std::filesystem::path file = folder / "plan.toml";
        test::write_file(file, "[plan]\nname = \"move\"\n[[step]]\ndo = \"verify\"\n");
        plan = file.string();
    }
    void TearDown() override {
        context.stop();
        if (thread.joinable()) thread.join();
        server.reset();
        std::filesystem::remove_all(folder);
    }
    unsigned status_of(const HttpRequest& asked) const {
        const bool known = asked.method == "POST" || asked.path == "/auto" ||
                           asked.path == "/status" || asked.path == "/statements";
        return known ? asked.method == "POST" ? accepts_with.load() : 200U : 404;
    }
    std::string body_of(const HttpRequest& asked) {
        if (asked.method == "POST") return "{}";
        if (asked.path != "/auto") return other_answer;
        ++looks;
        return plan_at(looks).dump();
    }
    int run(std::vector<std::string> words, const json& arguments = json::object()) {
        Invocation invocation;
        invocation.verb = words.front();
        invocation.arguments = arguments;
        if (words.size() > 1) invocation.arguments["what"] = words[1];
        testing::internal::CaptureStdout();
        testing::internal::CaptureStderr();
        const int code = run_verb(invocation, config);
        out = testing::internal::GetCapturedStdout();
        err = testing::internal::GetCapturedStderr();
        return code;
    }
    static json told(const std::string& state,
                     const std::string& reason,
                     const std::string& of = "move") {
        return {{"plan", of},
                {"state", state},
                {"step", "soak"},
                {"outcome", "hold"},
                {"reason", reason}};
    }

    const std::filesystem::path folder = [] {
        std::string name = std::filesystem::temp_directory_path() / "segue-verbs-XXXXXX";
        return std::filesystem::path{mkdtemp(name.data())};
    }();
    Config config;
    boost::asio::io_context context;
    std::unique_ptr<HttpServer> server;
    std::thread thread;
    std::string plan, other_answer = "{}";
    std::atomic<unsigned> accepts_with{202};
    int looks = 0;
    std::function<json(int look)> plan_at = [](int) { return json{}; };
    std::string out, err;
};

// It says that it has taken it, and no number to ask with.
TEST_F(VerbsTest, AnOlderSegueThatDoesNotTellHowARequestEndsIsLookedAt) {
    for (const unsigned accepted : {202U, 200U}) {
        SCOPED_TRACE(accepted);
        accepts_with = accepted;
        looks = 0;
        plan_at = [](int look) {
            return look < 2 ? told("running", "3 of 5") : told("paused", "paused by ann");
        };
        EXPECT_EQ(run({"auto", "pause"}), 0) << err;
        EXPECT_EQ(out, "move: paused, soak: paused by ann\n");
        plan_at = [](int) { return json{}; };
        EXPECT_EQ(run({"auto", "stop"}), 0) << err;
        EXPECT_EQ(out, "no plan is under way\n");
    }
}

TEST_F(VerbsTest, APlanThatAnOlderSegueHasTakenIsFollowed) {
    plan_at = [](int look) {
        return look < 2 ? told("paused", "the one before") : told("done", "the plan is through");
    };
    EXPECT_EQ(run({"auto", plan}), 0) << err;
    plan_at = [](int) { return told("done", ""); };
    EXPECT_EQ(run({"auto", "status"}), 0) << err;
    EXPECT_EQ(out, "move: the plan is through\n");
}

// Another plan that goes on meanwhile is not the one that was posted.
TEST_F(VerbsTest, APlanIsTakenOnceItIsThatPlanThatAnOlderSegueTellsOf) {
    plan_at = [](int look) {
        if (look < 2) return told("running", "1 of 5", "other");
        if (look < 3) return told("paused", "2 of 5", "other");
        if (look < 4) return told("unknown", "until the target answers", "move");
        return told("done", "the plan is through");
    };
    EXPECT_EQ(run({"auto", plan}), 0) << err;
    // The same one again, under way.
    looks = 0;
    plan_at = [](int) { return told("running", "3 of 5"); };
    EXPECT_EQ(run({"auto", plan}, {{"detach", true}}), 0) << err;
}

TEST_F(VerbsTest, AnAnswerThatIsNotUnderstoodIsSaidToBe) {
    plan_at = [](int) { return json{{"state", 7}}; };
    EXPECT_EQ(run({"auto", "status"}), 0);
    EXPECT_EQ(run({"auto", plan}), 1);
    EXPECT_NE(err.find("is of another build"), std::string::npos) << err;
    other_answer = R"([{"statement": "SELECT 1"}])";
    EXPECT_EQ(run({"statements"}), 1);
    EXPECT_NE(err.find("is of another build"), std::string::npos) << err;
    EXPECT_EQ(run({"pause"}), 1);
    EXPECT_NE(err.find("outcome unknown, see status"), std::string::npos) << err;
}

}  // namespace
}  // namespace segue::proxy
