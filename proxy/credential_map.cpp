#include "proxy/credential_map.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cassert>

#include "protocol/crypto.hpp"

namespace segue::proxy {

namespace pg = protocol::postgres;

namespace {

std::string random_salt() {
    std::array<unsigned char, pg::scram_salt_size> salt{};
    const int ok = RAND_bytes(salt.data(), static_cast<int>(salt.size()));
    assert(ok == 1);
    (void)ok;
    return {reinterpret_cast<const char*>(salt.data()), salt.size()};
}

}  // namespace

CredentialMap::~CredentialMap() {
    for (auto& [of, entry] : entries_) {
        crypto::wipe(entry.password);
        crypto::wipe(entry.verifier.stored_key);
        crypto::wipe(entry.verifier.server_key);
    }
}

bool CredentialMap::add(const std::string& role,
                        Side side,
                        std::string password,
                        ClientProof proof) {
    Entry entry;
    entry.verifier = pg::make_scram_verifier(password, random_salt(), pg::scram_iterations_default);
    entry.password = std::move(password);
    entry.proof = proof;
    return entries_.try_emplace({role, side}, std::move(entry)).second;
}

std::set<std::string> CredentialMap::roles(Side side) const {
    std::set<std::string> roles;
    for (const auto& [of, entry] : entries_) {
        if (of.second == side) roles.insert(of.first);
    }
    return roles;
}

bool operator==(const CredentialMap& a, const CredentialMap& b) {
    return std::equal(a.entries_.begin(),
                      a.entries_.end(),
                      b.entries_.begin(),
                      b.entries_.end(),
                      [](const auto& one, const auto& other) {
                          return one.first == other.first &&
                                 one.second.password == other.second.password &&
                                 one.second.proof == other.second.proof;
                      });
}

const CredentialMap::Entry* CredentialMap::find(std::string_view role, Side side) const {
    const auto found = entries_.find({std::string{role}, side});
    return found == entries_.end() ? nullptr : &found->second;
}

}  // namespace segue::proxy
