// What a running program takes over from its file, and what it leaves for its next start.

#include "proxy/reload.hpp"

#include <gtest/gtest.h>

namespace segue::proxy {
namespace {

using Names = std::vector<std::string>;

TEST(Reload, OfAnEqualFileChangesNothing) {
    Config running;
    running.credentials.add("app", Side::target, "secret", ClientProof::password);
    Config read;
    read.credentials.add("app", Side::target, "secret", ClientProof::password);
    const Reload reload = take_over(running, read);
    EXPECT_EQ(reload.taken, Names{});
    EXPECT_EQ(reload.at_next_start, Names{});
    EXPECT_EQ(tell_reload(reload), "certificates and tokens have been read again");
}

TEST(Reload, TakesLimitsAndCertificates) {
    Config read;
    read.clients_max = 7;
    read.deadline = std::chrono::milliseconds{9000};
    read.tls_certificate = "/new.pem";
    read.accepted = {{"unlogged_table", "source: public.cache", ""}};
    const Reload reload = take_over({}, read);
    EXPECT_EQ(reload.taken,
              (Names{"[listen] tls_certificate",
                     "[[accept]]",
                     "[cutover] deadline_ms",
                     "[limits] clients"}));
    EXPECT_EQ(reload.config.clients_max, 7u);
    EXPECT_EQ(reload.config.deadline.count(), 9000);
    EXPECT_EQ(reload.config.tls_certificate, "/new.pem");
    EXPECT_EQ(reload.config.accepted, read.accepted);
}

TEST(Reload, LeavesServersThreadsAndPasswordsForTheNextStart) {
    Config read;
    read.target.host = "db3";
    read.relay_threads = 5;
    read.credentials.add("app", Side::target, "another", ClientProof::password);
    const Reload reload = take_over({}, read);
    EXPECT_EQ(reload.taken, Names{});
    EXPECT_EQ(reload.at_next_start,
              (Names{"[target]", "[[credentials]]", "[limits] relay_threads"}));
    EXPECT_EQ(reload.config.target.host, "");
    EXPECT_EQ(reload.config.credentials.find("app", Side::target), nullptr);
    EXPECT_EQ(
        tell_reload(reload),
        "certificates and tokens have been read again; taken only at the next start of `segue "
        "run`: [target], [[credentials]], [limits] relay_threads");
}

TEST(Reload, DoesNotTakeTheTokenFromAnAddressThatIsToChange) {
    Config running;
    running.admin = {"0.0.0.0", 6480, ""};
    running.admin_token_file = "/token";
    const Reload reload = take_over(running, {});
    EXPECT_EQ(reload.config.admin_token_file, "/token");
    EXPECT_EQ(reload.at_next_start, (Names{"[admin] token_file", "[admin] address"}));

    Config other = running;
    other.admin_token_file = "/other";
    EXPECT_EQ(take_over(running, other).config.admin_token_file, "/other");
}

TEST(Reload, LeavesWhatSomebodyHasGotAsItWas) {
    CurrentConfig current{{}};
    const auto before = current.get();
    Config next;
    next.clients_max = 3;
    current.set(next);
    EXPECT_EQ(before->clients_max, Config{}.clients_max);
    EXPECT_EQ(current.get()->clients_max, 3u);
}

}  // namespace
}  // namespace segue::proxy
