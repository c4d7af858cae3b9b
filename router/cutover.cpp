#include "router/cutover.hpp"

#include <cstdlib>

#include "protocol/result.hpp"

namespace segue::router {

Action Cutover::next(Outcome last) {
    const bool done = last == Outcome::done;
    switch (point_) {  // No default: a new point must fail to compile here.
        case Point::start:
        case Point::checking:
        case Point::recording:
        case Point::holding:
        case Point::fencing:
        case Point::catching_up:
        case Point::setting_sequences:
            return before_deciding(done);
        case Point::deciding:
        case Point::committing:
        case Point::asking:
            return after_deciding(last);
        case Point::becoming:  // Past the point of no return every step is tried until it is done.
            return done ? go(Point::opening, OpenFence{}) : go(Point::becoming, Become{});
        case Point::opening:
            return done ? go(Point::swapping, Swap{}) : go(Point::opening, OpenFence{});
        case Point::swapping:
            return go(Point::releasing_new, Release{});
        case Point::undoing:  // Nobody is released onto a database that is still fenced.
            return done ? go(Point::releasing_old, Release{}) : go(Point::undoing, Undo{});
        case Point::releasing_old:
            held_ = false;
            return go(Point::finished, Finished{Ending::undone});
        case Point::releasing_new:
            held_ = false;
            return go(Point::settling, RecordSteady{});
        case Point::settling:
            return go(Point::finished, Finished{Ending::changed});
        case Point::finished:
            break;
    }
    std::abort();  // next() after the end is a bug in the caller.
}

// Up to here the old side alone can undo: a lost answer is undone like a failure.
Action Cutover::before_deciding(bool done) {
    if (point_ == Point::start) return go(Point::checking, Check{});
    if (point_ == Point::checking && !done) return go(Point::finished, Finished{Ending::refused});
    if (!done) return go(Point::undoing, Undo{});
    switch (point_) {
        case Point::checking:
            return go(Point::recording, RecordIntent{});
        case Point::recording:
            held_ = true;
            return go(Point::holding, Hold{});
        case Point::holding:
            return go(Point::fencing, Fence{});
        case Point::fencing:
            return go(Point::catching_up, CatchUp{});
        case Point::catching_up:
            return go(Point::setting_sequences, SetSequences{});
        case Point::setting_sequences:
            return go(Point::deciding, RecordDeciding{});
        case Point::start:
        case Point::deciding:
        case Point::committing:
        case Point::asking:
        case Point::becoming:
        case Point::opening:
        case Point::swapping:
        case Point::undoing:
        case Point::releasing_old:
        case Point::releasing_new:
        case Point::settling:
        case Point::finished:
            break;
    }
    std::abort();
}

Action Cutover::after_deciding(Outcome last) {
    switch (last) {
        case Outcome::done:
            return point_ == Point::deciding ? go(Point::committing, CommitEpoch{})
                                             : go(Point::becoming, Become{});
        case Outcome::failed:
            return go(Point::undoing, Undo{});
        case Outcome::unknown:  // Clients stay held until a database tells us.
            return go(Point::asking, AskEpoch{});
    }
    std::abort();
}

bool Cutover::may_be_committed() const {
    switch (point_) {
        case Point::committing:
        case Point::asking:
        case Point::becoming:
        case Point::opening:
        case Point::swapping:
        case Point::releasing_new:
        case Point::settling:
            return true;
        case Point::start:
        case Point::checking:
        case Point::recording:
        case Point::holding:
        case Point::fencing:
        case Point::catching_up:
        case Point::setting_sequences:
        case Point::deciding:
        case Point::undoing:
        case Point::releasing_old:
        case Point::finished:
            return false;
    }
    std::abort();
}

bool Cutover::clients_held() const { return held_; }

std::string_view name(const Action& action) {
    using std::string_view;
    return std::visit(
        Overloaded{
            [](const Check&) -> string_view { return "check"; },
            [](const RecordIntent&) -> string_view { return "intent"; },
            [](const Hold&) -> string_view { return "hold"; },
            [](const Fence&) -> string_view { return "fence"; },
            [](const CatchUp&) -> string_view { return "position"; },
            [](const SetSequences&) -> string_view { return "sequences"; },
            [](const RecordDeciding&) -> string_view { return "deciding"; },
            [](const CommitEpoch&) -> string_view { return "commit"; },
            [](const AskEpoch&) -> string_view { return "ask"; },
            [](const Become&) -> string_view { return "become"; },
            [](const OpenFence&) -> string_view { return "open"; },
            [](const Swap&) -> string_view { return "swap"; },
            [](const Undo&) -> string_view { return "undo"; },
            [](const Release&) -> string_view { return "release"; },
            [](const RecordSteady&) -> string_view { return "steady"; },
            [](const Finished& finished) -> string_view { return name(finished.ending); },
        },
        action);
}

std::string_view name(Ending ending) {
    switch (ending) {
        case Ending::refused:
            return "refused";
        case Ending::undone:
            return "undone";
        case Ending::changed:
            return "changed";
    }
    return "";
}

}  // namespace segue::router
