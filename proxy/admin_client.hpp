#pragma once
// The verbs' way to a running `segue run`: one request, one answer, with a deadline. Blocking.

#include <nlohmann/json.hpp>

#include <chrono>
#include <string>

#include "protocol/result.hpp"
#include "proxy/config.hpp"

namespace segue::proxy {

struct AdminAnswer {
    unsigned status = 0;
    std::string body;
};

inline constexpr std::chrono::seconds admin_answer_max{30};

class AdminClient {
public:
    AdminClient(Address address, std::string token)
        : address_(std::move(address)), token_(std::move(token)) {}

    // Errc::refused: nothing was sent, nobody listens there. Any other error: it may have arrived.
    Result<AdminAnswer> exchange(const std::string& method,
                                 const std::string& path,
                                 const std::string& body = "") const;

    std::string shown_address() const;

private:
    Address address_;
    std::string token_;
};

}  // namespace segue::proxy
