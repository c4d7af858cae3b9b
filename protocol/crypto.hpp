#pragma once
// The cryptography that database logins need; the only file of protocol/ that knows OpenSSL. Values
// are raw bytes in strings. No random source here: callers bring nonces and salts.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace segue::crypto {

inline constexpr std::size_t sha256_size = 32;

std::string sha256(std::string_view data);
std::string hmac_sha256(std::string_view key, std::string_view data);
std::string pbkdf2_sha256(std::string_view password, std::string_view salt, int iterations);
std::string md5_hex(std::string_view data);

std::string base64(std::string_view data);
std::optional<std::string> from_base64(std::string_view text);  // Empty when malformed.

// Takes the same time wherever they differ; false at once when the lengths do.
bool constant_time_equal(std::string_view a, std::string_view b);

// Overwrites a secret in place, also the part of the buffer that its size does not cover.
void wipe(std::string& secret);

}  // namespace segue::crypto
