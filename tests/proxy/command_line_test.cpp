#include "proxy/command_line.hpp"

#include <gtest/gtest.h>

#include <sstream>
#include <vector>

#include "proxy/help_format.hpp"

namespace segue::proxy {
namespace {

std::variant<Invocation, int> parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "segue");
    return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

int code_of(const std::vector<const char*>& arguments) {
    const auto parsed = parse(arguments);
    return parsed.index() == 1 ? std::get<int>(parsed) : 0;
}

const std::vector<const char*> verbs = {"run",
                                        "check",
                                        "start",
                                        "pause",
                                        "resume",
                                        "status",
                                        "mirror",
                                        "shadow",
                                        "shift",
                                        "statements",
                                        "verify",
                                        "repair",
                                        "rehearse",
                                        "cutover",
                                        "rollback",
                                        "finish",
                                        "auto",
                                        "explain"};

TEST(CommandLine, HelpOfTheProgramAndOfEveryVerbFitsItsWidth) {
    std::vector<std::vector<const char*>> calls = {{"--help"}};
    for (const char* verb : verbs) calls.push_back({verb, "--help"});
    for (const auto& call : calls) {
        SCOPED_TRACE(call.front());
        testing::internal::CaptureStdout();
        EXPECT_EQ(code_of(call), 0);
        std::istringstream help{testing::internal::GetCapturedStdout()};
        std::size_t lines = 0;
        for (std::string line; std::getline(help, line); ++lines)
            EXPECT_LE(line.size(), help_width) << line;
        EXPECT_GT(lines, 5u);
        if (call.size() == 2) {
            EXPECT_LT(lines, 24u) << "what holds for all verbs is not repeated for each";
        }
    }
}

TEST(CommandLine, WrapsAtWordsAndKeepsLineEnds) {
    const std::string word(60, 'x');
    EXPECT_EQ(wrapped(word + " " + word, 0, 2), word + "\n  " + word);
    EXPECT_EQ(wrapped("a b\n\nc", 0, 2), "a b\n\nc");
    EXPECT_EQ(wrapped(std::string(150, 'y') + " z", 10, 2), std::string(150, 'y') + "\n  z");
    EXPECT_EQ(wrapped("", 0, 0), "");
}

TEST(CommandLine, ConfigAndJsonStandBeforeOrAfterTheVerb) {
    for (const std::vector<const char*>& call :
         {std::vector<const char*>{"--config", "f", "--json", "shadow", "0.5"},
          {"shadow", "0.5", "--config", "f", "--json"},
          {"--json", "shadow", "--config", "f", "0.5"}}) {
        const auto parsed = parse(call);
        ASSERT_EQ(parsed.index(), 0u);
        const auto& invocation = std::get<Invocation>(parsed);
        EXPECT_EQ(invocation.verb, "shadow");
        EXPECT_EQ(invocation.config_file, "f");
        EXPECT_TRUE(invocation.json);
        EXPECT_EQ(invocation.arguments["percent"], 0.5);
    }
}

TEST(CommandLine, ExplainNeedsNoConfiguration) {
    const auto parsed = parse({"explain", "wal_level"});
    ASSERT_EQ(parsed.index(), 0u);
    EXPECT_EQ(std::get<Invocation>(parsed).arguments["code"], "wal_level");
    ASSERT_EQ(parse({"explain"}).index(), 0u);
}

TEST(CommandLine, MisuseIsTwo) {
    const std::vector<std::vector<const char*>> misuses = {
        {},
        {"status"},
        {"--config", "f"},
        {"--config", "f", "fly"},
        {"--config", "f", "shadow"},
        {"--config", "f", "shadow", "101"},
        {"--config", "f", "shadow", "-1"},
        {"--config", "f", "shadow", "nan"},
        {"--config", "f", "shadow", "some"},
        {"--config", "f", "mirror", "off"},
        {"--config", "f", "cutover", "--deadline", "0"},
        {"--config", "f", "cutover", "--deadline", "soon"},
        {"--config", "f", "status", "--what"},
        {"--config", "f", "status", "start"},
        {"--config"},
    };
    for (const auto& misuse : misuses) {
        SCOPED_TRACE(testing::PrintToString(misuse));
        testing::internal::CaptureStderr();
        EXPECT_EQ(code_of(misuse), 2);
        EXPECT_FALSE(testing::internal::GetCapturedStderr().empty());
    }
}

}  // namespace
}  // namespace segue::proxy
