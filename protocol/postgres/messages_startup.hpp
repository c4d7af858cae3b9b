#pragma once
// What is said before a connection has a protocol: startup packets (framer.hpp cuts them).

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/bytes.hpp"
#include "protocol/result.hpp"

namespace segue::protocol::postgres {

inline constexpr std::uint32_t protocol_3_0 = 196608;
inline constexpr std::uint32_t protocol_3_2 = 196610;  // Differs in the length of cancel keys only.
inline constexpr std::uint32_t cancel_request_code = 80877102;
inline constexpr std::uint32_t ssl_request_code = 80877103;
inline constexpr std::uint32_t gssenc_request_code = 80877104;
inline constexpr std::size_t cancel_key_size_max = 256;

// StartupMessage := int32 length, int32 version, (cstring name, cstring value)*, byte 0
struct StartupMessage {
    std::uint32_t version = protocol_3_0;
    std::vector<std::pair<std::string, std::string>>
        parameters;                             // In their order; `_pq_.` options apart.
    std::vector<std::string> protocol_options;  // Names of `_pq_.` options.

    // The first of that name, or empty.
    std::string_view parameter(std::string_view name) const;
    friend bool operator==(const StartupMessage&, const StartupMessage&) = default;
};

// `code` and `body` of a StartupPacket whose code is a protocol version.
Result<StartupMessage> parse_startup(std::uint32_t code, Bytes body);
std::string encode_startup(const StartupMessage& message);  // Without protocol options.

// CancelRequest := int32 length, int32 code, int32 pid, key (4 bytes in 3.0, up to 256 in 3.2)
struct CancelRequest {
    std::int32_t pid = 0;
    std::string key;
    friend bool operator==(const CancelRequest&, const CancelRequest&) = default;
};
Result<CancelRequest> parse_cancel_request(Bytes body);
std::string encode_cancel_request(const CancelRequest& request);

// SSLRequest := int32 8, int32 code
std::string encode_ssl_request();

}  // namespace segue::protocol::postgres
