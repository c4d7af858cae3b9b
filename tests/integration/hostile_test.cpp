// Peers that mean harm or are broken, through Segue: the guilty one ends, and nobody else notices.

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/support/migration.hpp"
#include "tests/support/raw_client.hpp"

namespace segue::test {
namespace {

using namespace std::chrono_literals;

const std::string sync = RawClient::message('S', "");

// Segue before one server that trusts everybody; the other one is not needed.
class Hostile : public testing::Test {
protected:
    static void SetUpTestSuite() {
        if (PostgresServer::binaries().empty()) return;
        MigrationOptions options;
        options.source.auth = options.target.auth = ServerAuth::trust;
        options.workload_schema = false;
        options.source.settings = {"max_connections=1000"};  // Some come as far as the server.
        move = std::make_unique<Migration>(options);
        move->segue().run();
    }
    static void TearDownTestSuite() { move.reset(); }
    void SetUp() override { SEGUE_NEEDS_POSTGRES(); }
    SegueProcess& segue() { return move->segue(); }

    inline static std::unique_ptr<Migration> move;
};

// One honest client after the other, and one that stays, while others misbehave.
class Honest {
public:
    explicit Honest(std::string url) : url_(std::move(url)) {
        thread_ = std::thread{[this] { live(); }};
    }
    ~Honest() {
        stopping_ = true;
        thread_.join();
        EXPECT_GT(served_, 0);
    }

private:
    void live() {
        Sql stays{url_};
        while (!stopping_) {
            EXPECT_EQ(stays.value("SELECT 1"), "1");
            Sql comes{url_};
            EXPECT_TRUE(comes.connected()) << comes.error();
            EXPECT_EQ(comes.value("SELECT 2"), "2");
            ++served_;
        }
    }
    std::string url_;
    std::atomic<bool> stopping_ = false;
    int served_ = 0;
    std::thread thread_;
};

// What somebody says who wants no session.
std::string opening(std::mt19937& random) {
    const auto below = [&random](unsigned limit) { return random() % limit; };
    const std::string startup = RawClient::startup("app", "shop");
    switch (below(8)) {
        case 0:
            return "";
        case 1:
            return startup.substr(0, 1 + below(static_cast<unsigned>(startup.size()) - 1));
        case 2:
            return std::string{"\x7f\xff\xff\xff\0\3\0\0", 8};  // Two gigabytes are to follow.
        case 3:
            return std::string{"\0\0\0\0\0\3\0\0", 8};  // Shorter than its length.
        case 4:
            return std::string{"\0\0\0\x08\x04\xd2\x16\x2f", 8} + "no TLS at all";
        case 5:
            return "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        case 6:
            return RawClient::startup("nobody", "nowhere");
        default:
            break;
    }
    std::string noise(1 + below(300), '\0');
    for (char& byte : noise) byte = static_cast<char>(random());
    return noise;
}

TEST_F(Hostile, TenThousandConnectionAttemptsDisturbNobody) {
    constexpr int attempts = 10'000;
    constexpr long memory_grown_max_kb = 128 * 1024;  // A thousand of them may be under way.
    constexpr std::size_t own_connections_max = 4;    // Segue's own may have come meanwhile.
    const std::size_t files = segue().open_files();
    const long memory = segue().memory_peak_kb();
    {
        const Honest others{move->through()};
        std::mt19937 random{20261121};
        for (int i = 0; i < attempts && !HasFailure(); ++i) {
            RawClient attempt{segue().port()};
            attempt.try_to_send(opening(random));
            if (i % 16 != 0) attempt.reset();
        }
    }
    EXPECT_TRUE(segue().running());
    EXPECT_LT(segue().memory_peak_kb() - memory, memory_grown_max_kb);
    EXPECT_TRUE(
        eventually(60s, [&] { return segue().open_files() <= files + own_connections_max; }))
        << segue().open_files() << " instead of " << files;
    EXPECT_EQ(Sql{move->through()}.value("SELECT 1"), "1");
}

// A length that lies, in a session: the server is as patient, or as little so, as without Segue.
TEST_F(Hostile, ALengthThatLiesEndsItsOwnSessionOnly) {
    const Honest others{move->through()};
    const struct {
        const char* what;
        std::string sent;
    } lies[] = {
        {"of nothing", std::string{"Q\0\0\0\0", 5} + "SELECT 1"},
        {"negative", std::string{"Q\xff\xff\xff\xff", 5} + "SELECT 1"},
        {"above what the server takes", std::string{"Q\x7f\xff\xff\xff", 5} + "SELECT 1"},
        {"of a kind that there is not", RawClient::message('!', "SELECT 1")},
        {"shorter than its text", std::string{"Q\0\0\0\x06S\0ELECT 1", 14}},
    };
    for (const auto& lie : lies) {
        SCOPED_TRACE(lie.what);
        RawClient guilty = RawClient::logged_in(segue().port());
        guilty.send(RawClient::query("SELECT 1") + lie.sent);
        EXPECT_EQ(guilty.hear_until('Z'), "TDCZ");
        EXPECT_TRUE(guilty.is_ended());
    }
}

TEST_F(Hostile, EveryByteAloneIsTheSameConversation) {
    const std::string said =
        RawClient::query("CREATE TEMPORARY TABLE t (i int)") +
        RawClient::query("COPY t FROM STDIN") + RawClient::message('d', "1\n2\n") +
        RawClient::message('c', "") + RawClient::query("SELECT 1; SELECT i FROM t") +
        RawClient::parse_and_bind("SELECT generate_series(1, 3)") + RawClient::execute(2) +
        RawClient::execute(0) + sync + RawClient::parse_and_bind("SELECT 1/0") +
        RawClient::execute(0) + sync + RawClient::query("COPY t TO STDOUT");
    std::string answers[2];
    for (const bool alone : {false, true}) {
        RawClient client = RawClient::logged_in(segue().port());
        alone ? client.send_byte_by_byte(said) : client.send(said);
        for (int ready = 0; ready < 6; ++ready) answers[alone] += client.hear_until('Z');
    }
    EXPECT_EQ(answers[true],
              "CZ"
              "GCZ"
              "TDCTDDCZ"
              "12DDsDCZ"
              "1EZ"
              "HddcCZ");
    EXPECT_EQ(answers[true], answers[false]);
}

}  // namespace
}  // namespace segue::test
