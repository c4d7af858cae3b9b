#pragma once
// The plan that is followed, as the databases keep it and this process knows it: what it has
// written itself, and whether somebody else has written since.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "backfill/plan_store.hpp"

namespace segue::proxy {

// One thread.
class PlanRecord {
public:
    explicit PlanRecord(std::unique_ptr<backfill::PlanStore> store);

    struct Found {
        // Of what could be read, the newest; empty where nothing was written.
        std::optional<backfill::StoredPlan> plan;
        bool news = false;   // It is not what this process has written or taken over.
        std::string unread;  // Which side could not be read, and why; empty: both were.
    };
    Found read();
    // From now on it is what this process goes by.
    void take_over(const backfill::StoredPlan& plan);
    // Durable on the authority when it returns; on both sides where `both`, else on the other one
    // if it is there. Errc::refused: somebody else has written. Another Error: it may be kept, or
    // not.
    Status write(const std::string& plan, const std::string& state, Side authority, bool both);

private:
    std::unique_ptr<backfill::PlanStore> store_;
    const std::string writer_;
    std::uint64_t revision_ = 0;
    std::pair<std::uint64_t, std::string> taken_;  // Revision and writer of what was taken over.
};

}  // namespace segue::proxy
