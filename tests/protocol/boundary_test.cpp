#include "protocol/postgres/boundary.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "protocol/postgres/messages_client.hpp"

namespace segue::protocol::postgres {
namespace {

using namespace std::string_view_literals;

std::string message(char tag, std::string_view body = {}) {
    std::string output;
    append_message(output, tag, body);
    return output;
}
std::string messages(std::string_view tags) {
    std::string output;
    for (const char tag : tags) output += message(tag, tag == 'Q' ? "select 1\0"sv : "xyz"sv);
    return output;
}
std::string ready(char status = 'I') { return message('Z', {&status, 1}); }

// A conversation: lower-level bytes of one side after the other. "c:" client, "s:" server.
struct Line {
    char who;
    std::string bytes;
};
using Script = std::vector<Line>;

Boundary play(const Script& script, std::size_t slice_size) {
    Boundary boundary;
    for (const Line& line : script) {
        for (std::size_t at = 0; at < line.bytes.size(); at += slice_size) {
            const Bytes slice = bytes(std::string_view{line.bytes}.substr(at, slice_size));
            if (line.who == 'c') boundary.client(slice);
            if (line.who == 's') boundary.server(slice);
        }
    }
    return boundary;
}

struct Case {
    const char* what;
    Script script;
    bool at_boundary;
    std::uint32_t outstanding = 0;
    bool lost = false;
};

std::vector<Case> cases() {
    return {
        {"nothing yet", {}, true},
        {"a Query runs", {{'c', messages("Q")}}, false, 1},
        {"a Query is answered", {{'c', messages("Q")}, {'s', messages("TDC") + ready()}}, true},
        {"in a transaction", {{'c', messages("Q")}, {'s', messages("C") + ready('T')}}, false},
        {"in a failed one", {{'c', messages("Q")}, {'s', messages("E") + ready('E')}}, false},
        {"a FunctionCall", {{'c', messages("F")}, {'s', messages("V") + ready()}}, true},
        {"two Syncs in flight",
         {{'c', messages("PBESPBES")}, {'s', messages("12C") + ready()}},
         false,
         1},
        {"both answered",
         {{'c', messages("PBESPBES")},
          {'s', messages("12C") + ready() + messages("12C") + ready()}},
         true},
        {"Flush without Sync", {{'c', messages("PDH")}, {'s', messages("1tT")}}, false},
        {"its Sync is answered",
         {{'c', messages("PDH")}, {'s', messages("1tT")}, {'c', messages("S")}, {'s', ready()}},
         true},
        {"half of a server's message", {{'s', message('N', "hello").substr(0, 7)}}, false},
        {"half of a client's message", {{'c', message('Q', "hello").substr(0, 3)}}, false},
        {"notices while idle", {{'s', messages("NAS")}}, true},
        {"an error is skipped to Sync",
         {{'c', messages("PBES")}, {'s', messages("E") + ready()}},
         true},
        {"an error before its Sync drops a Query",
         {{'c', messages("PH")}, {'s', messages("E")}, {'c', messages("Q")}},
         false,
         0},
        {"and the Sync is answered once",
         {{'c', messages("PH")}, {'s', messages("E")}, {'c', messages("QS")}, {'s', ready()}},
         true},
        {"an error that may be the Query's or what came before it",
         {{'c', messages("PBEQ")}, {'s', messages("E")}},
         false,
         1,
         true},
        {"COPY IN by Query",
         {{'c', messages("Q")}, {'s', messages("G")}, {'c', messages("dd")}},
         false,
         1},
        {"and its end",
         {{'c', messages("Q")},
          {'s', messages("G")},
          {'c', messages("ddc")},
          {'s', messages("C") + ready()}},
         true},
        {"COPY IN by Query, sent without waiting",
         {{'c', messages("QddcQ")}, {'s', messages("GC") + ready()}},
         false,
         1},
        {"both answered",
         {{'c', messages("QddcQ")}, {'s', messages("GC") + ready() + messages("C") + ready()}},
         true},
        {"COPY that failed before it began, its data ignored",
         {{'c', messages("Qddc")}, {'s', messages("E") + ready()}},
         true},
        {"and the next COPY is told from it, all in flight",
         {{'c', messages("QddcQddc")}, {'s', messages("E") + ready() + messages("G")}},
         false,
         1},
        {"COPY by Execute that failed before it began: no Sync is swallowed",
         {{'c', messages("PBESdcS")}, {'s', messages("12E") + ready()}},
         false,
         1},
        {"COPY IN by Execute, one Sync at the end",
         {{'c', messages("PBE")},
          {'s', messages("12G")},
          {'c', messages("ddcS")},
          {'s', messages("C") + ready()}},
         true},
        {"the early Sync is swallowed",
         {{'c', messages("PBES")}, {'s', messages("12G")}, {'c', messages("dd")}},
         false,
         0},
        {"so that two Syncs have one answer",
         {{'c', messages("PBES")},
          {'s', messages("12G")},
          {'c', messages("ddcS")},
          {'s', messages("C") + ready()}},
         true},
        {"also when all was sent without waiting",
         {{'c', messages("PBESdcS")}, {'s', messages("12GC") + ready()}},
         true},
        {"two COPYs in one pipeline",
         {{'c', messages("PBEdcPBEdcS")}, {'s', messages("12GC12GC") + ready()}},
         true},
        {"a Query, then a COPY by Execute, all in flight",
         {{'c', messages("QPBEdcS")}, {'s', messages("C") + ready() + messages("12GC") + ready()}},
         true},
        {"an error in COPY IN",
         {{'c', messages("PBE")},
          {'s', messages("12G")},
          {'c', messages("d")},
          {'s', messages("E")}},
         false,
         0},
        {"is skipped to Sync",
         {{'c', messages("PBE")},
          {'s', messages("12G")},
          {'c', messages("d")},
          {'s', messages("E")},
          {'c', messages("dcS")},
          {'s', ready()}},
         true},
        {"an error in COPY IN after an early Sync cannot be counted",
         {{'c', messages("PBES")},
          {'s', messages("12G")},
          {'c', messages("d")},
          {'s', messages("E")}},
         false,
         0,
         true},
        {"COPY IN by a Query behind a prepared statement without Sync",
         {{'c', messages("PDH")},
          {'s', messages("1tT")},
          {'c', messages("Q")},
          {'s', messages("G")},
          {'c', messages("ddc")},
          {'s', messages("C") + ready()}},
         true},
        {"a COPY that may be the Execute's or the Query's",
         {{'c', messages("PBEQ")}, {'s', messages("12G")}},
         false,
         1,
         true},
        {"COPY OUT", {{'c', messages("Q")}, {'s', messages("Hdd")}}, false, 1},
        {"and its end", {{'c', messages("Q")}, {'s', messages("HddcC") + ready()}}, true},
        {"COPY BOTH is never at a boundary",
         {{'c', messages("Q")},
          {'s', messages("W")},
          {'c', messages("c")},
          {'s', messages("cC") + ready()}},
         false},
        {"an answer that nobody asked for", {{'s', ready()}}, false, 0, true},
        {"Terminate", {{'c', messages("X")}}, false},
    };
}

TEST(Boundary, CountsEveryConversationExactlyAtEverySplit) {
    for (const Case& each : cases()) {
        for (const std::size_t size : {1u, 2u, 3u, 5u, 7u, 64u, 4096u}) {
            SCOPED_TRACE(std::string{each.what} + ", slices of " + std::to_string(size));
            const Boundary boundary = play(each.script, size);
            EXPECT_EQ(boundary.at_boundary(), each.at_boundary);
            EXPECT_EQ(boundary.replies_outstanding(), each.outstanding);
            EXPECT_EQ(boundary.lost(), each.lost);
        }
    }
}

TEST(Boundary, CountsAMillionPipelinedSyncsAndAlternatingKinds) {
    Boundary boundary;
    for (int i = 0; i < 1'000'000; ++i) boundary.client(bytes("S\0\0\0\4"sv));
    EXPECT_EQ(boundary.replies_outstanding(), 1'000'000u);
    for (int i = 0; i < 1'000'000; ++i) boundary.server(bytes("Z\0\0\0\5I"sv));
    EXPECT_TRUE(boundary.at_boundary());
    // More runs than are kept apart: still exact, because no COPY IN asks which is which.
    for (int i = 0; i < 100; ++i) boundary.client(bytes(messages("QPBES")));
    EXPECT_EQ(boundary.replies_outstanding(), 200u);
    for (int i = 0; i < 200; ++i) boundary.server(bytes(ready()));
    EXPECT_TRUE(boundary.at_boundary());
}

TEST(Boundary, NeverWaitsForABodyThatItDoesNotNeed) {
    Boundary boundary;
    boundary.client(
        bytes("Q\x7f\xff\xff\xff"sv));  // Two gigabytes: nothing is allocated, nothing is believed.
    EXPECT_FALSE(boundary.at_boundary());
    EXPECT_FALSE(boundary.client_between_messages());
    boundary.client(bytes(std::string(100, 'x')));
    EXPECT_EQ(boundary.replies_outstanding(), 1u);
}

TEST(Boundary, CutsAfterTheNextMessageThatWillBeAnswered) {
    const std::string unit = messages("PBES");
    const std::string slice = unit + messages("Q");
    for (std::size_t forwarded = 0; forwarded < unit.size(); ++forwarded) {
        SCOPED_TRACE(forwarded);
        Boundary boundary;
        boundary.client(bytes(std::string_view{slice}.substr(0, forwarded)));
        EXPECT_EQ(boundary.client_cut(bytes(std::string_view{slice}.substr(forwarded))),
                  unit.size() - forwarded);
    }
    const Boundary fresh;
    EXPECT_EQ(fresh.client_cut(bytes(messages("PBEH"))),
              messages("PBEH").size());  // Nothing to wait for in it.
    const std::string query = messages("Q");
    EXPECT_EQ(fresh.client_cut(bytes(query + query)), query.size());
}

TEST(Boundary, DoesNotCutAtASyncThatTheServerSwallows) {
    Boundary boundary;
    boundary.client(bytes(messages("PBE")));
    boundary.server(bytes(messages("12G")));
    const std::string rest = messages("SddcS");
    EXPECT_EQ(boundary.client_cut(bytes(rest)), rest.size());
    EXPECT_TRUE(boundary.needs_client());
}

TEST(Boundary, TellsAHoldWhenTheClientIsNeeded) {
    Boundary boundary;
    EXPECT_FALSE(boundary.needs_client());  // At a boundary it waits.
    boundary.client(bytes(messages("Q")));
    EXPECT_FALSE(boundary.needs_client());  // The server owes an answer.
    boundary.server(bytes(ready('T')));
    EXPECT_TRUE(boundary.needs_client());  // Only the client can end its transaction.
    boundary.client(bytes(messages("PDH")));
    EXPECT_TRUE(boundary.needs_client());  // Flush: no ReadyForQuery will come.
}

TEST(Boundary, TellsWhereServerMessagesBeginAndEnd) {
    const std::string before = messages("TD");
    const std::string slice = before + message('C', "SELECT 1\0"sv) + ready('T') + messages("N");
    Boundary boundary;
    boundary.client(bytes(messages("Q")));
    std::vector<ServerEvent> events;
    boundary.server(bytes(slice), [&events](const ServerEvent& event) { events.push_back(event); });
    ASSERT_EQ(events.size(), 2u);
    EXPECT_EQ(events[0].tag, 'C');
    EXPECT_EQ(events[0].start, before.size());
    EXPECT_EQ(events[1].tag, 'Z');
    EXPECT_EQ(events[1].start, events[0].end);
    EXPECT_EQ(events[1].end, events[1].start + 6);
    EXPECT_EQ(events[1].status, 'T');
    EXPECT_TRUE(events[1].complete);
}

TEST(Boundary, GivesStatementsInPiecesThatAddUp) {
    const std::string stream =
        messages("S") + message('Q', "select 'a long one'\0"sv) + messages("P");
    for (std::size_t size = 1; size < stream.size(); ++size) {
        SCOPED_TRACE(size);
        Boundary boundary;
        std::string body;
        int firsts = 0, lasts = 0;
        for (std::size_t at = 0; at < stream.size(); at += size) {
            boundary.client(bytes(std::string_view{stream}.substr(at, size)),
                            [&](const Piece& piece) {
                                if (piece.tag != 'Q') return;
                                firsts += piece.first ? 1 : 0;
                                lasts += piece.last ? 1 : 0;
                                body += text(piece.body);
                            });
        }
        EXPECT_EQ(body, "select 'a long one'\0"sv);
        EXPECT_EQ(firsts, 1);
        EXPECT_EQ(lasts, 1);
    }
}

}  // namespace
}  // namespace segue::protocol::postgres
