#pragma once
// A server's URL as libpq understands it, taken apart: the proxy opens the sessions' connections
// itself and needs host and port, libpq gets the whole with the password put in.

#include <cstdint>
#include <string>

#include "protocol/result.hpp"

namespace segue::backfill::postgres {

struct ServerUrl {
    std::string connection;  // For libpq, password included. Never logged.
    std::string host;        // Empty when unix_directory is set.
    std::string tls_host;    // What its certificate names, where that is not `host`: hostaddr was
                             // given beside it.
    std::string unix_directory;  // The folder of the server's socket.
    std::uint16_t port = 5432;
    std::string database, user;
    std::string sslmode, sslrootcert, sslcert, sslkey;  // Empty when the URL says nothing.
    bool direct_tls = false;                            // sslnegotiation=direct
    bool has_password = false;
};

// What the configuration adds to a URL. Empty: nothing.
struct ServerSecrets {
    std::string password;  // Wins over the URL's.
    std::string passfile;
};

// The error says what is wrong with the URL and never repeats it: it may hold a password.
Result<ServerUrl> parse_server_url(const std::string& url, const ServerSecrets& secrets);

}  // namespace segue::backfill::postgres
