#include "proxy/server_leg.hpp"

#include <openssl/rand.h>

#include <array>
#include <utility>

#include "protocol/crypto.hpp"
#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "protocol/postgres/scram.hpp"
#include "proxy/tls.hpp"

namespace segue::proxy {

namespace asio = boost::asio;
namespace pg = protocol::postgres;

using pg::AuthenticationCode;

namespace {

constexpr std::size_t greeting_size_max = 256u << 10;
constexpr std::size_t md5_salt_size = 4;

std::string password_message(std::string_view body) {
    std::string message;
    pg::append_password(message, body);
    return message;
}

OpenFailure cannot(Side side, const std::string& why) {
    return {Error{Errc::refused, "login to the " + std::string{name(side)} + ": " + why, "28000"},
            {}};
}

// A password message of one string.
std::string terminated(std::string_view secret) {
    std::string body{secret};
    body.push_back('\0');
    return body;
}

pg::ScramSecret scram_secret(const Credentials& credentials) {
    pg::ScramSecret secret;
    if (const auto* password = std::get_if<Password>(&credentials.secret()))
        secret.password = password->text;
    if (const auto* keys = std::get_if<ScramKeys>(&credentials.secret())) {
        secret.client_key = keys->client_key;
        secret.server_key = keys->server_key;
        secret.salt = keys->salt;
        secret.iterations = keys->iterations;
    }
    return secret;
}

void wipe(pg::ScramSecret& secret) {
    crypto::wipe(secret.password);
    crypto::wipe(secret.client_key);
    crypto::wipe(secret.server_key);
}

bool offers(Bytes mechanisms, std::string_view wanted) {
    const auto offered = pg::parse_sasl_mechanisms(mechanisms);
    if (!offered) return false;
    for (const std::string_view mechanism : *offered) {
        if (mechanism == wanted) return true;
    }
    return false;
}

asio::awaitable<Heard> say_and_hear(ServerLeg& leg, std::string message) {
    auto failure = co_await leg.say(std::move(message));
    if (failure) co_return std::move(*failure);
    co_return co_await leg.hear();
}

// The data of the authentication message that is expected now; anything else is an error.
Result<std::string> expect(const Heard& heard, AuthenticationCode code) {
    const Message& message = std::get<Message>(heard);
    const auto request = pg::parse_authentication(message.body());
    if (message.tag != 'R' || !request || !request->is(code)) {
        return Error{Errc::bad_value, "the server left the SCRAM exchange"};
    }
    return std::string{text(request->rest)};
}

asio::awaitable<std::optional<OpenFailure>> run_scram(ServerLeg& leg,
                                                      const pg::ScramSecret& secret,
                                                      bool plus_offered) {
    const bool tls = leg.transport.uses_tls();
    std::string binding = tls && plus_offered ? peer_binding(leg.transport) : std::string{};
    pg::ScramClient scram{secret, random_nonce(), std::move(binding), tls && !plus_offered};
    const std::string first = scram.first();
    std::string body = terminated(scram.mechanism());
    ByteWriter writer{body};
    writer.big_endian(static_cast<std::uint32_t>(first.size()));
    writer.raw(first);
    Heard heard = co_await say_and_hear(leg, password_message(body));
    if (auto* failure = std::get_if<OpenFailure>(&heard)) co_return std::move(*failure);
    const auto challenge = expect(heard, AuthenticationCode::sasl_continue);
    if (!challenge) co_return leg.lost(challenge.error());
    const auto proof = scram.finish(*challenge);
    if (!proof) co_return cannot(leg.side, proof.error().detail);
    heard = co_await say_and_hear(leg, password_message(*proof));
    if (auto* failure = std::get_if<OpenFailure>(&heard)) co_return std::move(*failure);
    const auto final = expect(heard, AuthenticationCode::sasl_final);
    if (!final) co_return leg.lost(final.error());
    const Status proved = scram.check(*final);
    if (!proved) co_return cannot(leg.side, proved.error().detail);
    co_return std::nullopt;
}

// The answer to a request for a password in clear or as md5; an Error when these credentials have
// none.
Result<std::string> password_answer(const pg::Authentication& request,
                                    const Credentials& credentials,
                                    std::string_view user) {
    const auto* password = std::get_if<Password>(&credentials.secret());
    if (request.is(AuthenticationCode::cleartext_password)) {
        if (password == nullptr)
            return Error{Errc::refused,
                         "it asks for a password in clear, which this session has not given"};
        return terminated(password->text);
    }
    if (request.is(AuthenticationCode::md5_password) && request.rest.size() == md5_salt_size) {
        const auto* hash = std::get_if<Md5Hash>(&credentials.secret());
        if (password == nullptr && hash == nullptr)
            return Error{Errc::refused, "it asks for md5, which this session has not used"};
        const std::string stored =
            hash != nullptr ? hash->text : pg::md5_stored(password->text, user);
        return terminated(pg::md5_response(stored, text(request.rest)));
    }
    return Error{Errc::refused,
                 "it asks for authentication method " + std::to_string(request.code) +
                     ", which cannot be forwarded"};
}

}  // namespace

std::string random_nonce() {
    constexpr std::size_t nonce_size = 18;
    std::array<unsigned char, nonce_size> raw{};
    const int ok = RAND_bytes(raw.data(), static_cast<int>(raw.size()));
    assert(ok == 1);
    (void)ok;
    return crypto::base64({reinterpret_cast<const char*>(raw.data()), raw.size()});
}

asio::awaitable<Result<Message>> read_message(Transport& transport, Deadline deadline) {
    Message message;
    for (;;) {
        const auto step = pg::next_frame(bytes(message.wire), login_message_size_max);
        if (const auto* error = std::get_if<Error>(&step)) co_return *error;
        if (const auto* frame = std::get_if<pg::Frame>(&step)) {
            message.tag = frame->tag;
            co_return message;
        }
        const std::size_t missing = std::get<NeedMore>(step).size_min - message.wire.size();
        const Status more = co_await read_exactly(transport, message.wire, missing, deadline);
        if (!more) co_return more.error();
    }
}

OpenFailure ServerLeg::lost(const Error& cause) const {
    return {
        Error{cause.code, "login to the " + std::string{name(side)} + ": " + cause.detail, "08006"},
        {}};
}

std::optional<OpenFailure> ServerLeg::let_in_unasked() const {
    if (!showed_certificate(transport)) return std::nullopt;
    return cannot(side,
                  "it asks for no password and has seen Segue's own certificate (sslcert in the "
                  "URL), which proves nothing of the "
                  "client: use a password method for this role in pg_hba.conf");
}

asio::awaitable<Heard> ServerLeg::hear() {
    for (;;) {
        Result<Message> message = co_await read_message(transport, deadline);
        if (!message) co_return lost(message.error());
        if (message->tag == 'E') {
            const auto fields = pg::parse_error_fields(message->body());
            const std::string sqlstate{fields ? fields->sqlstate : std::string_view{"08P01"}};
            const std::string why{fields ? fields->message
                                         : std::string_view{"malformed ErrorResponse"}};
            co_return OpenFailure{
                Error{
                    Errc::server, "login to the " + std::string{name(side)} + ": " + why, sqlstate},
                std::move(message->wire)};
        }
        if (message->tag != 'N') co_return std::move(*message);
        if (greeting.size() + message->wire.size() > greeting_size_max)
            co_return lost({Errc::too_large, "too many notices"});
        greeting += message->wire;
    }
}

asio::awaitable<std::optional<OpenFailure>> ServerLeg::say(std::string message) {
    const Status sent = co_await write_all(transport, message, deadline);
    crypto::wipe(message);  // It may be a password.
    if (!sent) co_return lost(sent.error());
    co_return std::nullopt;
}

asio::awaitable<std::optional<OpenFailure>> authenticate(ServerLeg& leg,
                                                         Message message,
                                                         const Credentials& credentials,
                                                         std::string_view user) {
    for (;;) {
        const auto request = pg::parse_authentication(message.body());
        if (message.tag != 'R' || !request)
            co_return leg.lost({Errc::bad_value, "unexpected message before authentication"});
        if (request->is(AuthenticationCode::ok)) {
            const bool nobody_asked = std::holds_alternative<NoCredentials>(credentials.secret());
            if (auto failure = nobody_asked ? leg.let_in_unasked() : std::nullopt)
                co_return failure;
            leg.greeting.insert(0, message.wire);
            co_return std::nullopt;
        }
        if (request->is(AuthenticationCode::sasl)) {
            pg::ScramSecret secret = scram_secret(credentials);
            if (secret.password.empty() && secret.client_key.empty()) {
                co_return cannot(leg.side,
                                 "it asks for SCRAM, whose keys this session does not have "
                                 "([[credentials]] can give it a password)");
            }
            auto failure =
                co_await run_scram(leg, secret, offers(request->rest, pg::scram_plus_mechanism));
            wipe(secret);
            if (failure) co_return failure;
        } else {
            auto answer = password_answer(*request, credentials, user);
            if (!answer) co_return cannot(leg.side, answer.error().detail);
            auto failure = co_await leg.say(password_message(*answer));
            crypto::wipe(*answer);
            if (failure) co_return failure;
        }
        Heard heard = co_await leg.hear();
        if (auto* failure = std::get_if<OpenFailure>(&heard)) co_return std::move(*failure);
        message = std::move(std::get<Message>(heard));
    }
}

asio::awaitable<Opened> finish_login(ServerLeg leg) {
    OpenedBackend opened;
    opened.backend.side = leg.side;
    opened.greeting = std::move(leg.greeting);
    leg.greeting.clear();
    for (;;) {
        Heard heard = co_await leg.hear();
        opened.greeting += std::exchange(leg.greeting, {});
        if (auto* failure = std::get_if<OpenFailure>(&heard)) co_return std::move(*failure);
        const Message& message = std::get<Message>(heard);
        if (opened.greeting.size() + message.wire.size() > greeting_size_max) {
            co_return leg.lost({Errc::too_large, "the server's greeting is above the limit"});
        }
        opened.greeting += message.wire;
        if (message.tag == 'S') {
            const auto status = pg::parse_parameter_status(message.body());
            if (!status) co_return leg.lost(status.error());
            opened.backend.parameters[std::string{status->name}] = status->value;
        } else if (message.tag == 'K') {
            const auto key = pg::parse_backend_key_data(message.body());
            if (!key) co_return leg.lost(key.error());
            opened.backend.pid = key->pid;
            opened.backend.cancel_key = key->key;
        } else if (message.tag == 'Z') {
            opened.backend.transport = std::move(leg.transport);
            co_return opened;
        }
    }
}

}  // namespace segue::proxy
