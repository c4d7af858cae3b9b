#include "proxy/role_secrets.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <string>

#include "tests/proxy/login_rig.hpp"

namespace segue::proxy {
namespace {

// Takes connections and says nothing, as a server whose machine has frozen.
class SilentServer {
public:
    SilentServer() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(::listen(fd_, 4), 0);
        socklen_t size = sizeof address;
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
        url = "host=127.0.0.1 user=postgres port=" + std::to_string(ntohs(address.sin_port));
    }
    ~SilentServer() { close(); }
    // Waits until somebody connects.
    bool asked() const {
        pollfd ready{fd_, POLLIN, 0};
        return ::poll(&ready, 1, 20000) == 1;
    }
    void close() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }
    std::string url;

private:
    int fd_;
};

TEST(RoleSecrets, AServerThatDoesNotAnswerKeepsNobodyElseWaiting) {
    SEGUE_NEEDS_POSTGRES();
    const PostgresServer servers{ServerOptions{.auth = ServerAuth::scram}};
    create_roles(servers);
    SilentServer silent;
    ServerConfig source = config_of(servers);
    source.connection = silent.url;
    Front front{source, config_of(servers), false, servers};
    front.run();
    const std::string url = front.url("app", "secret");
    auto waits = std::async(std::launch::async, [&url] { return connect(url); });
    ASSERT_TRUE(silent.asked());
    front.traffic.authority = Side::target;
    const Client client = connect(url);
    EXPECT_NE(waits.wait_for(std::chrono::seconds{0}), std::future_status::ready);
    expect_logged_in(client, front, servers);
    silent.close();
    EXPECT_EQ(PQstatus(waits.get().get()), CONNECTION_OK);
}

}  // namespace
}  // namespace segue::proxy
