#include "protocol/crypto.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <cassert>

namespace segue::crypto {

namespace {

const unsigned char* raw(std::string_view data) {
    return reinterpret_cast<const unsigned char*>(data.data());
}
unsigned char* raw(std::string& data) { return reinterpret_cast<unsigned char*>(data.data()); }

std::string digest(std::string_view data, const EVP_MD* algorithm) {
    std::string result(static_cast<std::size_t>(EVP_MD_get_size(algorithm)), '\0');
    const int ok = EVP_Digest(data.data(), data.size(), raw(result), nullptr, algorithm, nullptr);
    assert(ok == 1);
    (void)ok;
    return result;
}

}  // namespace

std::string sha256(std::string_view data) { return digest(data, EVP_sha256()); }

std::string hmac_sha256(std::string_view key, std::string_view data) {
    std::string result(sha256_size, '\0');
    const unsigned char* done = HMAC(EVP_sha256(),
                                     key.data(),
                                     static_cast<int>(key.size()),
                                     raw(data),
                                     data.size(),
                                     raw(result),
                                     nullptr);
    assert(done != nullptr);
    (void)done;
    return result;
}

std::string pbkdf2_sha256(std::string_view password, std::string_view salt, int iterations) {
    std::string result(sha256_size, '\0');
    const int ok = PKCS5_PBKDF2_HMAC(password.data(),
                                     static_cast<int>(password.size()),
                                     raw(salt),
                                     static_cast<int>(salt.size()),
                                     iterations,
                                     EVP_sha256(),
                                     static_cast<int>(result.size()),
                                     raw(result));
    assert(ok == 1);
    (void)ok;
    return result;
}

std::string md5_hex(std::string_view data) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string hex;
    for (const char c : digest(data, EVP_md5())) {
        const auto value = static_cast<unsigned char>(c);
        hex += digits[value >> 4];
        hex += digits[value & 15];
    }
    return hex;
}

std::string base64(std::string_view data) {
    std::string encoded(4 * ((data.size() + 2) / 3), '\0');
    // Writes a zero after the end, which a string has room for.
    EVP_EncodeBlock(raw(encoded), raw(data), static_cast<int>(data.size()));
    return encoded;
}

std::optional<std::string> from_base64(std::string_view text) {
    if (text.size() % 4 != 0) return std::nullopt;
    if (text.empty()) return std::string{};
    std::string decoded(text.size() / 4 * 3, '\0');
    if (EVP_DecodeBlock(raw(decoded), raw(text), static_cast<int>(text.size())) < 0)
        return std::nullopt;
    // EVP_DecodeBlock counts padding as zero bytes.
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    decoded.resize(decoded.size() - padding);
    if (base64(decoded) != text) return std::nullopt;  // It forgives blanks; we do not.
    return decoded;
}

bool constant_time_equal(std::string_view a, std::string_view b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void wipe(std::string& secret) {
    secret.resize(secret.capacity());
    OPENSSL_cleanse(secret.data(), secret.size());
    secret.clear();
}

}  // namespace segue::crypto
