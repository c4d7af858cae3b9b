#pragma once
// One value on its way from a relay thread to a coroutine of the control plane.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cassert>
#include <memory>
#include <optional>
#include <utility>

namespace segue::proxy {

// Shared by the two threads: the relay thread delivers once, the coroutine takes once.
template <class T>
class Parcel : public std::enable_shared_from_this<Parcel<T>> {
public:
    explicit Parcel(const boost::asio::any_io_executor& control)
        : arrival_(control, boost::asio::steady_timer::time_point::max()) {}

    // Any thread.
    void deliver(T value) {
        auto arrived = [self = this->shared_from_this(), moved = std::move(value)]() mutable {
            self->value_ = std::move(moved);
            self->arrival_.cancel();
        };
        boost::asio::post(arrival_.get_executor(), std::move(arrived));
    }

    // Control thread. Whoever delivers always does, in the end; that is what bounds the wait.
    boost::asio::awaitable<T> take() {
        if (!value_) {
            co_await arrival_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
        }
        assert(value_);
        co_return std::move(*value_);
    }

private:
    boost::asio::steady_timer arrival_;
    std::optional<T> value_;
};

}  // namespace segue::proxy
