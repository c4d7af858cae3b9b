// A session that is served by a server which numbered the types differently than the one that its
// client knows.

#include <gtest/gtest.h>

#include "protocol/postgres/messages_client.hpp"
#include "proxy/type_map.hpp"
#include "tests/protocol/two_catalogs.hpp"
#include "tests/proxy/relay_rig.hpp"

namespace segue::proxy {
namespace {

using namespace protocol::postgres;

std::string parse(std::uint32_t type) {
    std::string wire;
    append(wire, Parse{"s", "SELECT $1", {type}});
    append_sync(wire);
    return wire;
}

struct TranslatedRig {
    TranslatedRig() : scene(rig.adopt(1, true)) {
        rig.thread.with_session(1, [](Session& session) {
            session.other->types = translator_for(session, Side::target, two_catalogs());
        });
    }
    // The whole way of a hold, the client's request waiting in it.
    void swap(Side side) {
        rig.thread.hold();
        rig.thread.swap(side);
        rig.thread.release({});
        rig.settle();
    }

    RelayRig rig;
    Scene scene;
};

TEST(RelayTypes, TranslatesOnTheOtherSideOnly) {
    TranslatedRig own;
    own.scene.client->say(parse(first_base));
    own.rig.settle();
    EXPECT_EQ(own.scene.server->heard(), parse(first_base));
    own.scene.server->say(message('1', "") + ready('I'));
    own.rig.settle();
    (void)own.scene.client->heard();

    own.swap(Side::target);
    own.scene.client->say(parse(first_base));
    own.rig.settle();
    EXPECT_EQ(own.scene.other->heard(), parse(second_base));
    own.scene.other->say(message('1', "") + message('t', be16(1) + be32(second_base)) + ready('I'));
    own.rig.settle();
    EXPECT_EQ(own.scene.client->heard(),
              message('1', "") + message('t', be16(1) + be32(first_base)) + ready('I'));

    own.rig.thread.with_session(1, [](Session& session) { session.other_state.emplace(); });
    own.swap(Side::source);
    own.scene.client->say(parse(first_base));
    own.rig.settle();
    EXPECT_EQ(own.scene.server->heard(), parse(first_base)) << "back where it came from";
}

TEST(RelayTypes, TranslatesTheRequestThatWaitedForTheSwap) {
    TranslatedRig own;
    own.rig.thread.hold();
    own.scene.client->say(parse(first_base));
    own.rig.settle();
    own.rig.thread.swap(Side::target);
    own.rig.thread.release({});
    own.rig.settle();
    EXPECT_EQ(own.scene.other->heard(), parse(second_base));
}

TEST(RelayTypes, HoldsNumbersThatAreCutUntilTheyAreWhole) {
    TranslatedRig own;
    own.swap(Side::target);
    const std::string asked = parse(first_base);
    for (const char& one : asked) {
        own.scene.client->say({&one, 1});
        own.rig.settle();
    }
    EXPECT_EQ(own.scene.other->heard(), parse(second_base));
    std::string heard;
    const std::string answer =
        message('1', "") + message('t', be16(1) + be32(second_base)) + ready('I');
    for (const char& one : answer) {
        own.scene.other->say({&one, 1});
        own.rig.settle();
        heard += own.scene.client->heard();
    }
    EXPECT_EQ(heard, message('1', "") + message('t', be16(1) + be32(first_base)) + ready('I'));
    own.rig.thread.hold();
    EXPECT_TRUE(own.rig.thread.is_stopped(1)) << "it stands at a boundary";
}

TEST(RelayTypes, LetsNoMoreRequestsInThanCanBeTold) {
    TranslatedRig own;
    own.swap(Side::target);
    std::string executes;
    for (int i = 0; i < 4096; ++i) append(executes, Execute{});
    for (std::size_t sent = 0; sent < answers_awaited_max; sent += 4096) {
        own.scene.client->say(executes);
        own.rig.settle();
        (void)own.scene.other->heard();
    }
    own.scene.client->say(parse(first_base));
    own.rig.settle();
    EXPECT_EQ(own.scene.other->heard(), "");
    own.scene.other->say(complete("SELECT 1"));
    own.rig.settle();
    EXPECT_EQ(own.scene.other->heard(), parse(second_base));
}

}  // namespace
}  // namespace segue::proxy
