#include "protocol/postgres/scram.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "protocol/crypto.hpp"

namespace segue::protocol::postgres {

namespace {

Error broken(const char* what) { return Error{Errc::bad_value, std::string{"SCRAM: "} + what}; }

std::string exclusive_or(std::string_view a, std::string_view b) {
    std::string result(a);
    for (std::size_t i = 0; i < result.size() && i < b.size(); ++i) {
        result[i] =
            static_cast<char>(static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]));
    }
    return result;
}

// Takes "<name>=<value>" up to the next comma off the front. Empty optional when it is not there.
std::optional<std::string_view> take_attribute(std::string_view& rest, char name) {
    if (rest.size() < 2 || rest[0] != name || rest[1] != '=') return std::nullopt;
    const std::size_t end = std::min(rest.find(','), rest.size());
    const std::string_view value = rest.substr(2, end - 2);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return value;
}

std::optional<int> iterations_from(std::string_view digits) {
    int value = 0;
    const auto [end, failure] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (failure != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    if (value < 1 || value > scram_iterations_max) return std::nullopt;
    return value;
}

}  // namespace

std::optional<ScramVerifier> parse_scram_verifier(std::string_view stored) {
    constexpr std::string_view prefix = "SCRAM-SHA-256$";
    if (!stored.starts_with(prefix)) return std::nullopt;
    stored.remove_prefix(prefix.size());
    const std::size_t colon = stored.find(':');
    const std::size_t dollar = stored.find('$');
    if (colon == std::string_view::npos || dollar == std::string_view::npos || dollar < colon)
        return std::nullopt;
    const std::size_t key_colon = stored.find(':', dollar);
    if (key_colon == std::string_view::npos) return std::nullopt;
    const auto iterations = iterations_from(stored.substr(0, colon));
    const auto salt = crypto::from_base64(stored.substr(colon + 1, dollar - colon - 1));
    const auto stored_key = crypto::from_base64(stored.substr(dollar + 1, key_colon - dollar - 1));
    const auto server_key = crypto::from_base64(stored.substr(key_colon + 1));
    if (!iterations || !salt || !stored_key || !server_key) return std::nullopt;
    if (stored_key->size() != crypto::sha256_size || server_key->size() != crypto::sha256_size)
        return std::nullopt;
    return ScramVerifier{*iterations, *salt, *stored_key, *server_key};
}

ScramVerifier mock_scram_verifier(std::string_view user, std::string_view secret) {
    const auto derived = [&](std::string_view purpose) {
        return crypto::hmac_sha256(secret, std::string{purpose} + std::string{user});
    };
    return {scram_iterations_default,
            derived("salt").substr(0, scram_salt_size),
            derived("stored"),
            derived("server")};
}

ScramVerifier make_scram_verifier(std::string_view password,
                                  std::string_view salt,
                                  int iterations) {
    std::string salted = crypto::pbkdf2_sha256(password, salt, iterations);
    std::string client_key = crypto::hmac_sha256(salted, "Client Key");
    ScramVerifier verifier{iterations,
                           std::string{salt},
                           crypto::sha256(client_key),
                           crypto::hmac_sha256(salted, "Server Key")};
    crypto::wipe(client_key);
    crypto::wipe(salted);
    return verifier;
}

ScramServer::ScramServer(ScramVerifier verifier, std::string server_nonce, std::string binding)
    : verifier_(std::move(verifier)),
      nonce_(std::move(server_nonce)),
      binding_(std::move(binding)) {}

ScramServer::~ScramServer() {
    crypto::wipe(verifier_.stored_key);
    crypto::wipe(verifier_.server_key);
}

Result<std::string> ScramServer::first(std::string_view mechanism, std::string_view client_first) {
    if (client_first.size() > scram_message_size_max) return broken("message above the limit");
    bound_ = mechanism == scram_plus_mechanism;
    if (!bound_ && mechanism != scram_mechanism) return broken("unknown mechanism");
    if (bound_ && binding_.empty()) return broken("channel binding was not offered");
    constexpr std::string_view binding_header = "p=tls-server-end-point,,";
    constexpr std::size_t plain_header_size = 3;  // "n,," or "y,,"
    if (bound_) {
        if (!client_first.starts_with(binding_header)) return broken("unknown channel binding");
        gs2_header_ = binding_header;
    } else {
        if (!client_first.starts_with("n,,") && !client_first.starts_with("y,,"))
            return broken("malformed first message");
        // The client could bind but was not offered it: somebody between us removed the offer.
        if (client_first[0] == 'y' && !binding_.empty())
            return broken("channel binding was offered and is said not to have been");
        gs2_header_ = client_first.substr(0, plain_header_size);
    }
    client_first_bare_ = client_first.substr(gs2_header_.size());
    std::string_view rest = client_first_bare_;
    const auto user = take_attribute(rest, 'n');
    const auto client_nonce = user ? take_attribute(rest, 'r') : std::nullopt;
    if (!client_nonce || client_nonce->empty()) return broken("malformed first message");
    nonce_.insert(0, *client_nonce);
    server_first_ = "r=" + nonce_ + ",s=" + crypto::base64(verifier_.salt) +
                    ",i=" + std::to_string(verifier_.iterations);
    return server_first_;
}

Result<ScramProof> ScramServer::finish(std::string_view client_final) {
    if (client_final.size() > scram_message_size_max) return broken("message above the limit");
    std::string_view rest = client_final;
    const auto channel = take_attribute(rest, 'c');
    const auto nonce = channel ? take_attribute(rest, 'r') : std::nullopt;
    const std::size_t proof_at = client_final.rfind(",p=");
    if (!nonce || proof_at == std::string_view::npos) return broken("malformed last message");
    const auto proof = crypto::from_base64(client_final.substr(proof_at + 3));
    if (!proof || proof->size() != crypto::sha256_size) return broken("malformed proof");
    if (*nonce != nonce_) return broken("nonce does not match");
    if (*channel != crypto::base64(gs2_header_ + (bound_ ? binding_ : std::string{}))) {
        return broken("channel binding does not match");
    }
    const std::string message = client_first_bare_ + "," + server_first_ + "," +
                                std::string{client_final.substr(0, proof_at)};
    std::string client_key =
        exclusive_or(*proof, crypto::hmac_sha256(verifier_.stored_key, message));
    if (!crypto::constant_time_equal(crypto::sha256(client_key), verifier_.stored_key)) {
        crypto::wipe(client_key);
        return Error{Errc::refused, "password authentication failed"};
    }
    return ScramProof{"v=" + crypto::base64(crypto::hmac_sha256(verifier_.server_key, message)),
                      std::move(client_key)};
}

ScramClient::ScramClient(const ScramSecret& secret,
                         std::string client_nonce,
                         std::string binding,
                         bool plus_refused)
    : secret_(secret), nonce_(std::move(client_nonce)), binding_(std::move(binding)) {
    gs2_header_ = !binding_.empty() ? "p=tls-server-end-point,," : plus_refused ? "y,," : "n,,";
}

std::string ScramClient::first() const { return gs2_header_ + "n=,r=" + nonce_; }

Result<std::string> ScramClient::finish(std::string_view server_first) {
    if (server_first.size() > scram_message_size_max) return broken("message above the limit");
    std::string_view rest = server_first;
    const auto nonce = take_attribute(rest, 'r');
    const auto salt_text = nonce ? take_attribute(rest, 's') : std::nullopt;
    const auto count_text = salt_text ? take_attribute(rest, 'i') : std::nullopt;
    if (!count_text) return broken("malformed challenge");
    const auto salt = crypto::from_base64(*salt_text);
    const auto iterations = iterations_from(*count_text);
    if (!salt || !iterations) return broken("malformed challenge");
    if (!nonce->starts_with(nonce_) || nonce->size() == nonce_.size())
        return broken("nonce does not match");

    std::string client_key = secret_.client_key;
    std::string server_key = secret_.server_key;
    if (!secret_.password.empty()) {
        std::string salted = crypto::pbkdf2_sha256(secret_.password, *salt, *iterations);
        client_key = crypto::hmac_sha256(salted, "Client Key");
        server_key = crypto::hmac_sha256(salted, "Server Key");
        crypto::wipe(salted);
    } else if (*salt != secret_.salt || *iterations != secret_.iterations) {
        return Error{Errc::refused, "the role's password verifier differs between the servers"};
    }
    std::string last = "c=" + crypto::base64(gs2_header_ + binding_) + ",r=" + std::string{*nonce};
    const std::string message = "n=,r=" + nonce_ + "," + std::string{server_first} + "," + last;
    const std::string signature = crypto::hmac_sha256(crypto::sha256(client_key), message);
    last += ",p=" + crypto::base64(exclusive_or(client_key, signature));
    server_signature_ = crypto::hmac_sha256(server_key, message);
    crypto::wipe(client_key);
    crypto::wipe(server_key);
    return last;
}

Status ScramClient::check(std::string_view server_final) const {
    const auto signature = take_attribute(server_final, 'v');
    const auto raw = signature ? crypto::from_base64(*signature) : std::nullopt;
    if (!raw || server_signature_.empty() ||
        !crypto::constant_time_equal(*raw, server_signature_)) {
        return Error{Errc::refused, "the server did not prove that it knows the password"};
    }
    return Done{};
}

std::string md5_stored(std::string_view password, std::string_view user) {
    std::string salted = std::string{password} + std::string{user};
    std::string stored = "md5" + crypto::md5_hex(salted);
    crypto::wipe(salted);
    return stored;
}

std::string md5_response(std::string_view stored, std::string_view salt) {
    return "md5" +
           crypto::md5_hex(std::string{stored.substr(std::min<std::size_t>(3, stored.size()))} +
                           std::string{salt});
}

bool is_md5_stored(std::string_view stored) {
    constexpr std::size_t size = 35;
    return stored.size() == size && stored.starts_with("md5") &&
           stored.substr(3).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace segue::protocol::postgres
