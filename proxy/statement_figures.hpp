#pragma once
// What was found out about each statement that both sides have executed, so that an operator learns
// which reads differ, and which take longer on the follower before it answers them. Thread-safe.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "backfill/postgres/statement_plan.hpp"
#include "proxy/sessions.hpp"

namespace segue::proxy {

// Statements with figures of their own; further ones are only counted, in the totals and as
// unmeasured.
inline constexpr std::size_t statements_measured_max = 2000;
inline constexpr std::size_t statements_reported_max = 10;
inline constexpr std::size_t slower_reported_max = 20;
// Texts that are kept to be planned; statements beyond it have figures and no plans.
inline constexpr std::size_t plannable_bytes_max = 8u << 20;
// Role and settings of the session, which are kept for a statement's plan. A session that has more
// lends its statements none.
inline constexpr std::size_t plan_context_bytes_max = 4096;

enum class Comparison : std::uint8_t {
    equal,
    different,
    unconfirmed,
    impossible  // The time of day, a LIMIT without an order, or the follower was given up.
};

// One execution on both sides.
struct MeasuredRead {
    struct Answer {
        std::chrono::microseconds latency{0};
        std::uint64_t rows = 0;
    };
    std::string_view text;  // As the application sent it: only what is left without its values is
                            // kept.
    Comparison outcome = Comparison::equal;
    // Empty where one of them failed: that it was quick says nothing.
    std::optional<std::pair<Answer, Answer>> answers;  // The authority's, the follower's.
    // For its plan; null: it cannot be asked for.
    std::shared_ptr<const backfill::postgres::PlanContext> context = nullptr;
    std::vector<std::uint32_t> parameter_types = {};
};

class StatementFigures {
public:
    explicit StatementFigures(router::SlowerLimits limits = {}) : limits_(limits) {}

    void add(const MeasuredRead& read);

    // Into `report`: those that differ most often, then those that could not be confirmed, then
    // those by which the follower loses most time, at most statements_reported_max; those that are
    // slower, at most slower_reported_max; and the counts.
    void report(ShadowReport& report) const;
    // Every statement: slower ones first, then those by which most time is lost.
    std::vector<StatementReport> all() const;
    // Of every statement, as they only grow: what is forgotten goes on under another name.
    std::vector<StatementSums> sums() const;
    // Empty for a statement that is not known here. Without a text where it cannot be planned.
    std::optional<backfill::postgres::PlanQuestion> question(std::uint64_t fingerprint) const;

    // Begins anew, with room for other statements: the sides have changed their roles, or something
    // was mended.
    void forget();

private:
    struct Window {
        router::LatencyHistogram authority, follower;
        std::uint64_t authority_rows = 0, follower_rows = 0;
    };
    struct Figures {
        std::string statement;  // redacted
        backfill::postgres::PlanQuestion question;
        std::uint64_t compared = 0, different = 0, unconfirmed = 0, timed = 0;
        Window now, before;
        std::uint64_t executions = 0;  // The sums.
        std::chrono::microseconds authority{0}, follower{0};
        bool slower = false;
    };
    // With the mutex held; null beyond the limit.
    Figures* find(std::uint64_t fingerprint, const MeasuredRead& read);
    void add_answers(Figures& figures,
                     const MeasuredRead::Answer& authority,
                     const MeasuredRead::Answer& follower);
    void learn_question(Figures& figures, const MeasuredRead& read);
    static StatementReport reported(std::uint64_t fingerprint, const Figures& figures);

    router::SlowerLimits limits_;
    mutable std::mutex mutex_;
    std::unordered_map<std::uint64_t, Figures> figures_;
    std::size_t plannable_bytes_ = 0;
    std::uint64_t unmeasured_ = 0;
    std::uint64_t forgotten_ = 0;  // So often.
};

}  // namespace segue::proxy
