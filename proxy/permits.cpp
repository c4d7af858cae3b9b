#include "proxy/permits.hpp"

#include <utility>

namespace segue::proxy {

namespace asio = boost::asio;

Permits::Permits(asio::any_io_executor control, std::size_t count)
    : control_(std::move(control)), free_(count) {}

asio::awaitable<void> Permits::acquire() {
    if (try_acquire()) co_return;
    auto turn = std::make_shared<Parcel<bool>>(control_);
    waiting_.push_back(turn);
    (void)co_await turn->take();
}

bool Permits::try_acquire() {
    if (free_ == 0) return false;
    --free_;
    return true;
}

void Permits::release() {
    if (waiting_.empty()) {
        ++free_;
        return;
    }
    waiting_.front()->deliver(true);
    waiting_.pop_front();
}

Turns::Turns(asio::any_io_executor control) : control_(std::move(control)) {}

asio::awaitable<void> Turns::take(std::uint64_t id) {
    const auto [entry, first] = waiting_.try_emplace(id);
    if (first) co_return;
    auto turn = std::make_shared<Parcel<bool>>(control_);
    entry->second.push_back(turn);
    (void)co_await turn->take();
}

void Turns::end(std::uint64_t id) {
    const auto entry = waiting_.find(id);
    if (entry->second.empty()) {
        waiting_.erase(entry);
        return;
    }
    entry->second.front()->deliver(true);
    entry->second.pop_front();
}

}  // namespace segue::proxy
