#pragma once
// One server connection of a client's session, logged in with the client's own identity.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "protocol/postgres/late_statements.hpp"
#include "protocol/postgres/type_translator.hpp"
#include "proxy/transport.hpp"
#include "router/side.hpp"

namespace segue::proxy {

// What a session keeps to log in to the other server later. Wiped when destroyed; never logged.
struct NoCredentials {};  // trust, or nothing that can be used twice: the session can then only
                          // move to a server that trusts it.
struct Password {
    std::string text;
};
struct Md5Hash {
    std::string text;
};  // "md5" + 32 hex digits, as stored.
struct ScramKeys {
    std::string client_key, server_key, salt;
    int iterations = 0;
};  // Raw bytes.

class Credentials {
public:
    using Secret = std::variant<NoCredentials, Password, Md5Hash, ScramKeys>;
    Credentials() = default;
    explicit Credentials(Secret secret);
    Credentials(Credentials&& from) noexcept;
    Credentials& operator=(Credentials&& from) noexcept;
    ~Credentials();  // OPENSSL_cleanse
    const Secret& secret() const { return secret_; }

private:
    Secret secret_;
};

// The client's startup parameters in their order: user, database, options, application_name ...
using StartupParameters = std::vector<std::pair<std::string, std::string>>;

struct Backend {
    Transport transport;
    Side side = Side::source;
    std::int32_t pid = 0;
    std::string cancel_key;                         // 4 bytes in protocol 3.0.
    std::map<std::string, std::string> parameters;  // ParameterStatus as last seen.
    // Has answered the client itself: it holds what no probe tells (currval, plans, a role that was
    // dropped since), and is reset before a state is put onto it.
    bool served = false;
    // Between the socket and everything else. Null: it speaks the type OIDs that the client knows.
    std::unique_ptr<protocol::postgres::TypeTranslator> types = nullptr;
    // Between `types` and everything else. Null: the session has no statement that is not there.
    std::unique_ptr<protocol::postgres::LateStatements> late = nullptr;
};

}  // namespace segue::proxy
