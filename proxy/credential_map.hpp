#pragma once
// Passwords that the operator has given for roles whose own secret does not work on a side
// ([[credentials]] of the configuration): Segue logs them in there with it, once the client has
// proved itself.

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "protocol/postgres/scram.hpp"
#include "router/side.hpp"

namespace segue::proxy {

// How the client of such a role proves itself to Segue.
enum class ClientProof : std::uint8_t {
    password,  // The source's: the one mapped for it, else by the verifier that the source stores.
    certificate,  // A certificate of the role's name, from [listen] tls_client_ca.
};

class CredentialMap {
public:
    struct Entry {
        std::string password;
        protocol::postgres::ScramVerifier verifier;  // Of the password, to check a client with.
        ClientProof proof = ClientProof::password;
    };

    CredentialMap() = default;
    CredentialMap(const CredentialMap&) = default;
    CredentialMap(CredentialMap&&) = default;
    CredentialMap& operator=(const CredentialMap&) = default;
    CredentialMap& operator=(CredentialMap&&) = default;
    ~CredentialMap();  // Wipes.

    // False when that side has one for the role already.
    bool add(const std::string& role, Side side, std::string password, ClientProof proof);
    // Null: that side's server judges the client's own secret.
    const Entry* find(std::string_view role, Side side) const;
    std::set<std::string> roles(Side side) const;
    // The same passwords for the same roles, whatever the verifiers' salts.
    friend bool operator==(const CredentialMap& a, const CredentialMap& b);

private:
    std::map<std::pair<std::string, Side>, Entry> entries_;
};

}  // namespace segue::proxy
