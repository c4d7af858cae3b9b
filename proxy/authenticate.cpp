#include "proxy/authenticate.hpp"

#include <utility>

#include "protocol/crypto.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "protocol/postgres/scram.hpp"
#include "proxy/client_proof.hpp"
#include "proxy/mapped_login.hpp"
#include "proxy/tls.hpp"

namespace segue::proxy {

namespace asio = boost::asio;
namespace pg = protocol::postgres;

using pg::AuthenticationCode;

namespace {

// The client is gone or broke the exchange; where it could be told, it has been.
OpenFailure client_failed(const Error& error) { return {error, {}}; }

std::string as_password_message(std::string_view body) {
    std::string message;
    pg::append_password(message, body);
    return message;
}

bool says_ok(const Message& message) {
    const auto request = pg::parse_authentication(message.body());
    return message.tag == 'R' && request && request->is(AuthenticationCode::ok);
}

// Passes one question on to the client and its answer on to the server. The answer's body when the
// server said ok.
struct Passed {
    Message answered;
    std::string client_body;
};
asio::awaitable<std::variant<Passed, OpenFailure>> pass_on(AuthenticationPeers& peers,
                                                           std::string question) {
    auto body = co_await peers.client.ask(std::move(question));
    if (!body) co_return client_failed(body.error());
    auto failure = co_await peers.server.say(as_password_message(*body));
    if (failure) {
        crypto::wipe(*body);
        co_return std::move(*failure);
    }
    Heard heard = co_await peers.server.hear();
    if (auto* refused = std::get_if<OpenFailure>(&heard)) {
        crypto::wipe(*body);
        co_return std::move(*refused);
    }
    co_return Passed{std::move(std::get<Message>(heard)), std::move(*body)};
}

// Password in clear and md5: the client answers the server's own question, so that the server
// itself has judged the answer.
asio::awaitable<AuthenticationOutcome> by_password(AuthenticationPeers& peers,
                                                   Message request,
                                                   bool in_clear,
                                                   std::string user) {
    auto passed = co_await pass_on(peers, std::move(request.wire));
    if (auto* failure = std::get_if<OpenFailure>(&passed)) co_return std::move(*failure);
    auto& [answered, body] = std::get<Passed>(passed);
    if (!says_ok(answered))
        co_return peers.server.lost({Errc::bad_value, "unexpected message after the password"});
    peers.server.greeting.insert(0, answered.wire);
    if (in_clear) {
        if (!body.empty()) body.pop_back();  // The terminating zero.
        Authenticated authenticated{Credentials{Password{body}}, {}};
        crypto::wipe(body);
        co_return authenticated;
    }
    auto stored =
        co_await peers.secrets.ask(peers.server.side, std::move(user), peers.client.deadline);
    if (stored && *stored && pg::is_md5_stored(**stored)) {
        Authenticated authenticated{Credentials{Md5Hash{**stored}}, {}};
        crypto::wipe(**stored);
        co_return authenticated;
    }
    co_return Authenticated{Credentials{}, "md5 login, and the role's stored hash cannot be read"};
}

// The verifier cannot be read: the server's own exchange is relayed message by message. Our channel
// is not the server's, so channel binding is not offered.
asio::awaitable<AuthenticationOutcome> relay_scram(AuthenticationPeers& peers) {
    std::string question =
        pg::encode_authentication(AuthenticationCode::sasl, scram_mechanisms(false));
    constexpr int rounds_max = 8;
    for (int round = 0; round < rounds_max; ++round) {
        auto passed = co_await pass_on(peers, std::move(question));
        if (auto* failure = std::get_if<OpenFailure>(&passed)) co_return std::move(*failure);
        Message answered = std::move(std::get<Passed>(passed).answered);
        const auto code = pg::parse_authentication(answered.body());
        if (answered.tag == 'R' && code && code->is(AuthenticationCode::sasl_final)) {
            const Status said = co_await peers.client.say(std::move(answered.wire));
            if (!said) co_return client_failed(said.error());
            Heard heard = co_await peers.server.hear();
            if (auto* refused = std::get_if<OpenFailure>(&heard)) co_return std::move(*refused);
            answered = std::move(std::get<Message>(heard));
        }
        if (says_ok(answered)) {
            peers.server.greeting.insert(0, answered.wire);
            co_return Authenticated{
                Credentials{},
                "SCRAM login, and the role's verifier cannot be read (Segue's role needs SELECT on "
                "pg_authid, or [[credentials]] the role's password for both sides)"};
        }
        question = std::move(answered.wire);
    }
    co_return peers.server.lost({Errc::bad_value, "the SCRAM exchange does not end"});
}

asio::awaitable<AuthenticationOutcome> by_scram(AuthenticationPeers& peers,
                                                Message request,
                                                std::string user) {
    auto stored = co_await peers.secrets.ask(peers.server.side, user, peers.client.deadline);
    if (!stored) co_return co_await relay_scram(peers);
    // Without a verifier the server would go through the motions as well, and so do we.
    auto known = *stored ? pg::parse_scram_verifier(**stored) : std::nullopt;
    if (*stored) crypto::wipe(**stored);
    if (!known) known = pg::mock_scram_verifier(user, peers.secrets.mock_secret());
    auto keys =
        co_await prove_by_scram(peers.client, peers.tls, *std::exchange(known, std::nullopt));
    if (!keys && !proof_is_wrong(keys.error())) co_return client_failed(keys.error());
    const bool right = keys.has_value();
    // With a wrong proof the server is given a wrong one as well: the refusal is its own, in its
    // words and its log.
    Credentials credentials =
        right ? Credentials{std::move(*keys)} : Credentials{Password{random_nonce()}};
    auto failure = co_await authenticate(peers.server, std::move(request), credentials, user);
    if (failure) co_return std::move(*failure);
    if (!right)
        co_return OpenFailure{Error{Errc::refused, "password authentication failed", "28P01"}, {}};
    co_return Authenticated{std::move(credentials), {}};
}

}  // namespace

asio::awaitable<AuthenticationOutcome> authenticate_client(AuthenticationPeers& peers,
                                                           Message request,
                                                           std::string user) {
    const auto asked = pg::parse_authentication(request.body());
    if (request.tag != 'R' || !asked) {
        co_return peers.server.lost({Errc::bad_value, "unexpected message before authentication"});
    }
    // Before all others: the client proves itself to us, also where the server asks nothing of us.
    if (peers.mapped.find(user, peers.server.side) != nullptr) {
        co_return co_await authenticate_mapped(peers, std::move(request), std::move(user));
    }
    if (asked->is(AuthenticationCode::ok)) {
        if (auto failure = peers.server.let_in_unasked()) co_return std::move(*failure);
        peers.server.greeting.insert(0, request.wire);
        co_return Authenticated{};
    }
    const bool in_clear = asked->is(AuthenticationCode::cleartext_password);
    if (in_clear || asked->is(AuthenticationCode::md5_password)) {
        co_return co_await by_password(peers, std::move(request), in_clear, std::move(user));
    }
    if (asked->is(AuthenticationCode::sasl))
        co_return co_await by_scram(peers, std::move(request), std::move(user));
    co_return OpenFailure{
        Error{Errc::refused,
              "the " + std::string{name(peers.server.side)} + " asks for authentication method " +
                  std::to_string(asked->code) +
                  " (GSSAPI or SSPI), which cannot be forwarded; [[credentials]] can log in in its "
                  "place",
              "28000"},
        {}};
}

}  // namespace segue::proxy
