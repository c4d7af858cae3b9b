#include "proxy/mapped_login.hpp"

#include <utility>

#include "protocol/crypto.hpp"
#include "protocol/postgres/scram.hpp"
#include "proxy/client_proof.hpp"
#include "proxy/tls.hpp"

namespace segue::proxy {

namespace asio = boost::asio;
namespace pg = protocol::postgres;

namespace {

// What the session can log in with where nothing is mapped.
using Proved = std::variant<Credentials, OpenFailure>;

// As the server itself would say it.
OpenFailure wrong_password(const std::string& user) {
    return {
        Error{Errc::refused, "password authentication failed for user \"" + user + "\"", "28P01"},
        {}};
}

OpenFailure not_proved(const Error& error, const std::string& user) {
    return proof_is_wrong(error) ? wrong_password(user) : OpenFailure{error, {}};
}

Proved by_certificate(AuthenticationPeers& peers, const std::string& user) {
    const std::string name = certified_name(peers.client.transport);
    if (name == user) return Credentials{};
    const std::string why =
        name.empty() ? "no certificate was shown" : "the certificate is another role's";
    return OpenFailure{Error{Errc::refused,
                             "certificate authentication failed for user \"" + user + "\": " + why,
                             "28000"},
                       {}};
}

// The application goes on with the password it has always had, which the source stores.
asio::awaitable<Proved> by_stored(AuthenticationPeers& peers, const std::string& user) {
    auto stored = co_await peers.secrets.ask(Side::source, user, peers.client.deadline);
    if (!stored) {
        const std::string why = "the source's password verifier of role \"" + user +
                                "\", by which it proves itself, cannot be read";
        co_return OpenFailure{
            Error{Errc::io, why + " ([[credentials]] for both sides needs none)", "08006"}, {}};
    }
    if (*stored && pg::is_md5_stored(**stored)) {
        const Status proved = co_await prove_by_md5(peers.client, **stored);
        if (!proved) co_return not_proved(proved.error(), user);
        Credentials credentials{Md5Hash{**stored}};
        crypto::wipe(**stored);
        co_return credentials;
    }
    auto verifier = *stored ? pg::parse_scram_verifier(**stored) : std::nullopt;
    if (*stored) crypto::wipe(**stored);
    if (!verifier) verifier = pg::mock_scram_verifier(user, peers.secrets.mock_secret());
    auto keys = co_await prove_by_scram(peers.client, peers.tls, std::move(*verifier));
    if (!keys) co_return not_proved(keys.error(), user);
    co_return Credentials{std::move(*keys)};
}

asio::awaitable<Proved> prove(AuthenticationPeers& peers,
                              const CredentialMap::Entry& entry,
                              const std::string& user) {
    if (entry.proof == ClientProof::certificate) co_return by_certificate(peers, user);
    const CredentialMap::Entry* source = peers.mapped.find(user, Side::source);
    if (source == nullptr) co_return co_await by_stored(peers, user);
    auto keys = co_await prove_by_scram(peers.client, peers.tls, source->verifier);
    if (!keys) co_return not_proved(keys.error(), user);
    const Credentials spent{std::move(*keys)};  // Wiped at its end.
    co_return Credentials{Password{source->password}};
}

}  // namespace

asio::awaitable<AuthenticationOutcome> authenticate_mapped(AuthenticationPeers& peers,
                                                           Message request,
                                                           std::string user) {
    const CredentialMap::Entry& entry = *peers.mapped.find(user, peers.server.side);
    Proved proved = co_await prove(peers, entry, user);
    if (auto* failure = std::get_if<OpenFailure>(&proved)) co_return std::move(*failure);
    const Credentials mapped{Password{entry.password}};
    auto failure = co_await authenticate(peers.server, std::move(request), mapped, user);
    if (failure && failure->error.code == Errc::server) {
        // Not the client's mistake: the server's words would send it looking in the wrong place.
        failure->response.clear();
        failure->error.detail += " (with the password of [[credentials]])";
    }
    if (failure) co_return std::move(*failure);
    co_return Authenticated{std::move(std::get<Credentials>(proved)), {}};
}

}  // namespace segue::proxy
