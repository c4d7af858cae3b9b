#include "proxy/role_secrets.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <utility>

#include "backfill/postgres/connection.hpp"
#include "proxy/server_leg.hpp"

namespace segue::proxy {

namespace asio = boost::asio;
using backfill::postgres::Connection;

// Owned by the coroutine that waits and by the thread that answers; the result is written on the
// control thread only.
struct RoleSecrets::Answer {
    explicit Answer(const asio::any_io_executor& executor, Deadline deadline)
        : woken(executor, deadline) {}
    asio::steady_timer woken;
    std::optional<Result<Stored>> result;
};

namespace {

constexpr auto use_tuple = asio::as_tuple(asio::use_awaitable);

Result<RoleSecrets::Stored> look_up(std::optional<Connection>& connection,
                                    const std::string& where,
                                    const std::string& role) {
    if (!connection || !connection->good()) {
        Connection::Options options;
        options.application_name = "segue secrets";
        Result<Connection> opened = Connection::open(where, options);
        if (!opened) return opened.error();
        connection = std::move(*opened);
    }
    auto rows = connection->execute(
        "SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1", {role});
    if (!rows) {
        if (rows.error().code != Errc::server) connection.reset();
        return rows.error();
    }
    if (rows->size() != 1 || rows->null(0, 0)) return RoleSecrets::Stored{};
    return RoleSecrets::Stored{rows->text(0, 0)};
}

}  // namespace

RoleSecrets::RoleSecrets(const ServerConfig& source, const ServerConfig& target)
    : connection_strings_{source.connection, target.connection}, mock_secret_(random_nonce()) {
    for (const Side side : {Side::source, Side::target}) {
        threads_[index(side)] = std::thread{[this, side] { run(side); }};
    }
}

RoleSecrets::~RoleSecrets() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

asio::awaitable<Result<RoleSecrets::Stored>> RoleSecrets::ask(Side side,
                                                              std::string role,
                                                              Deadline deadline) {
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    const auto answer = std::make_shared<Answer>(executor, deadline);
    {
        const std::lock_guard lock(mutex_);
        auto& questions = questions_[index(side)];
        if (questions.size() >= waiting_max)
            co_return Error{Errc::too_large, "too many logins at once"};
        questions.push_back({std::move(role), answer});
    }
    changed_.notify_all();
    (void)co_await answer->woken.async_wait(use_tuple);
    if (!answer->result)
        co_return Error{Errc::timed_out, "the role's verifier could not be read in time"};
    co_return std::move(*answer->result);
}

void RoleSecrets::run(Side side) {
    std::optional<Connection> connection;
    auto& questions = questions_[index(side)];
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [&] { return stopping_ || !questions.empty(); });
        if (stopping_) return;
        Question question = std::move(questions.front());
        questions.pop_front();
        lock.unlock();
        const bool was_open = connection.has_value();
        const std::string& where = connection_strings_[index(side)];
        auto result = look_up(connection, where, question.role);
        // A connection that has idled may have been lost since: once more on a fresh one.
        if (!result && was_open && !connection) result = look_up(connection, where, question.role);
        const asio::any_io_executor executor = question.answer->woken.get_executor();
        auto deliver = [answer = std::move(question.answer), found = std::move(result)]() mutable {
            answer->result.emplace(std::move(found));
            answer->woken.cancel();
        };
        asio::post(executor, std::move(deliver));
        lock.lock();
    }
}

}  // namespace segue::proxy
