#pragma once
// A TCP relay between two parties of a test: it passes bytes on until it is told to cut the
// connections, to go silent (half-open: everything stays connected, nothing arrives any more) or to
// be slow.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <thread>

namespace segue::test {

class Cable {
public:
    // Leads from a free port on 127.0.0.1 to that one.
    explicit Cable(int to_port);
    ~Cable();
    Cable(const Cable&) = delete;
    Cable& operator=(const Cable&) = delete;

    int port() const { return port_; }
    int to_port() const { return to_port_; }

    void cut();      // Resets what is connected; refuses what comes.
    void silence();  // What is connected gets nothing any more, ever; what comes is accepted and
                     // hears nothing.
    void delay(std::chrono::milliseconds each_way);  // For what arrives from now on.
    // New connections work again. Those that were silenced stay so, as behind a firewall that
    // forgot them.
    void mend();

private:
    enum class State { whole, cut, silent };
    struct Joint;
    void order(State state);
    void run();
    void accept_one();
    void carry();

    int port_ = 0, to_port_ = 0, listener_ = -1;
    std::atomic<State> state_{State::whole}, obeyed_{State::whole};
    std::atomic<std::int64_t> delay_ms_{0};
    std::atomic<bool> stopping_{false};
    std::list<std::unique_ptr<Joint>> joints_;  // Only the thread's.
    std::thread thread_;
};

}  // namespace segue::test
