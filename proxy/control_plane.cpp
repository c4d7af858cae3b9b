#include "proxy/control_plane.hpp"

#include <spdlog/spdlog.h>
#include <boost/asio/post.hpp>

#include <csignal>
#include <cstdlib>
#include <utility>

namespace segue::proxy {

ControlPlane::ControlPlane()
    : work_(context_.get_executor()),
      signals_(context_, SIGTERM, SIGINT, SIGHUP),
      last_resort_(context_) {
    arm();
}

ControlPlane::~ControlPlane() { stop(); }

void ControlPlane::stop() {
    work_.reset();
    context_.stop();
    if (thread_.joinable()) thread_.join();
}

void ControlPlane::arm() {
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
        if (error) return;
        if (signal == SIGHUP) {
            if (hangup_ && !stopping_) hangup_();
            return arm();
        }
        if (std::exchange(stopping_, true)) {
            spdlog::warn("stop: signal {} again: ending at once", signal);
            std::_Exit(1);
        }
        spdlog::info("stop: signal {}", signal);
        last_resort_.expires_after(stop_max);
        last_resort_.async_wait([](const boost::system::error_code& cancelled) {
            if (cancelled) return;
            spdlog::error("stop: not in order within {} s: ending at once", stop_max.count());
            std::_Exit(1);
        });
        signalled_.set_value();
        arm();
    });
}

void ControlPlane::start() {
    thread_ = std::thread{[this] { context_.run(); }};
}

void ControlPlane::wait_for_signal() { signalled_.get_future().wait(); }

void ControlPlane::run(std::function<void()> task) {
    std::packaged_task<void()> packaged{std::move(task)};
    auto done = packaged.get_future();
    boost::asio::post(context_, std::move(packaged));
    done.wait();
}

}  // namespace segue::proxy
