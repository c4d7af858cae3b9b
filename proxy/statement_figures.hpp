#pragma once
// What was found out about each statement that both sides have executed, so that an operator learns
// which reads differ, and which take longer on the follower before it answers them. Thread-safe.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "backfill/postgres/statement_plan.hpp"
#include "backfill/suspects.hpp"
#include "proxy/sessions.hpp"

namespace segue::proxy {

// Statements with figures of their own; further ones are only counted, in the totals and as
// unmeasured.
inline constexpr std::size_t statements_measured_max = 2000;
inline constexpr std::size_t statements_reported_max = 10;
inline constexpr std::size_t slower_reported_max = 20;
// Texts that are kept to be planned; statements beyond it have figures and no plans.
inline constexpr std::size_t plannable_bytes_max = 8u << 20;
// Names of tables and functions that are kept of suspected reads, together; of further ones it is
// not told what has come of them.
inline constexpr std::size_t suspected_names_max = 20'000;
// Role and settings of the session, which are kept for a statement's plan. A session that has more
// lends its statements none.
inline constexpr std::size_t plan_context_bytes_max = 4096;

enum class Comparison : std::uint8_t {
    equal,
    different,
    unconfirmed,
    impossible  // The time of day, a LIMIT without an order, or the follower was given up.
};

// What a read reads whose rows are suspected to differ.
struct SuspectedRead {
    std::shared_ptr<const backfill::ReadTables> reads;  // Never null.
    backfill::WallTime seen_at;  // Of the snapshots in which it did, or was too much to be asked.
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
    std::optional<SuspectedRead> suspected = std::nullopt;
    backfill::WallTime found_at = std::chrono::system_clock::now();
};

class StatementFigures {
public:
    using SuspectsNow = std::function<std::vector<backfill::Suspect>()>;

    // `suspects`: what has come of the tables of reads that differ; null: they are not followed up.
    explicit StatementFigures(router::SlowerLimits limits = {}, SuspectsNow suspects = nullptr)
        : limits_(limits), suspects_(std::move(suspects)) {}

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
        // Of all its executions that were suspected, and since when.
        backfill::ReadTables reads;
        std::optional<backfill::WallTime> suspected_since;
        backfill::WallTime different_at;  // Last.
    };
    void count_rows(const std::vector<StatementReport>& all, ShadowReport& report) const;
    // With the mutex held; null beyond the limit.
    Figures* find(std::uint64_t fingerprint, const MeasuredRead& read);
    void add_answers(Figures& figures,
                     const MeasuredRead::Answer& authority,
                     const MeasuredRead::Answer& follower);
    void learn_question(Figures& figures, const MeasuredRead& read);
    void learn_tables(Figures& figures, const SuspectedRead& read);
    static StatementReport reported(std::uint64_t fingerprint,
                                    const Figures& figures,
                                    const std::vector<backfill::Suspect>& suspects);

    router::SlowerLimits limits_;
    SuspectsNow suspects_;
    mutable std::mutex mutex_;
    std::unordered_map<std::uint64_t, Figures> figures_;
    std::size_t plannable_bytes_ = 0;
    std::size_t suspected_names_ = 0;
    std::uint64_t unmeasured_ = 0;
    std::uint64_t forgotten_ = 0;  // So often.
};

}  // namespace segue::proxy
