#include "proxy/move_session.hpp"

#include <gtest/gtest.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <thread>

#include "protocol/postgres/framer.hpp"
#include "relay_rig.hpp"
#include "tests/protocol/two_catalogs.hpp"

namespace segue::proxy {
namespace {

using protocol::postgres::be16;
using protocol::postgres::be32;

std::string response(char tag, const std::string& severity, const std::string& sqlstate) {
    return message(tag, "S" + severity + "\0V"s + severity + "\0C"s + sqlstate + "\0Mwhy\0\0"s);
}

struct MoveSession : testing::Test {
    Pair pair;
    boost::asio::io_context context;
    MoveDeadline in_time = std::chrono::steady_clock::now() + std::chrono::seconds{10};

    // What the server has said already is all that it says.
    Probed probe() {
        std::optional<Probed> result;
        boost::asio::co_spawn(context, probe_into(result), [](std::exception_ptr) {});
        context.run();
        return std::move(*result);
    }
    boost::asio::awaitable<void> probe_into(std::optional<Probed>& result) {
        const protocol::postgres::StateHints hints;
        result.emplace(co_await probe_state(pair.relay_end, hints, in_time));
    }
};

TEST_F(MoveSession, AProbePassesOnTheLastWordsOfTheServer) {
    const std::string notification = message('A', "\0\0\0\1ch\0\0"s);
    const std::string crash = response('N', "WARNING", "57P02");
    const std::string farewell = response('E', "FATAL", "57P05");
    pair.test_end->say(notification + response('N', "NOTICE", "00000") + crash + farewell);
    pair.test_end->end_sending();
    const Probed probed = probe();
    ASSERT_FALSE(probed.state);
    EXPECT_EQ(probed.state.error().code, Errc::closed);
    EXPECT_EQ(probed.state.error().sqlstate, "57P05");
    EXPECT_EQ(probed.for_client, notification + crash + farewell);
}

TEST_F(MoveSession, AProbeOfAServerThatHasGonePassesOnWhatItHadSaid) {
    const std::string farewell = response('E', "FATAL", "57P01");
    pair.test_end->say(farewell);
    pair.test_end->close();
    const Probed probed = probe();
    ASSERT_FALSE(probed.state);
    EXPECT_NE(probed.state.error().code, Errc::server) << "it cannot be used any more";
    EXPECT_EQ(probed.for_client, farewell);
}

TEST_F(MoveSession, ARefusedProbeKeepsTheRefusalToItself) {
    pair.test_end->say(response('E', "ERROR", "42501") + ready('I'));
    const Probed probed = probe();
    ASSERT_FALSE(probed.state);
    EXPECT_EQ(probed.state.error().code, Errc::server);
    EXPECT_EQ(probed.for_client, "");
}

// Answers as a server does, one request after another, and reads nothing while its answer is not
// taken.
class WideServer {
public:
    explicit WideServer(Pair& pair) : pair_(pair), thread_([this] { serve(); }) {}
    ~WideServer() { end(); }
    void end() {
        if (!thread_.joinable()) return;
        pair_.relay_end = Transport{};
        thread_.join();
    }
    std::size_t described_at_once() const { return described_at_once_; }  // After its end.

private:
    static std::string wide() {
        constexpr std::uint16_t columns = 1600;
        std::string body = be16(columns);
        for (int i = 0; i < columns; ++i)
            body +=
                "c\0"s + be32(0) + be16(0) + be32(25) + be16(0xffff) + be32(0xffffffff) + be16(0);
        return message('t', be16(0)) + message('T', body);
    }
    std::string answer(char tag) {
        switch (tag) {
            case 'P':
                return message('1', "");
            case 'B':
                return message('2', "");
            case 'E':
                return complete("SELECT 1");
            case 'C':
                return message('3', "");
            case 'D':
                described_at_once_ = std::max(described_at_once_, ++described_);
                return wide_;
            case 'S':
                described_ = 0;
                return ready('I');
            default:
                return {};
        }
    }
    void serve() {
        std::string request;
        char buffer[16384];
        for (;;) {
            const ssize_t got = ::recv(pair_.test_end->fd(), buffer, sizeof buffer, 0);
            if (got <= 0) return;
            request.append(buffer, static_cast<std::size_t>(got));
            std::string said;
            Bytes rest = bytes(request);
            for (;;) {
                const auto step = protocol::postgres::next_frame(rest, 1u << 20);
                const auto* frame = std::get_if<protocol::postgres::Frame>(&step);
                if (frame == nullptr) break;
                said += answer(frame->tag);
                rest = rest.subspan(frame->wire.size());
            }
            request.erase(0, request.size() - rest.size());
            for (std::string_view left = said; !left.empty();) {
                const ssize_t sent =
                    ::send(pair_.test_end->fd(), left.data(), left.size(), MSG_NOSIGNAL);
                if (sent <= 0) return;
                left.remove_prefix(static_cast<std::size_t>(sent));
            }
        }
    }

    Pair& pair_;
    const std::string wide_ = wide();
    std::size_t described_ = 0, described_at_once_ = 0;
    std::thread thread_;
};

TEST_F(MoveSession, ManyWideStatementsAreDescribedWithoutFillingBothDirections) {
    protocol::postgres::SessionState state;
    for (int i = 0; i < 500; ++i)
        state.statements.push_back(
            {"s" + std::to_string(i), std::string(2000, ' ') + "SELECT", {}, false});
    WideServer server{pair};
    std::optional<Status> restored;
    protocol::postgres::DescribedStatements described;
    const auto restore = [&]() -> boost::asio::awaitable<void> {
        restored.emplace(co_await restore_state(pair.relay_end, state, false, in_time, &described));
    };
    boost::asio::co_spawn(context, restore, [](std::exception_ptr) {});
    context.run();
    server.end();
    ASSERT_TRUE(*restored) << restored->error().detail;
    ASSERT_EQ(described.size(), state.statements.size());
    EXPECT_EQ(described.back().name, "s499");
    EXPECT_EQ(described.back().columns.size(), 1600u);
    EXPECT_LE(server.described_at_once(), 64u);
}

}  // namespace
}  // namespace segue::proxy
