#include "proxy/plan_record.hpp"

#include <openssl/rand.h>

#include <cstdio>

namespace segue::proxy {

using backfill::StoredPlan;

namespace {

// 128 random bits as hex.
std::string new_writer() {
    unsigned char bits[16] = {};
    RAND_bytes(bits, sizeof bits);
    std::string text;
    for (const unsigned char byte : bits) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", byte);
        text += digits;
    }
    return text;
}

}  // namespace

PlanRecord::PlanRecord(std::unique_ptr<backfill::PlanStore> store)
    : store_(std::move(store)), writer_(new_writer()) {}

PlanRecord::Found PlanRecord::read() {
    Found found;
    for (const Side side : {Side::source, Side::target}) {
        auto stored = store_->read(side);
        if (!stored) {
            found.unread =
                "unknown until the " + std::string{name(side)} +
                " answers: what it keeps of a plan cannot be read: " + stored.error().detail;
            continue;
        }
        const bool newer = *stored && (!found.plan || (*stored)->revision > found.plan->revision);
        if (newer) found.plan = std::move(**stored);
    }
    found.news = found.plan && found.plan->writer != writer_ &&
                 taken_ != std::pair{found.plan->revision, found.plan->writer};
    return found;
}

void PlanRecord::take_over(const StoredPlan& plan) {
    taken_ = {plan.revision, plan.writer};
    revision_ = std::max(revision_, plan.revision);
}

Status PlanRecord::write(const std::string& plan,
                         const std::string& state,
                         Side authority,
                         bool both) {
    const StoredPlan stored{revision_ + 1, plan, state, writer_};
    if (Status written = store_->write(authority, stored); !written) return written;
    revision_ = stored.revision;
    Status other_written = store_->write(other(authority), stored);
    if (both || other_written || other_written.error().code == Errc::refused) return other_written;
    return Done{};
}

}  // namespace segue::proxy
