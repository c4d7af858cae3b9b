#pragma once
// The operator's thread: recovery at the start, then verbs one after another, and what has to be
// looked after in between. Verbs block there and nowhere else. One change at a time: a second verb
// is refused, not queued.

#include <nlohmann/json.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>

namespace segue::proxy {

// How a verb ended. `exit_code` is the process's (INTERFACE, Program).
struct VerbResult {
    int exit_code = 0;
    std::string text;  // For people, on standard output; on standard error when exit_code is not 0.
    nlohmann::json details = nlohmann::json::object();
    std::uint64_t course_changes = 0;  // Its own: see BoardState.

    static VerbResult done(std::string text, nlohmann::json details = nlohmann::json::object()) {
        return {0, std::move(text), std::move(details)};
    }
    static VerbResult refused(std::string text, nlohmann::json details = nlohmann::json::object()) {
        return {1, std::move(text), std::move(details)};
    }
};

// What runs on the operator's thread.
class OperatorWork {
public:
    virtual ~OperatorWork() = default;
    // Recovery: true once it is through; called again after a pause until then.
    virtual bool recover() = 0;
    virtual VerbResult run(const std::string& verb, const nlohmann::json& arguments) = 0;
    // Between verbs, every `operator_tick`. False: who the authority is has to be found out anew.
    virtual bool tick() = 0;
};

inline constexpr std::chrono::milliseconds operator_tick{500};
// A verb that is given while recovery is still under way waits for it this long, and is refused
// then.
inline constexpr std::chrono::seconds recovery_wait{5};
inline constexpr std::size_t results_kept_max = 64;  // Older results are forgotten.

class Operator {
public:
    explicit Operator(OperatorWork& work) : work_(work) {}
    ~Operator();  // stop()

    void start();
    // Waits for the verb that runs; verbs that have not begun are forgotten.
    void stop();

    struct Refused {
        std::string reason;
    };
    // Any thread. The number to ask with. `after`: only where no verb has been given since that
    // one.
    std::variant<std::uint64_t, Refused> submit(const std::string& verb,
                                                nlohmann::json arguments,
                                                std::optional<std::uint64_t> after = std::nullopt);

    struct View {
        std::string verb;
        std::optional<VerbResult> result;  // Empty: it runs.
    };
    std::optional<View> view(std::uint64_t number) const;
    std::string current_verb() const;
    // The number of the last verb, 0 before the first; empty while one runs.
    std::optional<std::uint64_t> last_ended() const;

private:
    struct Job {
        std::uint64_t number = 0;
        std::string verb;
        nlohmann::json arguments;
        std::chrono::steady_clock::time_point since;
        std::optional<VerbResult> result;
    };
    void loop();
    void recover(std::unique_lock<std::mutex>& lock);  // Until it is through.
    void work(std::unique_lock<std::mutex>& lock);     // Until it is to be done anew.
    void refuse_impatient();                           // With the mutex held.

    OperatorWork& work_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Job> jobs_;  // The last one is the one that runs or has run last.
    bool running_ = false;  // The last job has no result yet.
    bool stopping_ = false;
    std::uint64_t next_number_ = 1;
    std::thread thread_;
};

}  // namespace segue::proxy
