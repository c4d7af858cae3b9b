#pragma once
// A client that writes the protocol's bytes itself; for what libpq does not do.

#include <cstddef>
#include <string>

namespace segue::test {

class RawClient {
public:
    // Connected, to 127.0.0.1; nothing is said yet.
    explicit RawClient(int port);
    // Logged in as `app` to database `shop`, on a server that trusts it.
    static RawClient logged_in(int port);
    ~RawClient();
    RawClient(RawClient&& other) noexcept;
    RawClient& operator=(RawClient&&) = delete;

    static std::string startup(const std::string& user, const std::string& database);
    static std::string message(char tag, const std::string& body);
    static std::string query(const std::string& sql);
    static std::string execute(std::size_t rows);  // Of the unnamed portal; 0: all of them.
    // Of the unnamed statement and portal.
    static std::string parse_and_bind(const std::string& sql);

    void send(const std::string& bytes) const;
    void try_to_send(const std::string& bytes) const;  // To a peer that may have closed already.
    void send_byte_by_byte(const std::string& bytes) const;  // Each in a packet of its own.
    // The tags of what comes, up to the first `last`; ends early with '!' when nothing more comes
    // within 20 s. Bodies are added to `heard`.
    std::string hear_until(char last);
    bool is_ended();  // By the other side, within 20 s; what comes until then is dropped.
    void end_stream() const;
    void reset();  // Closes without a farewell.

    std::string heard;

private:
    bool take(char* into, std::size_t size) const;
    int fd_;
};

}  // namespace segue::test
