#pragma once
// SCRAM-SHA-256 and -PLUS (RFC 5802, 7677; channel binding tls-server-end-point), both ends, and
// md5. Pure: nonces come from the caller. Segue is the server toward the client and the client
// toward the server; the ClientKey that the client's proof reveals to whoever has the verifier is
// what logs in (DESIGN 4).

#include <optional>
#include <string>
#include <string_view>

#include "protocol/result.hpp"

namespace segue::protocol::postgres {

inline constexpr std::string_view scram_mechanism = "SCRAM-SHA-256";
inline constexpr std::string_view scram_plus_mechanism = "SCRAM-SHA-256-PLUS";
inline constexpr int scram_iterations_max = 1'000'000;
inline constexpr int scram_iterations_default = 4096;  // The servers' own.
inline constexpr std::size_t scram_salt_size = 16;
inline constexpr std::size_t scram_message_size_max = 4096;

// As stored: SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>. Fields are raw bytes.
struct ScramVerifier {
    int iterations = 0;
    std::string salt, stored_key, server_key;
    friend bool operator==(const ScramVerifier&, const ScramVerifier&) = default;
};
// Empty when `stored` is not a SCRAM verifier.
std::optional<ScramVerifier> parse_scram_verifier(std::string_view stored);
// What a server would store for this password, used as it is (no SASLprep, which changes no
// password of printable ASCII).
ScramVerifier make_scram_verifier(std::string_view password, std::string_view salt, int iterations);
// For users that do not exist: a verifier that looks like theirs every time, and that no proof
// fits.
ScramVerifier mock_scram_verifier(std::string_view user, std::string_view secret);

struct ScramProof {
    std::string server_final;  // To be sent with AuthenticationSASLFinal.
    std::string client_key;    // A secret.
};

class ScramServer {
public:
    // `binding`: the certificate's hash when -PLUS was offered to the client, else empty.
    ScramServer(ScramVerifier verifier, std::string server_nonce, std::string binding);
    ~ScramServer();
    ScramServer(const ScramServer&) = delete;
    ScramServer& operator=(const ScramServer&) = delete;

    // The client's first message -> ours. An Error is a broken or downgraded exchange.
    Result<std::string> first(std::string_view mechanism, std::string_view client_first);
    // The client's last message. Errc::refused: the proof is wrong.
    Result<ScramProof> finish(std::string_view client_final);

private:
    ScramVerifier verifier_;
    std::string nonce_;  // Ours; then both.
    std::string binding_;
    std::string gs2_header_, client_first_bare_, server_first_;
    bool bound_ = false;
};

// What a client proves itself with.
struct ScramSecret {
    std::string password = {};  // Or, when empty, the keys:
    std::string client_key = {}, server_key = {}, salt = {};
    int iterations = 0;
};

class ScramClient {
public:
    // `binding`: the server certificate's hash to use -PLUS, else empty. `secret` must outlive the
    // exchange. `plus_refused`: TLS is on, but the server does not offer -PLUS (flag y).
    ScramClient(const ScramSecret& secret,
                std::string client_nonce,
                std::string binding,
                bool plus_refused);

    std::string_view mechanism() const {
        return binding_.empty() ? scram_mechanism : scram_plus_mechanism;
    }
    std::string first() const;
    // Errc::refused: the server's salt or iteration count are not those of the keys.
    Result<std::string> finish(std::string_view server_first);
    // Whether the server has proved that it knows us.
    Status check(std::string_view server_final) const;

private:
    const ScramSecret& secret_;
    std::string nonce_, binding_, gs2_header_, server_signature_;
};

// md5 as stored ("md5" and 32 digits) and as answered to a salt.
std::string md5_stored(std::string_view password, std::string_view user);
std::string md5_response(std::string_view stored, std::string_view salt);
bool is_md5_stored(std::string_view stored);

}  // namespace segue::protocol::postgres
