#include "proxy/first_line.hpp"

#include <gtest/gtest.h>

#include "proxy/admin.hpp"
#include "tests/support/process.hpp"

namespace segue::proxy {
namespace {

struct FirstLine : testing::Test {
    const std::filesystem::path folder = test::make_folder("segue-first-line");
    ~FirstLine() override { std::filesystem::remove_all(folder); }

    std::string file(const std::string& text) const {
        test::write_file(folder / "secret", text);
        return folder / "secret";
    }
    static std::string why(const std::string& path) {
        const auto line = first_line(path);
        return line ? "read: " + *line : line.error().detail;
    }
};

TEST_F(FirstLine, IsReadUpToItsLimitOrSaysWhyItIsNot) {
    EXPECT_EQ(why(file("secret\nnot this\n")), "read: secret");
    EXPECT_EQ(why(file("secret")), "read: secret");
    EXPECT_EQ(why(file("")), "its first line is empty");
    EXPECT_EQ(why(file("\nsecret")), "its first line is empty");
    EXPECT_EQ(why(file(std::string(first_line_max, 'x') + "\n")),
              "read: " + std::string(first_line_max, 'x'));
    EXPECT_EQ(why(file(std::string(first_line_max, 'x'))),
              "read: " + std::string(first_line_max, 'x'));
    EXPECT_EQ(why(file(std::string(first_line_max + 1, 'x') + "\n")),
              "its first line is longer than 4096 bytes");
    EXPECT_EQ(why(folder / "none"), "No such file or directory");
    EXPECT_EQ(why(folder), "Is a directory");
}

TEST_F(FirstLine, OfATokenFileTheReasonIsTold) {
    const auto token = read_token("token_file", folder / "none");
    ASSERT_FALSE(token);
    EXPECT_NE(token.error().detail.find("No such file or directory"), std::string::npos)
        << token.error().detail;
    EXPECT_NE(token.error().detail.find("[admin] token_file " + (folder / "none").string()),
              std::string::npos);
}

}  // namespace
}  // namespace segue::proxy
