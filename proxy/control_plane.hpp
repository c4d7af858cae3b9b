#pragma once
// The control thread: one Asio context, run by one thread, and the signals that end the program.

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <future>
#include <thread>

namespace segue::proxy {

// From the first signal to the end of the process; then it is ended without order.
inline constexpr std::chrono::seconds stop_max{30};

class ControlPlane {
public:
    ControlPlane();
    ~ControlPlane();  // stop()

    boost::asio::io_context& context() { return context_; }
    void start();
    // Joins the thread. What was under way there ends without a word: for whoever is about to
    // destroy what it uses.
    void stop();
    // What SIGHUP does, on the control thread. Before `start`; until then it does nothing.
    void on_hangup(std::function<void()> action) { hangup_ = std::move(action); }
    // Blocks until SIGTERM or SIGINT. A second one ends the process at once.
    void wait_for_signal();
    // Runs `task` on the control thread and waits for it. Not from that thread.
    void run(std::function<void()> task);

private:
    void arm();

    boost::asio::io_context context_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    boost::asio::signal_set signals_;
    boost::asio::steady_timer last_resort_;
    std::function<void()> hangup_;
    std::promise<void> signalled_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace segue::proxy
