#pragma once
// Who may go on, among coroutines of the control thread: so many at a time, or one at a time for
// each session. Not thread-safe.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_map>
#include <utility>

#include "proxy/parcel.hpp"

namespace segue::proxy {

// A counting semaphore; who waits longest goes first.
class Permits {
public:
    Permits(boost::asio::any_io_executor control, std::size_t count);

    boost::asio::awaitable<void> acquire();
    // False, at once, when none is free.
    bool try_acquire();
    void release();

private:
    boost::asio::any_io_executor control_;
    std::size_t free_;
    std::deque<std::shared_ptr<Parcel<bool>>> waiting_;
};

// What has been acquired, released with it. Both the mover and its coroutines own the permits: a
// coroutine that was never ended is destroyed after the mover.
class Permit {
public:
    Permit() = default;
    explicit Permit(std::shared_ptr<Permits> acquired) : acquired_(std::move(acquired)) {}
    Permit(Permit&&) = default;
    Permit& operator=(Permit&& other) noexcept {
        std::swap(acquired_, other.acquired_);
        return *this;
    }
    ~Permit() {
        if (acquired_) acquired_->release();
    }
    explicit operator bool() const { return acquired_ != nullptr; }

private:
    std::shared_ptr<Permits> acquired_;
};

// One attempt at a time for each session: two would take its login from each other.
class Turns {
public:
    explicit Turns(boost::asio::any_io_executor control);

    boost::asio::awaitable<void> take(std::uint64_t id);
    void end(std::uint64_t id);

private:
    boost::asio::any_io_executor control_;
    std::unordered_map<std::uint64_t, std::deque<std::shared_ptr<Parcel<bool>>>>
        waiting_;  // Behind the one that is under way.
};

}  // namespace segue::proxy
