#pragma once
// What operators ask of `segue auto`, and how each of them was answered: like a verb it has a
// number, to ask with. Nothing waits here for longer than a look at the migration lasts: what
// cannot be done then is refused, so that no word of an hour ago takes effect.

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>

#include "protocol/result.hpp"
#include "proxy/operator.hpp"
#include "router/plan.hpp"

namespace segue::proxy {

struct PilotRequest {
    enum class Ask : std::uint8_t { post, pause, resume, give_up };
    Ask ask = Ask::pause;
    std::string who;
    std::string text, file;                // post
    std::optional<router::AutoPlan> plan;  // post
    std::uint64_t number = 0;
};

// Thread-safe.
class PilotRequests {
public:
    static constexpr std::size_t waiting_max = 16;
    static constexpr std::size_t answers_kept_max = 64;  // Older ones are forgotten.

    // Its number; refused where too many wait.
    Result<std::uint64_t> push(PilotRequest request);
    std::deque<PilotRequest> waiting() const;
    // Of one that waits.
    void answer(std::uint64_t number, VerbResult result);
    // All that wait.
    void refuse(const std::string& reason);

    std::optional<Operator::View> view(std::uint64_t number) const;

private:
    struct Answer {
        std::uint64_t number = 0;
        Operator::View view;
    };

    mutable std::mutex mutex_;
    std::deque<PilotRequest> waiting_;
    std::deque<Answer> answers_;
    std::uint64_t next_number_ = 1;
};

}  // namespace segue::proxy
