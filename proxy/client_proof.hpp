#pragma once
// A client proves itself to Segue by a verifier that Segue has, as it would to a server that stores
// it.

#include <boost/asio/awaitable.hpp>

#include <string>

#include "protocol/postgres/scram.hpp"
#include "proxy/backend.hpp"
#include "proxy/client_leg.hpp"

namespace segue::proxy {

// The list of mechanisms of AuthenticationSASL.
std::string scram_mechanisms(bool plus);

// Of the errors below: the client answered, and its answer is wrong; it has not been told. After
// any other it has been, or has gone.
inline bool proof_is_wrong(const Error& error) {
    return error.code == Errc::refused && error.sqlstate.empty();
}

// SCRAM; what the client's proof reveals logs in wherever the same verifier is stored. `tls`: as
// the client's connection uses it, or null. All outlive the call.
boost::asio::awaitable<Result<ScramKeys>> prove_by_scram(
    ClientLeg& client, const ClientTls* tls, protocol::postgres::ScramVerifier verifier);

// md5, against what is stored.
boost::asio::awaitable<Status> prove_by_md5(ClientLeg& client, std::string stored);

}  // namespace segue::proxy
