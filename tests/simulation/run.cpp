// A whole run: what is set up from what is durable, and what comes when all is copied.

#include <algorithm>

#include "tests/backfill/dispatch_support.hpp"
#include "tests/simulation/run.hpp"

namespace segue::simulation {

using namespace std::chrono_literals;

Run::Run(Shared& shared) : shared_(shared) {
    for (const Side side : {Side::source, Side::target})
        crashes_[index(side)] = shared.at(side).crashes;
    const auto& record = shared_.at(shared_.authority).meta().control;
    const bool consistent = record && record->backfill == router::Backfill::consistent;
    const bool late =
        shared_.authority == Side::target && !shared_.at(Side::source).meta().progress;
    if (late) create_way_back();  // Only the mutant of law 6 has left it undone.
    if (!open_stream(shared_.authority)) return;
    if (!consistent) {
        set_up_tables();
        for (int i = 0; i < 2; ++i) workers_.emplace_back(shared_, *streams_[0]);
        return;
    }
    stage_ = Stage::consistent;
    if (shared_.at(shared_.authority).meta().progress) open_stream(other(shared_.authority));
    twin_.emplace(shared_, *streams_[index(shared_.authority)]);
}

Run::~Run() {
    for (CopyWorker& worker : workers_) worker.unlock();
    if (twin_) twin_->unlock();
}

bool Run::failed() const {
    for (const Side side : {Side::source, Side::target}) {
        if (shared_.at(side).crashes != crashes_[index(side)]) return true;
        if (streams_[index(side)] && streams_[index(side)]->failed()) return true;
    }
    return broken_;
}

// As progress_for_slot: the slot stands at or below what is durable, the log at or above it.
bool Run::open_stream(Side side) {
    const auto& progress = shared_.at(other(side)).meta().progress;
    auto& slot = shared_.at(side).slot;
    if (!slot || !progress) {
        broken_ = true;
        shared_.violate("a slot, or what the other side has of it, is gone");
        return false;
    }
    if (slot->confirmed > progress->restart || shared_.at(side).flushed() < progress->applied) {
        broken_ = true;
        shared_.violate("the copy is invalid");
        return false;
    }
    streams_[index(side)] = std::make_unique<Stream>(shared_, side, *progress);
    streams_[index(side)]->set_role(side == shared_.authority, shared_.since);
    return true;
}

void Run::create_way_back() {
    auto& slot = shared_.at(Side::target).slot;
    if (!slot) slot = Slot{shared_.at(Side::target).flushed(), shared_.at(Side::target).flushed()};
    Meta meta = shared_.at(Side::source).meta();
    if (!meta.progress) meta.progress = StoredProgress{slot->confirmed, {}, slot->confirmed, {}};
    shared_.at(Side::source).commit_ours({}, std::move(meta), true);
}

void Run::set_up_tables() {
    streams_[0]->pipe().set_up([&](backfill::Dispatcher& dispatcher) {
        for (int table = 0; table < tables; ++table) {
            const bool ordered = table == rows_table;
            backfill::TableInCopy& in = dispatcher.add_table(
                name_of(table),
                ordered ? std::vector<std::string>{"key"} : std::vector<std::string>{},
                ordered ? std::make_shared<test::NumberOrder>() : nullptr);
            for (const StoredChunk& stored : shared_.at(Side::target).meta().chunks) {
                if (stored.table != table) continue;
                const auto added = in.chunks.add(stored.number, stored.range);
                (*added)->state = backfill::ChunkState::loaded;
                (*added)->loaded_at = stored.loaded_at;
                in.next_number = std::max(in.next_number, stored.number + 1);
            }
            in.chunks.update_complete();
        }
        return 0;
    });
}

// What comes when all chunks are loaded, one step at a time.
bool Run::complete() {
    backfill::StreamPipe& pipe = streams_[0]->pipe();
    Database& source = shared_.at(Side::source);
    switch (stage_) {
        case Stage::copying: {
            if (!pipe.all_loaded()) return false;
            const auto reached = pipe.wait_for_position(pipe.loaded_up_to(), 0ms);
            if (!reached || !*reached) return false;
            const auto held = pipe.try_hold(0ms);
            if (held && *held) stage_ = Stage::building;
            return stage_ == Stage::building;
        }
        case Stage::building: {
            const auto boundary = pipe.wait_boundary(0ms);
            const auto drained = pipe.wait_drained(0ms);
            if (!boundary || !*boundary || !drained || !*drained) return false;
            const bool all = pipe.all_loaded();
            loaded_up_to_ = pipe.loaded_up_to();
            if (all) pipe.forget_tables();
            pipe.release_hold();
            stage_ = all ? Stage::reverse_slot : Stage::copying;
            return true;
        }
        case Stage::reverse_slot: {
            stage_ = Stage::reverse_stream;
            if (shared_.rules.way_back_before_consistent) create_way_back();
            return true;
        }
        case Stage::reverse_stream:
            if (source.meta().progress) open_stream(Side::target);
            stage_ = Stage::proving;
            return true;
        case Stage::proving:
            if (shared_.rules.progress_beyond_the_chunks &&
                streams_[0]->durable() < loaded_up_to_) {
                streams_[0]->request_checkpoint();
                return false;
            }
            for (const Side side : {Side::source, Side::target}) {
                Meta meta = shared_.at(side).meta();
                meta.control->backfill = router::Backfill::consistent;
                shared_.at(side).commit_ours({}, std::move(meta), false);
            }
            twin_.emplace(shared_, *streams_[0]);
            workers_.clear();
            stage_ = Stage::consistent;
            return true;
        case Stage::consistent:
            break;
    }
    return false;
}

void Run::set_role() {
    // A comparison that is under way is given up: its stream is no longer the right one.
    if (twin_) twin_->give_up();
    twin_.reset();
    for (const auto& stream : streams_) {
        if (stream) stream->set_role(stream->side() == shared_.authority, shared_.since);
    }
    const auto& stream = streams_[index(shared_.authority)];
    if (stream && consistent()) twin_.emplace(shared_, *stream);
}

void Run::request_checkpoint(Side side) {
    if (streams_[index(side)]) streams_[index(side)]->request_checkpoint();
}

void Run::step() {
    if (failed()) return;
    // The mutant of law 6 has turned round without a way back, and begins anew.
    broken_ = !streams_[index(shared_.authority)];
    if (broken_) return;
    Stream* stream = streams_[shared_.dice.below(2)].get();
    if (!stream) stream = streams_[index(shared_.authority)].get();
    const unsigned what = shared_.dice.below(16);
    if (what < 6) {
        stream->read();
    } else if (what < 11) {
        stream->apply();
    } else if (what == 11) {
        if (shared_.dice.percent(50)) stream->confirm();
        if (shared_.dice.percent(50)) stream->pipe().prune(shared_.at(stream->side()).snapshot());
    } else if (what < 14) {
        if (!workers_.empty())
            workers_[shared_.dice.below(static_cast<unsigned>(workers_.size()))].step();
        else if (twin_)
            twin_->step();
    } else if (!consistent()) {
        complete();
    }
}

}  // namespace segue::simulation
