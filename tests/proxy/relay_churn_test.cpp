// Sessions that come, are cut off at any moment and go, on a relay thread of its own: a descriptor
// that is closed becomes another session's at once, and nothing of the one may reach the other.

#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <future>
#include <list>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "relay_rig.hpp"

namespace segue::proxy {
namespace {

constexpr int rounds = 4000;
constexpr std::size_t sessions_max = 24;

struct Life {
    std::uint64_t id;
    Scene scene;
    int asked = 0;
    std::string at_server, at_client;
};

std::string padding(std::uint64_t id) { return std::string(id % 7 == 0 ? 9000 : id % 50, 'x'); }
std::string request(std::uint64_t id) {
    return query("session " + std::to_string(id) + padding(id));
}
std::string answer(std::uint64_t id) {
    return complete("session " + std::to_string(id) + padding(id)) + ready('I');
}

// Nothing but whole and half copies of `piece`.
bool consists_of(const std::string& all, const std::string& piece) {
    for (std::size_t i = 0; i < all.size(); i += piece.size()) {
        if (!piece.starts_with(all.substr(i, piece.size()))) return false;
    }
    return true;
}

class Churn {
public:
    explicit Churn(RelayRig& rig) : rig_(rig) {}

    void run() {
        for (int round = 0; round < rounds && !testing::Test::HasFailure(); ++round) {
            if (lives_.size() < sessions_max && below(3) == 0) begin();
            for (auto life = lives_.begin(); life != lives_.end();) {
                act(*life);
                life = below(60) == 0 ? end(life) : std::next(life);
            }
        }
        EXPECT_GT(answers_, rounds / 10);
    }

private:
    int below(int limit) { return std::uniform_int_distribution{0, limit - 1}(random_); }

    void begin() {
        const std::uint64_t id = next_id_++;
        std::promise<Scene> made;
        rig_.thread.post(
            RelayThread::Task{[this, id, &made](RelayThread&) { made.set_value(rig_.adopt(id)); }});
        lives_.push_back({id, made.get_future().get(), 0, {}, {}});
    }

    void act(Life& life) {
        if (life.asked < 3 && below(2) == 0) {
            life.scene.client->say(request(life.id));
            ++life.asked;
        }
        life.at_server += life.scene.server->heard();
        ASSERT_TRUE(consists_of(life.at_server, request(life.id))) << life.id;
        const std::size_t size = request(life.id).size();
        while (life.at_server.size() >= size && life.asked > 0) {
            life.at_server.erase(0, size);
            life.scene.server->say(answer(life.id));
            --life.asked;
        }
        life.at_client += life.scene.client->heard();
        ASSERT_TRUE(consists_of(life.at_client, answer(life.id))) << life.id;
        if (life.at_client.size() >= answer(life.id).size()) {
            life.at_client.erase(0, answer(life.id).size());
            ++answers_;
        }
    }

    // With requests and answers under way, from either end.
    std::list<Life>::iterator end(std::list<Life>::iterator life) {
        if (below(2) == 0) life->scene.server->close();
        life->scene.client->close();
        return lives_.erase(life);
    }

    RelayRig& rig_;
    std::minstd_rand random_{7};
    std::list<Life> lives_;
    std::uint64_t next_id_ = 1;
    int answers_ = 0;
};

// Takes every descriptor that comes free, as the connections of other threads do, and tells whether
// somebody else still reads or writes by its number.
class Neighbour {
public:
    ~Neighbour() {
        over_ = true;
        thread_.join();
        EXPECT_EQ(disturbed_, 0);
    }

private:
    void run() {
        while (!over_) {
            int ends[2];
            if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) continue;
            Peer near{ends[0]}, far{ends[1]};
            near.say("near");
            far.say("far");
            std::this_thread::yield();
            if (near.heard() != "far" || far.heard() != "near") ++disturbed_;
        }
    }

    std::atomic<bool> over_{false};
    int disturbed_ = 0;
    std::thread thread_{[this] { run(); }};
};

// After every turn in which a session goes, whoever has its descriptors next has them alone.
TEST(RelayChurn, AClosedDescriptorIsNotUsedAnyMore) {
    for (const bool client_first : {true, false}) {
        RelayRig rig;
        rig.settle();
        Scene scene = rig.adopt(1);
        scene.client->say(request(1));
        rig.settle();
        scene.server->say(answer(1));
        rig.settle();
        // It goes without having read everything, which breaks its connection at once.
        scene.server->say(answer(1));
        (client_first ? scene.client : scene.server)->close();
        (client_first ? scene.server : scene.client)->close();
        for (int turn = 0; turn < 6; ++turn) {
            rig.thread.turn(std::chrono::milliseconds{0});
            std::vector<std::unique_ptr<Peer>> next;
            for (int i = 0; i < 8; ++i) {
                int ends[2];
                ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
                for (const int end : ends) next.push_back(std::make_unique<Peer>(end));
                for (std::size_t at : {next.size() - 1, next.size() - 2}) next[at]->say("mine");
            }
            rig.thread.turn(std::chrono::milliseconds{0});
            for (const auto& peer : next) EXPECT_EQ(peer->heard(), "mine") << turn;
        }
    }
}

TEST(RelayChurn, NothingOfOneSessionReachesAnother) {
    RelayRig rig;
    rig.thread.start();
    {
        Neighbour first, second;
        Churn{rig}.run();
    }
    rig.thread.stop();
}

}  // namespace
}  // namespace segue::proxy
