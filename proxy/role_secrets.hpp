#pragma once
// Asks a server for one role's stored password verifier, over Segue's own connection on a thread
// for each server, because libpq blocks, and a server that does not answer must not keep the
// other's logins waiting. Answers are not kept: a password may change at any time.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <array>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "protocol/result.hpp"
#include "proxy/config.hpp"
#include "proxy/wait.hpp"
#include "router/side.hpp"

namespace segue::proxy {

class RoleSecrets {
public:
    static constexpr std::size_t waiting_max = 4096;  // Beyond it: an Error at once.

    // What is stored; empty when the role does not exist or has no password.
    using Stored = std::optional<std::string>;

    RoleSecrets(const ServerConfig& source, const ServerConfig& target);
    ~RoleSecrets();  // Joins the threads; whoever still waits gets no answer before its deadline.

    // On the control thread. An Error when verifiers cannot be read there, or not now.
    boost::asio::awaitable<Result<Stored>> ask(Side side, std::string role, Deadline deadline);

    // Of this process, for the verifiers of roles that have none: they must look the same each
    // time.
    const std::string& mock_secret() const { return mock_secret_; }

private:
    struct Answer;
    struct Question {
        std::string role;
        std::shared_ptr<Answer> answer;
    };
    void run(Side side);

    std::array<std::string, 2> connection_strings_;
    std::string mock_secret_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::array<std::deque<Question>, 2> questions_;
    bool stopping_ = false;
    std::array<std::thread, 2> threads_;
};

}  // namespace segue::proxy
