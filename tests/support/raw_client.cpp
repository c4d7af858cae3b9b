#include "tests/support/raw_client.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <utility>

#include "tests/support/process.hpp"

namespace segue::test {

namespace {

constexpr timeval patience{20 * busy_factor, 0};

std::string big_endian(std::size_t number) {
    const std::uint32_t swapped = htonl(static_cast<std::uint32_t>(number));
    return {reinterpret_cast<const char*>(&swapped), 4};
}

}  // namespace

RawClient::RawClient(int port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0)
        << std::strerror(errno);
}

RawClient RawClient::logged_in(int port) {
    RawClient client{port};
    client.send(startup("app", "shop"));
    EXPECT_EQ(client.hear_until('Z').back(), 'Z');
    return client;
}

RawClient::RawClient(RawClient&& other) noexcept
    : heard(std::move(other.heard)), fd_(std::exchange(other.fd_, -1)) {}

RawClient::~RawClient() {
    if (fd_ >= 0) ::close(fd_);
}

std::string RawClient::startup(const std::string& user, const std::string& database) {
    const char zero = '\0';
    const std::string body = std::string{"\0\3\0\0", 4} + "user" + zero + user + zero + "database" +
                             zero + database + zero + zero;
    return big_endian(body.size() + 4) + body;
}

std::string RawClient::message(char tag, const std::string& body) {
    return tag + big_endian(body.size() + 4) + body;
}

std::string RawClient::query(const std::string& sql) { return message('Q', sql + '\0'); }

std::string RawClient::execute(std::size_t rows) {
    return message('E', std::string(1, '\0') + big_endian(rows));
}

std::string RawClient::parse_and_bind(const std::string& sql) {
    return message('P', std::string(1, '\0') + sql + std::string(3, '\0')) +
           message('B', std::string(8, '\0'));
}

void RawClient::send(const std::string& bytes) const {
    EXPECT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
}

void RawClient::try_to_send(const std::string& bytes) const {
    (void)::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

void RawClient::send_byte_by_byte(const std::string& bytes) const {
    const int yes = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    for (const char byte : bytes) send(std::string(1, byte));
}

std::string RawClient::hear_until(char last) {
    std::string tags;
    while (tags.empty() || tags.back() != last) {
        char header[5];
        if (!take(header, sizeof header)) return tags + "!";
        std::uint32_t size = 0;
        std::memcpy(&size, header + 1, 4);
        std::string body(ntohl(size) - 4, '\0');
        if (!take(body.data(), body.size())) return tags + "!";
        heard += body;
        tags += header[0];
    }
    return tags;
}

bool RawClient::is_ended() {
    char dropped[4096];
    ssize_t size = 1;
    while (size > 0) size = ::recv(fd_, dropped, sizeof dropped, 0);
    return size == 0 || errno == ECONNRESET;
}

void RawClient::end_stream() const { ::shutdown(fd_, SHUT_WR); }

void RawClient::reset() {
    const linger at_once{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(std::exchange(fd_, -1));
}

bool RawClient::take(char* into, std::size_t size) const {
    for (std::size_t got = 0; got < size;) {
        const ssize_t more = ::recv(fd_, into + got, size - got, 0);
        if (more <= 0) return false;
        got += static_cast<std::size_t>(more);
    }
    return true;
}

}  // namespace segue::test
