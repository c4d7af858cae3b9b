#include "proxy/authenticate.hpp"

#include <utility>

#include "protocol/crypto.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "protocol/postgres/scram.hpp"
#include "proxy/tls.hpp"

namespace segue::proxy {

namespace asio = boost::asio;
namespace pg = protocol::postgres;

using pg::AuthenticationCode;

namespace {

constexpr std::string_view end_of_list{"\0", 1};

// The client is gone or broke the exchange; where it could be told, it has been.
OpenFailure client_failed(const Error& error) { return {error, {}}; }

std::string as_password_message(std::string_view body) {
    std::string message;
    pg::append_password(message, body);
    return message;
}

std::string mechanism_list(bool plus) {
    std::string list;
    ByteWriter writer{list};
    if (plus) writer.zero_terminated(pg::scram_plus_mechanism);
    writer.zero_terminated(pg::scram_mechanism);
    writer.raw(end_of_list);
    return list;
}

bool says_ok(const Message& message) {
    const auto request = pg::parse_authentication(message.body());
    return message.tag == 'R' && request && request->is(AuthenticationCode::ok);
}

// Passes one question on to the client and its answer on to the server. The answer's body when the server said ok.
struct Passed {
    Message answered;
    std::string client_body;
};
asio::awaitable<std::variant<Passed, OpenFailure>> pass_on(AuthenticationPeers& peers, std::string question) {
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

// Password in clear and md5: the client answers the server's own question, so that the server itself has judged the answer.
asio::awaitable<AuthenticationOutcome> by_password(AuthenticationPeers& peers, Message request, bool in_clear, std::string user) {
    auto passed = co_await pass_on(peers, std::move(request.wire));
    if (auto* failure = std::get_if<OpenFailure>(&passed)) co_return std::move(*failure);
    auto& [answered, body] = std::get<Passed>(passed);
    if (!says_ok(answered)) co_return peers.server.lost({Errc::bad_value, "unexpected message after the password"});
    peers.server.greeting.insert(0, answered.wire);
    if (in_clear) {
        if (!body.empty()) body.pop_back();  // The terminating zero.
        Authenticated authenticated{Credentials{Password{body}}, {}};
        crypto::wipe(body);
        co_return authenticated;
    }
    const auto stored = co_await peers.secrets.ask(peers.server.side, std::move(user), peers.client.deadline);
    if (stored && *stored && pg::is_md5_stored(**stored)) co_return Authenticated{Credentials{Md5Hash{**stored}}, {}};
    co_return Authenticated{Credentials{}, "md5 login, and the role's stored hash cannot be read"};
}

// The verifier cannot be read: the server's own exchange is relayed message by message. Our channel is not the server's, so
// channel binding is not offered.
asio::awaitable<AuthenticationOutcome> relay_scram(AuthenticationPeers& peers) {
    std::string question = pg::encode_authentication(AuthenticationCode::sasl, mechanism_list(false));
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
            co_return Authenticated{Credentials{}, "SCRAM login, and the role's verifier cannot be read (Segue's role needs SELECT on pg_authid)"};
        }
        question = std::move(answered.wire);
    }
    co_return peers.server.lost({Errc::bad_value, "the SCRAM exchange does not end"});
}

// The client's side of SCRAM against a verifier. Empty when the proof is wrong.
asio::awaitable<std::variant<std::optional<ScramKeys>, OpenFailure>> run_scram_server(AuthenticationPeers& peers,
                                                                                      pg::ScramVerifier verifier) {
    const bool tls = peers.client.transport.uses_tls() && peers.tls != nullptr;
    const std::string binding = tls ? peers.tls->binding() : std::string{};
    pg::ScramServer scram{verifier, random_nonce(), binding};
    const auto body = co_await peers.client.ask(
        pg::encode_authentication(AuthenticationCode::sasl, mechanism_list(!binding.empty())));
    if (!body) co_return client_failed(body.error());
    ByteReader reader{bytes(*body)};
    const std::string_view mechanism = reader.zero_terminated();
    const auto size = reader.big_endian<std::int32_t>();
    const std::string_view client_first = text(reader.take_rest());
    const bool whole = !reader.failed() && size >= 0 && static_cast<std::size_t>(size) == client_first.size();
    const auto challenge = whole ? scram.first(mechanism, client_first)
                                 : Result<std::string>{Error{Errc::bad_value, "SCRAM: malformed first message"}};
    if (!challenge) co_return client_failed(co_await peers.client.refuse("08P01", challenge.error().detail, ""));
    const auto last = co_await peers.client.ask(pg::encode_authentication(AuthenticationCode::sasl_continue, *challenge));
    if (!last) co_return client_failed(last.error());
    auto proof = scram.finish(*last);
    if (!proof) {
        if (proof.error().code == Errc::refused) co_return std::optional<ScramKeys>{};
        if (auto failure = peers.server.let_in_unasked()) co_return std::move(*failure);
        co_return client_failed(co_await peers.client.refuse("08P01", proof.error().detail, ""));
    }
    ScramKeys keys{std::move(proof->client_key), verifier.server_key, verifier.salt, verifier.iterations};
    const Status said = co_await peers.client.say(pg::encode_authentication(AuthenticationCode::sasl_final, proof->server_final));
    if (!said) co_return client_failed(said.error());
    co_return std::optional<ScramKeys>{std::move(keys)};
}

asio::awaitable<AuthenticationOutcome> by_scram(AuthenticationPeers& peers, Message request, std::string user) {
    const auto stored = co_await peers.secrets.ask(peers.server.side, user, peers.client.deadline);
    if (!stored) co_return co_await relay_scram(peers);
    // Without a verifier the server would go through the motions as well, and so do we.
    const auto known = *stored ? pg::parse_scram_verifier(**stored) : std::nullopt;
    pg::ScramVerifier verifier = known ? *known : pg::mock_scram_verifier(user, random_nonce());
    auto proved = co_await run_scram_server(peers, std::move(verifier));
    if (auto* failure = std::get_if<OpenFailure>(&proved)) co_return std::move(*failure);
    auto& keys = std::get<0>(proved);
    const bool right = keys.has_value();
    // With a wrong proof the server is given a wrong one as well: the refusal is its own, in its words and its log.
    Credentials credentials = right ? Credentials{std::move(*keys)} : Credentials{Password{random_nonce()}};
    auto failure = co_await authenticate(peers.server, std::move(request), credentials, user);
    if (failure) co_return std::move(*failure);
    if (!right) co_return OpenFailure{Error{Errc::refused, "password authentication failed", "28P01"}, {}};
    co_return Authenticated{std::move(credentials), {}};
}

}  // namespace

asio::awaitable<AuthenticationOutcome> authenticate_client(AuthenticationPeers& peers, Message request, std::string user) {
    const auto asked = pg::parse_authentication(request.body());
    if (request.tag != 'R' || !asked) {
        co_return peers.server.lost({Errc::bad_value, "unexpected message before authentication"});
    }
    if (asked->is(AuthenticationCode::ok)) {
        peers.server.greeting.insert(0, request.wire);
        co_return Authenticated{};
    }
    const bool in_clear = asked->is(AuthenticationCode::cleartext_password);
    if (in_clear || asked->is(AuthenticationCode::md5_password)) {
        co_return co_await by_password(peers, std::move(request), in_clear, std::move(user));
    }
    if (asked->is(AuthenticationCode::sasl)) co_return co_await by_scram(peers, std::move(request), std::move(user));
    co_return OpenFailure{Error{Errc::refused,
                                "the " + std::string{name(peers.server.side)} + " asks for authentication method " +
                                    std::to_string(asked->code) + " (GSSAPI or SSPI), which cannot be forwarded",
                                "28000"},
                          {}};
}

}  // namespace segue::proxy
