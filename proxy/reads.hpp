#pragma once
// What all sessions share when reads are shadowed or shifted: what the catalog knows of names,
// which statements were refused by a follower, the counts, and the figures by statement.
// Thread-safe.

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "backfill/postgres/volatility_catalog.hpp"
#include "protocol/hash.hpp"
#include "protocol/postgres/statement_cache.hpp"
#include "proxy/sessions.hpp"
#include "proxy/statement_figures.hpp"
#include "proxy/traffic.hpp"
#include "router/route.hpp"

namespace segue::proxy {

inline constexpr std::chrono::seconds catalog_age_max{5};
// After DDL has gone by, but not more often than this.
inline constexpr std::chrono::milliseconds catalog_pause_min{500};
// How long a shifted read waits until the follower has what the authority showed when it arrived.
inline constexpr std::chrono::milliseconds shift_wait_max{100};

struct CatalogVersion {
    protocol::postgres::ReadCatalog catalog;
    Hash128 mark;
    std::uint64_t generation = 0;
};

class Reads {
public:
    using LoadCatalog = std::function<Result<backfill::postgres::LoadedCatalog>(Side)>;

    // `load` is called on a thread of our own, with the follower's side, while reads are shadowed
    // or shifted.
    Reads(const Traffic& traffic,
          LoadCatalog load,
          router::SlowerLimits slower = {},
          StatementFigures::SuspectsNow suspects = nullptr)
        : traffic_(traffic), load_(std::move(load)), figures_(slower, std::move(suspects)) {}
    ~Reads();  // stop()
    void start();
    void stop();

    const Traffic& traffic() const { return traffic_; }
    // Null before the first load, and after a change of authority until the new follower's is
    // loaded.
    std::shared_ptr<const CatalogVersion> catalog(Side follower) const;
    // At once, on the caller's thread; the thread of our own does the same from time to time.
    void load_catalog(Side follower);
    void refresh_catalog() { refresh_wanted_.store(true, std::memory_order_relaxed); }

    bool is_demoted(Hash128 statement) const;
    void demote(Hash128 statement);

    // `authority`: the side that answered the client. Figures are of one direction: what comes in
    // late from before a change of authority is only counted in the totals.
    void count_comparison(Side authority, const MeasuredRead& read);
    StatementFigures& figures() { return figures_; }
    void count_shed() { shed_.fetch_add(1, std::memory_order_relaxed); }
    void count_shifted() { served_.fetch_add(1, std::memory_order_relaxed); }
    void count_fallback() { fallbacks_.fetch_add(1, std::memory_order_relaxed); }

    ShadowReport shadow_report() const;
    ShiftReport shift_report() const;
    std::vector<StatementSums> statement_sums() const { return figures_.sums(); }

private:
    void run();
    bool is_active() const;

    const Traffic& traffic_;
    LoadCatalog load_;
    std::atomic<bool> refresh_wanted_{false};

    mutable std::mutex catalog_mutex_;
    std::array<std::shared_ptr<const CatalogVersion>, 2> catalogs_;  // By index(side).
    std::uint64_t generation_ = 0;

    mutable std::mutex mutex_;  // Of the demotions.
    protocol::postgres::Demotions demotions_;

    mutable std::mutex figures_mutex_;
    Side figures_of_ = Side::source;  // The authority that they compare with.
    StatementFigures figures_;

    std::atomic<std::uint64_t> equal_{0}, different_{0}, unconfirmed_{0}, timed_{0}, shed_{0};
    std::atomic<std::uint64_t> served_{0}, fallbacks_{0};

    std::mutex stop_mutex_;
    std::condition_variable stop_changed_;
    bool stopping_ = false;
    std::thread thread_;
};

// One relay thread's view: its cache of judged statements and its part of the shares.
class ThreadReads {
public:
    explicit ThreadReads(Reads& shared) : shared_(shared) {}

    // At the start of a turn. False while nothing is shadowed or shifted.
    bool refresh();
    // Only after a refresh that returned true. Null while the catalog is not known.
    const protocol::postgres::KnownStatement* know(std::string_view text);

    Reads& shared() { return shared_; }
    router::Shares& shares() { return shares_; }
    const router::Knobs& knobs() const { return knobs_; }
    // Which reads may be shifted; another object is another rule.
    const ShiftRule& rule() const { return *rule_; }
    Side authority() const { return authority_; }

private:
    Reads& shared_;
    protocol::postgres::StatementCache cache_;
    router::Shares shares_;
    router::Knobs knobs_;
    Side authority_ = Side::source;
    std::shared_ptr<const CatalogVersion> catalog_;
    std::shared_ptr<const ShiftRule> rule_ = std::make_shared<ShiftRule>();
    std::uint64_t rule_version_ = 0;
    // What the cache was filled under.
    std::uint64_t generation_ = 0, catalog_seen_ = 0, rule_seen_ = 0;
};

}  // namespace segue::proxy
