#include "proxy/shadow.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/reply_digest.hpp"
#include "relay_rig.hpp"
#include "tests/protocol/two_catalogs.hpp"

namespace segue::proxy {
namespace {

using namespace std::chrono_literals;

const std::string answer = message('D', "\0\1\0\0\0\1a"sv) + complete("SELECT 1") + ready('I');
const std::string other_answer =
    message('D', "\0\1\0\0\0\1b"sv) + complete("SELECT 1") + ready('I');
const std::string opened = complete("BEGIN") + complete("SET") + message('D', "\0\0"sv) +
                           complete("SELECT 1") + ready('T');
const std::string ended = complete("ROLLBACK") + ready('I');

// The two sides never say the same.
struct UnequalTwin : backfill::Twin {
    Result<std::vector<Row>> query(Side, const std::string&, const Row&, std::size_t) override {
        return std::vector<Row>{};
    }
    Result<std::vector<Row>> ask(Side, const backfill::SessionRead&, std::size_t) override {
        return std::vector<Row>{};
    }
    Result<backfill::AnswerDigest> digest(Side side, const backfill::SessionRead&) override {
        return backfill::AnswerDigest{std::string{name(side)}, std::string{name(side)}};
    }
};

struct ShadowTest : testing::Test {
    Traffic traffic;
    Reads reads{traffic, [](Side) -> Result<backfill::postgres::LoadedCatalog> {
                    return Error{Errc::refused, "none"};
                }};
    Shadow shadow{[this] {
        ShadowPeers peers;
        peers.reads = &reads;
        peers.confirmed_for = 1h;
        peers.open_twin = [this](const std::string&,
                                 auto) -> Result<std::unique_ptr<backfill::Twin>> {
            if (!twins_wanted) return Error{Errc::closed, "none"};
            ++twins_opened;
            return std::unique_ptr<backfill::Twin>{std::make_unique<UnequalTwin>()};
        };
        return peers;
    }()};
    Pair follower;
    std::atomic<bool> twins_wanted = false;
    std::atomic<int> twins_opened = 0;

    void SetUp() override { traffic.shadow_percent = 100; }
    void TearDown() override { shadow.stop(); }

    ShadowJob job() const {
        protocol::postgres::ReplyReader reader;
        reader.update(bytes(answer));
        ShadowJob made;
        made.text = "SELECT a FROM t";
        made.request = query(made.text);
        made.identity = "ann";
        made.answer = reader.digest();
        return made;
    }
    // The follower says each reply once it has heard what it is to; returns everything it heard.
    std::string serve(const std::vector<std::pair<std::string, std::string>>& replies) {
        const auto deadline = std::chrono::steady_clock::now() + 30s;
        std::string heard;
        for (const auto& [request, reply] : replies) {
            while (heard.find(request) == std::string::npos) {
                heard += follower.test_end->heard();
                if (std::chrono::steady_clock::now() > deadline) return heard;
                std::this_thread::yield();
            }
            follower.test_end->say(reply);
        }
        return heard;
    }
    std::string serve(const std::string& reply) {
        return serve({{"SELECT 1", opened}, {"ROLLBACK", reply + ended}});
    }
    void give() {
        Backend backend;
        backend.transport = std::move(follower.relay_end);
        backend.side = Side::target;
        shadow.give("ann", std::move(backend));
    }
    // What the workers count next.
    ShadowReport after(std::uint64_t outcomes) const {
        const auto deadline = std::chrono::steady_clock::now() + 30s;
        for (;;) {
            const ShadowReport report = reads.shadow_report();
            if (report.compared + report.timed + report.shed >= outcomes ||
                std::chrono::steady_clock::now() > deadline)
                return report;
            std::this_thread::yield();
        }
    }
};

TEST_F(ShadowTest, ExecutesTheRequestInAReadOnlyTransactionAndComparesTheAnswer) {
    give();
    shadow.start();
    shadow.push(job());
    const std::string heard = serve(answer);
    const ShadowReport report = after(1);
    EXPECT_EQ(report.equal, 1u);
    ASSERT_EQ(report.statements.size(), 1u);
    EXPECT_EQ(report.statements.front().statement, "SELECT a FROM t");
    EXPECT_EQ(report.statements.front().follower.count, 1u);
    EXPECT_EQ(report.statements.front().follower_rows, 1.0);
    EXPECT_NE(heard.find("BEGIN TRANSACTION READ ONLY"), std::string::npos);
    EXPECT_LT(heard.find("BEGIN"), heard.find(query("SELECT a FROM t")));
    EXPECT_LT(heard.find(query("SELECT a FROM t")), heard.find("ROLLBACK"));
}

TEST_F(ShadowTest, UnderstandsAFollowerThatNumberedTheTypesDifferently) {
    using namespace protocol::postgres;
    const auto rows = [](std::uint32_t base, char status) {
        return message('2', "") + message('D', be16(1) + sized(moods(base))) +
               complete("SELECT 1") + ready(status);
    };
    Backend backend;
    backend.transport = std::move(follower.relay_end);
    backend.side = Side::target;
    backend.types = std::make_unique<TypeTranslator>(two_catalogs(), index(Side::source));
    shadow.give("ann", std::move(backend));
    ReplyReader reader;
    reader.update(bytes(rows(first_base, 'I')));
    ShadowJob prepared = job();
    prepared.answer = reader.digest();
    prepared.request.clear();
    append(prepared.parse, Parse{"p", "SELECT moods FROM t WHERE mood = $1", {first_base}});
    append(prepared.request, Bind{"", "p", {}, {"ok"}, {1}});
    append(prepared.request, Execute{});
    append_sync(prepared.request);
    const std::string column =
        "moods\0"s + be32(0) + be16(0) + be32(second_base + 1) + be16(0xffff) + be32(0) + be16(0);
    const std::string described =
        message('t', be16(1) + be32(second_base)) + message('T', be16(1) + column);
    shadow.start();
    shadow.push(prepared);
    const std::string heard =
        serve({{"SELECT 1", opened + message('3', "") + message('1', "") + described + ready('T')},
               {"ROLLBACK", rows(second_base, 'T') + ended}});
    EXPECT_EQ(after(1).equal, 1u);
    EXPECT_NE(heard.find(be16(1) + be32(second_base)), std::string::npos)
        << "it is asked in its own numbers";
}

// `shadow 0`, a change of authority, `finish`: the follower is left alone at once.
TEST_F(ShadowTest, WhatWaitsIsShedOnceReadsAreNotShadowedAnyMore) {
    give();
    for (int i = 0; i < 3; ++i) shadow.push(job());
    traffic.shadow_percent = 0;
    shadow.start();
    EXPECT_EQ(after(3).shed, 3u);
    traffic.shadow_percent = 1;
    shadow.push(job());
    EXPECT_EQ(serve(answer).find("BEGIN"), 5u) << "nothing has been asked before";
    EXPECT_EQ(after(4).equal, 1u);
}

// After a change of authority, shadowed again: what the authority of before has answered would be
// asked, and confirmed, with the sides swapped.
TEST_F(ShadowTest, WhatAnotherAuthorityHasAnsweredIsShed) {
    give();
    for (int i = 0; i < 3; ++i) shadow.push(job());
    traffic.authority = Side::target;
    shadow.start();
    EXPECT_EQ(after(3).shed, 3u);
    traffic.authority = Side::source;
    shadow.push(job());
    EXPECT_EQ(serve(answer).find("BEGIN"), 5u) << "nothing has been asked before";
    EXPECT_EQ(after(4).equal, 1u);
}

// Nothing is reported that no twin has shown.
TEST_F(ShadowTest, ADifferenceThatNobodyCanConfirmIsUnconfirmed) {
    give();
    shadow.start();
    shadow.push(job());
    serve(other_answer);
    const ShadowReport report = after(1);
    EXPECT_EQ(report.unconfirmed, 1u);
    EXPECT_EQ(report.different, 0u);
}

// It would keep the comparing from all others; it is known, and its tables are looked at.
TEST_F(ShadowTest, AStatementThatWasConfirmedToDifferIsNotAskedAgainForAWhile) {
    twins_wanted = true;
    give();
    shadow.start();
    const auto differs = [&](const std::string& text, bool asked_again) {
        ShadowJob one = job();
        one.text = text;
        one.context = std::make_shared<const backfill::postgres::PlanContext>(
            backfill::postgres::PlanContext{"web", {}});
        const ShadowReport before = reads.shadow_report();
        shadow.push(one);
        std::vector<std::pair<std::string, std::string>> replies = {
            {"SELECT 1", opened}, {"ROLLBACK", other_answer + ended}};
        if (asked_again) replies.emplace_back("search_path", complete("SELECT 0") + ready('I'));
        serve(replies);
        return after(before.compared + before.timed + before.shed + 1);
    };
    EXPECT_EQ(differs("SELECT a FROM t WHERE id = 1", true).different, 1u);
    const ShadowReport again = differs("SELECT a FROM t WHERE id = 2", false);
    EXPECT_EQ(again.different, 1u) << "nobody has shown that this one does";
    EXPECT_EQ(again.unconfirmed, 1u);
    EXPECT_EQ(twins_opened, 1);
    EXPECT_EQ(differs("SELECT b FROM t", true).different, 2u) << "another one is asked";
    EXPECT_EQ(twins_opened, 2);
    EXPECT_EQ(reads.shadow_report().statements.size(), 2u);
    traffic.authority = Side::target;
    EXPECT_TRUE(reads.shadow_report().statements.empty()) << "compared with another authority";
}

TEST_F(ShadowTest, WhatCannotBeComparedIsTimed) {
    give();
    shadow.start();
    ShadowJob clock = job();
    clock.comparable = false;
    shadow.push(clock);
    serve(other_answer);
    ShadowReport report = after(1);
    EXPECT_EQ(report.timed, 1u);
    EXPECT_EQ(report.compared + report.shed, 0u);
    EXPECT_EQ(report.statements.front().follower.count, 1u);
    // So slow that the follower gave it up: no comparison, but no secret either.
    shadow.push(job());
    const std::string given_up =
        protocol::postgres::encode_error_response({"ERROR", "57014", "canceled"}) + ready('E');
    serve(given_up);
    report = after(2);
    EXPECT_EQ(report.timed, 2u);
    EXPECT_EQ(report.statements.front().follower.count, 2u);
}

TEST_F(ShadowTest, AStatementThatTheFollowerCannotPrepareIsNoTimeOfItsOwn) {
    using namespace protocol::postgres;
    give();
    shadow.start();
    ShadowJob prepared = job();
    prepared.request.clear();
    append(prepared.parse, Parse{"p", "SELECT a FROM t", {}});
    append(prepared.request, Bind{"", "p", {}, {}, {}});
    append(prepared.request, Execute{});
    append_sync(prepared.request);
    shadow.push(prepared);
    const std::string refused = encode_error_response({"ERROR", "42P01", "none"}) + ready('E');
    const std::string heard =
        serve({{"SELECT 1", opened + message('3', "") + refused}, {"ROLLBACK", ended}});
    EXPECT_EQ(heard.find(prepared.request), std::string::npos);
    const ShadowReport report = after(1);
    EXPECT_EQ(report.unconfirmed, 1u);
    EXPECT_EQ(report.statements.front().follower.count, 0u);
}

TEST_F(ShadowTest, AFollowerThatIsLostOrThatNobodyIsLoggedInToIsSpared) {
    give();
    follower.test_end->end_sending();
    shadow.start();
    shadow.push(job());
    EXPECT_EQ(after(1).shed, 1u);
    EXPECT_TRUE(shadow.wants_connection("ann", Side::target));
    shadow.push(job());
    EXPECT_EQ(after(2).shed, 2u);
}

TEST_F(ShadowTest, AFullQueueShedsAndNobodyWaits) {
    for (std::size_t i = 0; i < shadow_queue_max + 3; ++i) shadow.push(job());
    EXPECT_EQ(reads.shadow_report().shed, 3u);
    EXPECT_EQ(reads.shadow_report().compared, 0u);
}

TEST_F(ShadowTest, AConnectionServesItsOwnKindAndSideOnly) {
    EXPECT_TRUE(shadow.wants_connection("ann", Side::target));
    give();
    EXPECT_FALSE(shadow.wants_connection("ann", Side::target));
    EXPECT_TRUE(shadow.wants_connection("ann", Side::source));
    EXPECT_TRUE(shadow.wants_connection("bob", Side::target));
}

TEST(Identity, IsAllThatAReadDependsOnButNotTheApplicationsName) {
    protocol::postgres::SessionState state;
    const StartupParameters ann = {{"user", "ann"}, {"database", "shop"}},
                            bob = {{"user", "bob"}, {"database", "shop"}};
    const std::string identity = identity_of(ann, state, Side::source);
    EXPECT_NE(identity, identity_of(bob, state, Side::source));
    EXPECT_EQ(identity,
              identity_of({{"user", "ann"}, {"database", "shop"}, {"application_name", "x"}},
                          state,
                          Side::source));
    EXPECT_NE(identity, identity_of(ann, state, Side::target))
        << "its client knows other type OIDs";
    state.role = "clerk";
    EXPECT_NE(identity, identity_of(ann, state, Side::source));
}

}  // namespace
}  // namespace segue::proxy
