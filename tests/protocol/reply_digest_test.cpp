#include "protocol/postgres/reply_digest.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace segue::protocol::postgres {
namespace {

using namespace std::string_literals;

std::string message(char tag, const std::string& body) {
    std::string result(1, tag);
    ByteWriter{result}.big_endian(static_cast<std::int32_t>(body.size() + 4));
    return result + body;
}

std::string description(const std::string& name,
                        std::uint32_t table,
                        std::uint32_t type,
                        std::int16_t format = 0) {
    std::string body;
    ByteWriter writer{body};
    writer.big_endian<std::int16_t>(1);
    writer.zero_terminated(name);
    writer.big_endian(table);
    writer.big_endian<std::int16_t>(1);
    writer.big_endian(type);
    writer.big_endian<std::int16_t>(4);
    writer.big_endian<std::int32_t>(-1);
    writer.big_endian(format);
    return message('T', body);
}

std::string row(const std::string& value) {
    std::string body;
    ByteWriter writer{body};
    writer.big_endian<std::int16_t>(1);
    writer.big_endian(static_cast<std::int32_t>(value.size()));
    writer.raw(value);
    return message('D', body);
}

std::string reply(const std::vector<std::string>& values,
                  std::uint32_t table = 16400,
                  std::uint32_t type = 23) {
    std::string result = description("a", table, type);
    for (const std::string& value : values) result += row(value);
    return result + message('C', "SELECT "s + std::to_string(values.size()) + '\0') +
           message('Z', "I");
}

ReplyDigest digest(const std::string& bytes_received) {
    ReplyReader reader;
    EXPECT_EQ(reader.update(bytes(bytes_received)), bytes_received.size());
    EXPECT_TRUE(reader.finished());
    return reader.digest();
}

TEST(ReplyDigest, EverySplitGivesTheSameDigest) {
    const std::string whole =
        message('1', "") + message('2', "") + reply({"1", "", "a longer value than sixteen bytes"});
    const ReplyDigest expected = digest(whole);
    EXPECT_EQ(expected.rows, 3u);
    EXPECT_EQ(expected.outcome, "SELECT 3");
    for (std::size_t first = 0; first <= whole.size(); ++first) {
        ReplyReader reader;
        reader.update(bytes(whole).first(first));
        EXPECT_EQ(reader.finished(), first == whole.size());
        reader.update(bytes(whole).subspan(first));
        ASSERT_EQ(reader.digest(), expected) << first;
    }
    ReplyReader one_by_one;
    for (const char& c : whole) one_by_one.update(bytes({&c, 1}));
    EXPECT_EQ(one_by_one.digest(), expected);
}

TEST(ReplyDigest, TakesNothingBeyondItsOwnReadyForQuery) {
    const std::string first = reply({"1"});
    ReplyReader reader;
    EXPECT_EQ(reader.update(bytes(first + reply({"2"}))), first.size());
    EXPECT_EQ(reader.update(bytes("more")), 0u);
    EXPECT_EQ(reader.digest(), digest(first));
    EXPECT_EQ(reader.status(), 'I');
    EXPECT_EQ(reader.column_types(), std::vector<std::uint32_t>{23});
}

TEST(ReplyDigest, KeepsOrderAndMultisetApart) {
    const ReplyDigest one = digest(reply({"1", "2", "3"})), other = digest(reply({"3", "1", "2"}));
    EXPECT_NE(one.ordered, other.ordered);
    EXPECT_EQ(one.sum, other.sum);
    EXPECT_EQ(one.exclusive, other.exclusive);
    // Pairs of equal rows vanish from the xor, triples do not vanish from the sum.
    const ReplyDigest twice = digest(reply({"1", "1", "3"})),
                      mixed = digest(reply({"2", "2", "3"}));
    EXPECT_EQ(twice.exclusive, mixed.exclusive);
    EXPECT_NE(twice.sum, mixed.sum);
}

TEST(ReplyDigest, BordersOfRowsAndValuesCount) {
    EXPECT_NE(digest(reply({"12", "3"})).ordered, digest(reply({"1", "23"})).ordered);
    EXPECT_NE(digest(reply({""})).sum, digest(reply({std::string(1, '\0')})).sum);
}

TEST(ReplyDigest, LeavesOutWhatBelongsToOneServer) {
    EXPECT_EQ(digest(reply({"1"}, 16400, 23)), digest(reply({"1"}, 99999, 23)));  // Table.
    EXPECT_EQ(digest(reply({"x"}, 0, 16999)), digest(reply({"x"}, 0, 17999)));    // User type.
    EXPECT_NE(digest(reply({"1"}, 0, 23)).shape,
              digest(reply({"1"}, 0, 20)).shape);  // Built-in type.
    const std::string tail = message('C', "SELECT 0\0"s) + message('Z', "I");
    EXPECT_NE(digest(description("a", 0, 23) + tail).shape,
              digest(description("b", 0, 23) + tail).shape);
    EXPECT_NE(digest(description("a", 0, 23, 0) + tail).shape,
              digest(description("a", 0, 23, 1) + tail).shape);
    const std::string notice = message('N', "SNOTICE\0\0"s), setting = message('S', "a\0b\0"s);
    EXPECT_EQ(digest(notice + setting + reply({"1"})), digest(reply({"1"})));
}

TEST(ReplyDigest, AnErrorIsItsCode) {
    const auto error = [](const std::string& code, const std::string& text) {
        return message('E', "SERROR\0C"s + code + '\0' + "M" + text + '\0' + '\0') +
               message('Z', "I");
    };
    EXPECT_EQ(digest(error("22012", "division by zero")).error_code, "22012");
    EXPECT_EQ(digest(error("22012", "a")), digest(error("22012", "b")));
    EXPECT_NE(digest(error("22012", "a")), digest(error("22003", "a")));
}

TEST(ReplyDigest, SaysWhatItDoesNotCover) {
    const std::string end = message('Z', "I");
    EXPECT_FALSE(
        digest(message('H', "\0\0\0"s) + message('d', "x") + message('c', "") + end).comparable);
    EXPECT_FALSE(
        digest(message('T', std::string(reply_header_size_max + 1, 'x')) + end).comparable);
    EXPECT_FALSE(digest(message('T', "\0\x05"s) + end).comparable);  // Ends before its columns.
    EXPECT_TRUE(digest(message('D', std::string(reply_header_size_max * 2, 'x')) + end).comparable);
    // A length below four cannot be; it is taken for an empty message, and nothing is read out of
    // bounds.
    ReplyReader reader;
    reader.update(bytes("D\0\0\0\0Z\0\0\0\x05I"s));
    EXPECT_TRUE(reader.finished());
}

}  // namespace
}  // namespace segue::protocol::postgres
