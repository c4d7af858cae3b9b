// The thread that keeps the follower's sequences ahead, while everything is copied.

#include "backfill/postgres/lock_retry.hpp"
#include "backfill/postgres/mover_run.hpp"

namespace segue::backfill::postgres {

namespace {

// Between two looks. Where there are so many that one takes long, the servers rest longer.
constexpr std::chrono::seconds sequences_interval{1};
constexpr int rests_per_look = 20;
constexpr std::string_view undefined_table = "42P01";

}  // namespace

Status MoverRun::look_at_sequences() {
    const Told told = shared_.told();
    // Somebody may hold the lock of one, or drop one between the list and its place.
    return retry_locked(std::chrono::steady_clock::now() + lock_wait_max, [&] {
        const Status looked = look_at_sequences_once(told);
        const bool dropped = !looked && looked.error().sqlstate == undefined_table;
        return dropped ? look_at_sequences_once(told) : looked;
    });
}

Status MoverRun::look_at_sequences_once(const Told& told) {
    const std::lock_guard lock{sequence_links_mutex_};
    for (const Side side : {Side::source, Side::target}) {
        auto& kept = sequence_links_[index(side)];
        if (kept) continue;
        auto opened = link(side, LinkKind::writer);
        if (!opened) return opened.error();
        kept.emplace(std::move(*opened));
    }
    Status looked = shared_.sequences.round(**sequence_links_[index(told.authority)],
                                            **sequence_links_[index(other(told.authority))],
                                            told.authority,
                                            told.epoch,
                                            shared_.identity.migration_id);
    if (!looked) {
        for (auto& kept : sequence_links_) kept.reset();
    }
    return looked;
}

void MoverRun::keep_sequences() {
    sequences_ = std::thread{[this] {
        std::unique_lock lock{sequences_mutex_};
        while (!sequences_end_) {
            lock.unlock();
            const auto begun_at = std::chrono::steady_clock::now();
            // What fails is tried again; a change of authority does it once more and says why.
            (void)look_at_sequences();
            const auto took = std::chrono::steady_clock::now() - begun_at;
            const auto rest = std::max<std::chrono::steady_clock::duration>(sequences_interval,
                                                                            took * rests_per_look);
            lock.lock();
            sequences_wake_.wait_for(lock, rest, [this] { return sequences_end_; });
        }
    }};
}

void MoverRun::end_sequences() {
    {
        const std::lock_guard lock{sequences_mutex_};
        sequences_end_ = true;
    }
    sequences_wake_.notify_all();
    if (sequences_.joinable()) sequences_.join();
}

}  // namespace segue::backfill::postgres
