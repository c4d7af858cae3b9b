#include "proxy/move_session.hpp"

#include <gtest/gtest.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <exception>
#include <optional>

#include "relay_rig.hpp"

namespace segue::proxy {
namespace {

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

}  // namespace
}  // namespace segue::proxy
