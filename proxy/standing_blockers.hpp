#pragma once
// What a change of authority would be refused for by the databases themselves: a missing index, a
// prepared transaction, a table that is not moved. Looked for now and then on a thread of its own,
// so that no way is called open that is not.

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backfill/change_steps.hpp"
#include "protocol/result.hpp"
#include "router/side.hpp"

namespace segue::proxy {

// Between two looks.
inline constexpr std::chrono::seconds blockers_look_every{15};
// Between two of `otherwise`.
inline constexpr std::chrono::seconds otherwise_every{5};
// After one that was in vain.
inline constexpr std::chrono::seconds blockers_retry{3};
// What is seen for the first time is looked at again after so long.
inline constexpr std::chrono::seconds blockers_doubt{1};
// Where a look takes long the pause is at least so many times as long as it took.
inline constexpr int blockers_look_share = 20, blockers_doubt_share = 4;

// Which of them stand. A change of the schema is there on one side a moment before the other one,
// and a prepared transaction is usual for a moment: but for the first look of all, what is new
// counts when it was seen twice in a row. A value.
class SeenBlockers {
public:
    // True: something is in doubt, look again soon.
    bool note(std::vector<std::string> found);
    bool known() const { return known_; }
    const std::vector<std::string>& standing() const { return standing_; }

private:
    bool known_ = false;
    std::vector<std::string> standing_, seen_;
};

class StandingBlockers {
public:
    using Clock = std::chrono::steady_clock;
    struct Sources {
        // Its own, which nobody else asks by, and new ones for each authority: they remember which
        // migration it is.
        std::function<std::unique_ptr<backfill::ChangeSteps>()> make_steps;
        // The authority that would be left; empty: there is none to be left now.
        std::function<std::optional<Side>()> authority;
        std::function<bool()> may_look;  // False: a change is under way.
        // Done with them now and then while there is none to be left.
        std::function<void(backfill::ChangeSteps&)> otherwise = [](backfill::ChangeSteps&) {};
        std::function<Clock::time_point()> now = Clock::now;
    };
    explicit StandingBlockers(Sources sources)
        : sources_(std::move(sources)),
          steps_(sources_.make_steps()),
          next_(sources_.now()) {}
    ~StandingBlockers() { stop(); }
    void start();
    void end_soon();  // After the look that is under way; does not wait for it.
    void stop();
    // Looks if it is time to; what the thread does again and again.
    void turn();

    // Any thread. Against leaving that authority, if any: as long as another one was looked at
    // nothing is known, which is a reason as well.
    std::vector<std::string> against_leaving(std::optional<Side> authority) const;

private:
    void loop();
    Clock::duration look();  // Until the next one.

    Sources sources_;
    std::unique_ptr<backfill::ChangeSteps> steps_;  // For `authority_`.
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<Side> authority_;  // That `seen_` is about.
    SeenBlockers seen_;
    std::string problem_;  // Why nothing could be found out.
    bool stopping_ = false;
    Clock::time_point next_;  // Of whoever takes the turns.
    std::thread thread_;
};

}  // namespace segue::proxy
