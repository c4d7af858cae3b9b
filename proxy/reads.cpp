#include "proxy/reads.hpp"

#include <utility>

namespace segue::proxy {

namespace {

constexpr std::chrono::milliseconds look_every{50};

}  // namespace

Reads::~Reads() { stop(); }

void Reads::start() {
    thread_ = std::thread{[this] { run(); }};
}

void Reads::stop() {
    {
        const std::lock_guard lock{stop_mutex_};
        stopping_ = true;
    }
    stop_changed_.notify_all();
    if (thread_.joinable()) thread_.join();
}

bool Reads::is_active() const {
    return traffic_.shadow_percent.load() > 0 || traffic_.shift_percent.load() > 0;
}

void Reads::run() {
    auto loaded_at = std::chrono::steady_clock::time_point::min();
    Side loaded_of = Side::source;
    std::unique_lock lock{stop_mutex_};
    while (!stop_changed_.wait_for(lock, look_every, [this] { return stopping_; })) {
        if (!is_active()) continue;
        const Side follower = other(traffic_.authority.load());
        const auto now = std::chrono::steady_clock::now();
        const bool missing = catalog(follower) == nullptr || loaded_of != follower;
        const bool old = !missing && now - loaded_at > catalog_age_max;
        const bool asked =
            !missing && now - loaded_at > catalog_pause_min && refresh_wanted_.load();
        if (!missing && !old && !asked) continue;
        lock.unlock();
        refresh_wanted_.store(false);
        load_catalog(follower);
        loaded_at = now;
        loaded_of = follower;
        lock.lock();
    }
}

// A catalog that cannot be read any more is not believed any more: no read goes to that follower.
void Reads::load_catalog(Side follower) {
    Result<backfill::postgres::LoadedCatalog> loaded = load_(follower);
    const std::lock_guard lock{catalog_mutex_};
    auto& current = catalogs_[index(follower)];
    if (!loaded) {
        current.reset();
        return;
    }
    if (current && current->mark == loaded->mark) return;
    current = std::make_shared<const CatalogVersion>(
        CatalogVersion{std::move(loaded->catalog), loaded->mark, ++generation_});
}

std::shared_ptr<const CatalogVersion> Reads::catalog(Side follower) const {
    const std::lock_guard lock{catalog_mutex_};
    return catalogs_[index(follower)];
}

bool Reads::is_demoted(Hash128 statement) const {
    const std::lock_guard lock{mutex_};
    return demotions_.contains(statement);
}

void Reads::demote(Hash128 statement) {
    const std::lock_guard lock{mutex_};
    demotions_.add(statement);
}

void Reads::count_comparison(Side authority, const MeasuredRead& read) {
    // First: a report never counts what its figures do not have yet.
    if (authority == traffic_.authority.load()) {
        const std::lock_guard lock{figures_mutex_};
        if (std::exchange(figures_of_, authority) != authority) figures_.forget();
        figures_.add(read);
    }
    switch (read.outcome) {
        case Comparison::equal:
            equal_.fetch_add(1);
            break;
        case Comparison::different:
            different_.fetch_add(1);
            break;
        case Comparison::unconfirmed:
            unconfirmed_.fetch_add(1);
            break;
        case Comparison::impossible:
            timed_.fetch_add(1);
            break;
    }
}

ShadowReport Reads::shadow_report() const {
    ShadowReport report;
    report.equal = equal_.load();
    report.different = different_.load();
    report.unconfirmed = unconfirmed_.load();
    report.compared = report.equal + report.different + report.unconfirmed;
    report.timed = timed_.load();
    report.shed = shed_.load();
    const std::lock_guard lock{figures_mutex_};
    if (figures_of_ == traffic_.authority.load()) figures_.report(report);
    return report;
}

ShiftReport Reads::shift_report() const {
    const auto rule = traffic_.shift_rules.current();
    const router::SessionShare sessions = rule->balance->now();
    return {served_.load(), fallbacks_.load(), sessions.chosen(), sessions.total()};
}

bool ThreadReads::refresh() {
    const Traffic& traffic = shared_.traffic();
    knobs_.shadow_percent = traffic.shadow_percent.load(std::memory_order_relaxed);
    // With it comes the rule that was set before it.
    const double shift = traffic.shift_percent.load(std::memory_order_acquire);
    const double before = std::exchange(knobs_.shift_percent, shift);
    if (before > 0 && shift <= 0) shares_.shift.take(0);  // Nothing is owed from before.
    if (knobs_.shadow_percent <= 0 && knobs_.shift_percent <= 0) [[likely]]
        return false;
    authority_ = traffic.authority.load();
    if (const std::uint64_t version = traffic.shift_rules.version(); version != rule_version_) {
        rule_ = traffic.shift_rules.current();
        rule_version_ = version;
        // It may be newer than the percentage: that is read with the next look.
        knobs_.shift_percent = std::min(shift, traffic.shift_percent.load());
    }
    catalog_ = shared_.catalog(other(authority_));
    return true;
}

const protocol::postgres::KnownStatement* ThreadReads::know(std::string_view text) {
    if (!catalog_) return nullptr;
    if (catalog_seen_ != catalog_->generation || rule_seen_ != rule_version_) {
        catalog_seen_ = catalog_->generation;
        rule_seen_ = rule_version_;
        ++generation_;
    }
    return &cache_.find(text, catalog_->catalog, generation_, rule_->tables);
}

}  // namespace segue::proxy
