#pragma once
// What `segue auto` keeps in the databases, so that a restart goes on with it: one row in
// segue.autopilot on each side. The text of the plan and of its state are the caller's affair.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "protocol/result.hpp"
#include "router/side.hpp"

namespace segue::backfill {

struct StoredPlan {
    std::uint64_t revision = 0;  // Raised by every writing: the higher one of both sides counts.
    std::string plan;            // Empty: no plan is under way.
    std::string state;
    std::string writer;  // The process that wrote it; of no meaning after it has ended.

    friend bool operator==(const StoredPlan&, const StoredPlan&) = default;
};

class PlanStore {
public:
    virtual ~PlanStore() = default;

    // Blocking, from one thread, bounded by seconds. Connects when needed. Empty where nothing was
    // written yet.
    virtual Result<std::optional<StoredPlan>> read(Side side) = 0;
    // Durable when it returns. Replaces what `plan.writer` has written itself, or what this store
    // has read or written there last, and never anything else: then somebody else has written
    // meanwhile (Errc::refused) and is to be read. Errc::closed where that side's migration is
    // finished: nothing is written, and nothing is made to write into. Any other Error: it may be
    // there, or not.
    virtual Status write(Side side, const StoredPlan& plan) = 0;
};

// URLs as libpq takes them.
std::unique_ptr<PlanStore> make_postgres_plan_store(std::string source_url, std::string target_url);

}  // namespace segue::backfill
