#include "proxy/client_proof.hpp"

#include <utility>

#include "protocol/crypto.hpp"
#include "protocol/postgres/messages_server.hpp"
#include "proxy/server_leg.hpp"
#include "proxy/tls.hpp"

namespace segue::proxy {

namespace asio = boost::asio;
namespace pg = protocol::postgres;

using pg::AuthenticationCode;

namespace {

constexpr std::string_view end_of_list{"\0", 1};
constexpr std::size_t md5_salt_size = 4;

// The client has been told.
asio::awaitable<Error> broke_the_exchange(ClientLeg& client, std::string why) {
    Error told = co_await client.refuse("08P01", std::move(why), "");
    told.code = Errc::bad_value;
    co_return told;
}

}  // namespace

std::string scram_mechanisms(bool plus) {
    std::string list;
    ByteWriter writer{list};
    if (plus) writer.zero_terminated(pg::scram_plus_mechanism);
    writer.zero_terminated(pg::scram_mechanism);
    writer.raw(end_of_list);
    return list;
}

asio::awaitable<Result<ScramKeys>> prove_by_scram(ClientLeg& client,
                                                  const ClientTls* tls,
                                                  pg::ScramVerifier verifier) {
    const std::string binding =
        client.transport.uses_tls() && tls != nullptr ? tls->binding() : std::string{};
    pg::ScramServer scram{verifier, random_nonce(), binding};
    const auto body = co_await client.ask(
        pg::encode_authentication(AuthenticationCode::sasl, scram_mechanisms(!binding.empty())));
    if (!body) co_return body.error();
    ByteReader reader{bytes(*body)};
    const std::string_view mechanism = reader.zero_terminated();
    const auto size = reader.big_endian<std::int32_t>();
    const std::string_view client_first = text(reader.take_rest());
    const bool whole =
        !reader.failed() && size >= 0 && static_cast<std::size_t>(size) == client_first.size();
    const auto challenge =
        whole ? scram.first(mechanism, client_first)
              : Result<std::string>{Error{Errc::bad_value, "SCRAM: malformed first message"}};
    if (!challenge) co_return co_await broke_the_exchange(client, challenge.error().detail);
    const auto last = co_await client.ask(
        pg::encode_authentication(AuthenticationCode::sasl_continue, *challenge));
    if (!last) co_return last.error();
    auto proof = scram.finish(*last);
    if (!proof && proof.error().code == Errc::refused) co_return proof.error();
    if (!proof) co_return co_await broke_the_exchange(client, proof.error().detail);
    ScramKeys keys{std::move(proof->client_key),
                   std::move(verifier.server_key),
                   std::move(verifier.salt),
                   verifier.iterations};
    crypto::wipe(verifier.stored_key);
    const Status said = co_await client.say(
        pg::encode_authentication(AuthenticationCode::sasl_final, proof->server_final));
    if (!said) co_return said.error();
    co_return keys;
}

asio::awaitable<Status> prove_by_md5(ClientLeg& client, std::string stored) {
    const std::string salt = random_nonce().substr(0, md5_salt_size);
    auto answer =
        co_await client.ask(pg::encode_authentication(AuthenticationCode::md5_password, salt));
    if (!answer) co_return answer.error();
    std::string wanted = pg::md5_response(stored, salt);
    wanted.push_back('\0');
    const bool right = crypto::constant_time_equal(*answer, wanted);
    crypto::wipe(stored);
    crypto::wipe(wanted);
    crypto::wipe(*answer);
    if (!right) co_return Error{Errc::refused, "password authentication failed"};
    co_return Done{};
}

}  // namespace segue::proxy
