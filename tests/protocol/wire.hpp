#pragma once
// A connection to a real server, byte by byte: as a client, whose messages the hints see, and as
// Segue behind the client's back.

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "protocol/postgres/messages_startup.hpp"
#include "protocol/postgres/session_state.hpp"
#include "tests/support/postgres_server.hpp"

namespace segue::protocol::postgres {

using test::PostgresServer;

// A client that speaks bytes, as the relay sees them.
class Wire {
public:
    explicit Wire(const PostgresServer& server, const std::string& user = "postgres")
        : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
        const std::string url = server.socket_url();
        const std::string path = server_socket(server);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path.c_str(), path.size());
        if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            ADD_FAILURE() << path << std::strerror(errno);
        write(encode_startup({protocol_3_0, {{"user", user}, {"database", "postgres"}}, {}}));
        until_ready();
    }
    ~Wire() { ::close(fd_); }
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;

    // As a client: what it sends is seen by the hints.
    std::string send(const std::string& request) {
        boundary.client(bytes(request), [this](const Piece& piece) { hints.see(piece); });
        write(request);
        return until_ready();
    }
    std::string query(std::string_view sql) {
        std::string request;
        append(request, Query{sql});
        return send(request);
    }
    // As Segue: behind the client's back. `parse` is called until it has enough.
    template <class Parse>
    auto ask(const std::string& request, Parse parse) {
        write(request);
        std::string reply;
        for (;;) {
            auto step = parse(bytes(reply));
            if (!std::holds_alternative<NeedMore>(step)) return step;
            read_some(reply, 1);
        }
    }
    SessionState probe() {
        auto step = ask(probe_request(hints),
                        [this](Bytes reply) { return parse_probe_reply(reply, hints); });
        if (auto* error = std::get_if<Error>(&step)) ADD_FAILURE() << error->detail;
        return std::get<SessionState>(step);
    }
    void restore(const SessionState& state) {
        TypeOids oids;
        if (const std::string request = resolve_request(state); !request.empty()) {
            auto step =
                ask(request, [&state](Bytes reply) { return parse_resolve_reply(reply, state); });
            if (auto* error = std::get_if<Error>(&step)) ADD_FAILURE() << error->detail;
            oids = std::get<TypeOids>(step);
        }
        const auto request = restore_request(state, oids);
        ASSERT_TRUE(request) << request.error().detail;
        const auto step = ask(*request, check_restore_reply);
        if (const auto* error = std::get_if<Error>(&step))
            ADD_FAILURE() << error->detail << error->sqlstate;
    }
    Step<Done> run(const std::string& request) { return ask(request, check_restore_reply); }
    std::string values(std::string_view sql) {
        std::string found;
        const std::string reply = query(sql);
        for (Bytes rest = bytes(reply); !rest.empty();) {
            const auto frame = std::get<Frame>(next_frame(rest, 1u << 30));
            if (frame.tag == 'D')
                found += std::string{(*parse_data_row(frame.body))[0].value_or("NULL")} + "|";
            if (frame.tag == 'E')
                found +=
                    std::string{"error "} + std::string{parse_error_fields(frame.body)->message};
            rest = rest.subspan(frame.wire.size());
        }
        return found;
    }

    Boundary boundary;
    StateHints hints;

private:
    static std::string server_socket(const PostgresServer& server) {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(
                 server.folder(), std::filesystem::directory_options::skip_permission_denied)) {
            if (entry.path().filename() == ".s.PGSQL." + std::to_string(server.port()))
                return entry.path().string();
        }
        return {};
    }
    void write(const std::string& data) {
        ASSERT_EQ(::send(fd_, data.data(), data.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(data.size()));
    }
    void read_some(std::string& into, std::size_t size_min) {
        std::array<char, 65536> chunk;
        const ssize_t size = ::recv(fd_, chunk.data(), chunk.size(), 0);
        ASSERT_GE(size, static_cast<ssize_t>(size_min));
        into.append(chunk.data(), static_cast<std::size_t>(size));
    }
    std::string until_ready() {
        std::string reply;
        for (bool ready = false; !ready && !testing::Test::HasFatalFailure();) {
            read_some(reply, 1);
            ready = reply.size() >= 6 && std::string_view{reply}.substr(reply.size() - 6, 5) ==
                                             std::string_view{"Z\0\0\0\5", 5};
        }
        return reply;
    }
    int fd_;
};

}  // namespace segue::protocol::postgres
