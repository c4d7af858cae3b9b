#include "protocol/postgres/acknowledgement.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace segue::protocol::postgres {
namespace {

using namespace std::string_literals;

std::string message(char tag, const std::string& body) {
    return std::string{tag} + "\0\0\0"s + static_cast<char>(body.size() + 4) + body;
}
std::string complete(const std::string& tag) { return message('C', tag + '\0'); }
std::string ready(char status) { return message('Z', std::string(1, status)); }
std::string query() { return message('Q', "q\0"s); }
std::string execute() {
    return message('B', "\0\0\0\0\0\0\0\0"s) + message('E', "\0\0\0\0\0"s) + message('S', "");
}

// Where in `answer` the first acknowledgement begins, when it comes in slices of `slice_size`; its
// size when there is none.
std::size_t first_acknowledgement(Boundary boundary,
                                  const std::string& answer,
                                  std::size_t slice_size) {
    Acknowledgements acknowledgements{boundary};
    // As when the gate has been closed for long: the session's place is known.
    for (std::size_t at = 0; at < answer.size(); at += slice_size) {
        const Bytes slice = bytes(std::string_view{answer}.substr(at, slice_size));
        std::size_t first = slice.size();
        boundary.server(slice, [&](const ServerEvent& event) {
            if (acknowledgements.sees(event, slice, boundary.answers_extended()) &&
                event.start < first)
                first = event.start;
        });
        if (first < slice.size()) return at + first;
    }
    return answer.size();
}

Boundary asked(const std::string& before, const std::string& answer, const std::string& request) {
    Boundary boundary;
    boundary.client(bytes(before));
    boundary.server(bytes(answer));
    boundary.client(bytes(request));
    return boundary;
}

TEST(Acknowledgement, IsTheFirstThatMayTellOfACommit) {
    // A gate that has been closed since the session was quiet knows of its block.
    struct Row {
        const char* what;
        bool extended;
        std::vector<std::string> answer;
        std::size_t first;  // Index into `answer`; its size: none.
    };
    const std::vector<Row> rows = {
        {"autocommit, simple", false, {message('D', "row"), complete("INSERT 0 1"), ready('I')}, 1},
        {"autocommit, extended", true, {message('2', ""), complete("INSERT 0 1"), ready('I')}, 2},
        {"a read is held too: it may write through a function",
         false,
         {complete("SELECT 1"), ready('I')},
         0},
        {"BEGIN is none", false, {complete("BEGIN"), ready('T')}, 2},
        {"BEGIN and more in one Query",
         false,
         {complete("BEGIN"), complete("INSERT 0 1"), ready('T')},
         3},
        {"a whole transaction in one Query",
         false,
         {complete("BEGIN"),
          complete("INSERT 0 1"),
          complete("COMMIT"),
          complete("SELECT 1"),
          ready('I')},
         2},
        {"two-phase", true, {complete("COMMIT PREPARED"), ready('I')}, 0},
        {"an error", false, {message('E', "SERROR\0\0"s), ready('I')}, 1},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        std::string answer;
        std::size_t expected = 0;
        for (std::size_t i = 0; i < row.answer.size(); ++i) {
            if (i == row.first) expected = answer.size();
            answer += row.answer[i];
        }
        if (row.first == row.answer.size()) expected = answer.size();
        // The session was quiet, outside a block, when its gate was closed.
        Boundary boundary;
        boundary.client(bytes(row.extended ? execute() : query()));
        EXPECT_EQ(first_acknowledgement(boundary, answer, answer.size()), expected);
    }
}

TEST(Acknowledgement, InsideABlockOnlyItsEnd) {
    const auto boundary = asked(query(), complete("BEGIN") + ready('T'), "");
    Acknowledgements acknowledgements{boundary};
    Boundary session = boundary;
    session.client(bytes(query()));
    const std::string inside = complete("INSERT 0 1") + ready('T');
    session.server(bytes(inside), [&](const ServerEvent& event) {
        EXPECT_FALSE(acknowledgements.sees(event, bytes(inside), session.answers_extended()));
    });
    session.client(bytes(query()));
    const std::string end = complete("COMMIT") + ready('I');
    bool seen = false;
    session.server(bytes(end), [&](const ServerEvent& event) {
        EXPECT_TRUE(acknowledgements.sees(event, bytes(end), session.answers_extended()));
        seen = true;
    });
    EXPECT_TRUE(seen);
}

TEST(Acknowledgement, InPiecesIsNeverLaterThanWhole) {
    for (const bool extended : {false, true}) {
        const std::string answer = message('D', "row") + complete("INSERT 0 1") + ready('I');
        Boundary boundary;
        boundary.client(bytes(extended ? execute() : query()));
        const std::size_t whole = first_acknowledgement(boundary, answer, answer.size());
        for (std::size_t size = 1; size < answer.size(); ++size) {
            SCOPED_TRACE(size);
            // A head that is not complete tells nothing, so up to four of its bytes may go out.
            EXPECT_LE(first_acknowledgement(boundary, answer, size), whole + 4);
        }
    }
}

}  // namespace
}  // namespace segue::protocol::postgres
