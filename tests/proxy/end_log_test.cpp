#include "proxy/end_log.hpp"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <sstream>

#include "relay_rig.hpp"

namespace segue::proxy {
namespace {

// What is logged meanwhile, a level and a message a line.
class Logged {
public:
    Logged() : before_(spdlog::default_logger()) {
        auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(text_);
        auto logger = std::make_shared<spdlog::logger>("", std::move(sink));
        logger->set_pattern("%l %v");
        logger->set_level(spdlog::level::debug);
        spdlog::set_default_logger(std::move(logger));
    }
    ~Logged() { spdlog::set_default_logger(before_); }
    Logged(const Logged&) = delete;
    Logged& operator=(const Logged&) = delete;

    std::string text() const { return text_.str(); }
    bool has(const std::string& words) const { return text().find(words) != std::string::npos; }

private:
    std::ostringstream text_;
    std::shared_ptr<spdlog::logger> before_;
};

TEST(EndLog, BoundsTheLinesOfASecondAndSaysHowManyThereWere) {
    const Logged logged;
    EndLog log;
    const EndLog::Time now{std::chrono::hours{1}};
    for (int i = 0; i < end_lines_per_second_max + 7; ++i)
        log.tell(EndCause::server_gone, i, Side::source, now);
    const std::string first = logged.text();
    EXPECT_EQ(std::count(first.begin(), first.end(), '\n'), end_lines_per_second_max);
    log.tell(EndCause::server_gone, 99, Side::target, now + std::chrono::seconds{1});
    EXPECT_TRUE(logged.has("sessions: 7 more have lost their connection"));
    EXPECT_TRUE(logged.has("pid 99 on the target"));
}

TEST(RelayEnds, WarnsOfAServerThatClosesWithoutAReason) {
    const Logged logged;
    RelayRig rig;
    Scene silent = rig.adopt(1), told = rig.adopt(2);
    told.server->say(message('E', "SFATAL"));
    for (Scene* scene : {&silent, &told}) scene->server->close();
    rig.settle();
    EXPECT_TRUE(silent.client->ended());
    EXPECT_TRUE(told.client->ended());
    EXPECT_TRUE(logged.has("warning session: pid 1001 on the source: closed, because its server"));
    EXPECT_FALSE(logged.has("1002"));
}

TEST(RelayEnds, SaysNothingOfSessionsThatTheirClientsEnd) {
    const Logged logged;
    RelayRig rig;
    Scene ended = rig.adopt(1), gone = rig.adopt(2);
    ended.client->say(message('X', ""));
    rig.settle();
    ended.server->close();
    gone.client->close();
    rig.settle();
    gone.server->close();
    rig.settle();
    EXPECT_EQ(rig.thread.session_count(), 0u);
    EXPECT_FALSE(logged.has("warning")) << logged.text();
    EXPECT_FALSE(logged.has("1001")) << logged.text();
    EXPECT_FALSE(logged.has("info")) << logged.text();
    EXPECT_TRUE(logged.has("debug session: pid 1002 on the source: its client")) << logged.text();
}

TEST(RelayEnds, WarnsOfSessionsThatCannotBeSwapped) {
    const Logged logged;
    RelayRig rig;
    Scene unprepared = rig.adopt(1), lent = rig.adopt(2);
    rig.thread.hold();
    rig.settle();
    std::unique_ptr<Session> away;
    rig.thread.lend(2, [&away](std::unique_ptr<Session> session) { away = std::move(session); });
    ASSERT_NE(away, nullptr);
    EXPECT_EQ(rig.thread.swap(Side::target), 2u);
    rig.settle();
    EXPECT_TRUE(logged.has("warning session: pid 1001 on the source: ended, because"));
    EXPECT_TRUE(logged.has("warning session: pid 1002 on the source: closed without a word"));
    std::promise<ReleaseReport> released;
    rig.thread.release(std::move(released));
    rig.settle();
}

TEST(RelayEnds, WarnsOfAnAnswerThatNobodyKnows) {
    const Logged logged;
    RelayRig rig;
    Scene busy = rig.adopt(1);
    busy.client->say(query("COMMIT"));
    rig.settle();
    rig.thread.end_all(message('E', "SFATAL"), RelayThread::Whom::those_of_the_migration);
    rig.settle();
    EXPECT_TRUE(logged.has("warning session: pid 1001 on the source: closed without a word"));
}

}  // namespace
}  // namespace segue::proxy
