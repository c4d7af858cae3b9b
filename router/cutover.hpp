#pragma once
// The order of a change of authority (DESIGN 6). The order is the safety property: nobody can write
// to the old side when its last position is read, and nobody is answered by the new side before it
// has everything. Roles, not sides: cutover and rollback are this one machine. A value without I/O;
// the conductor (proxy/) carries out each action and reports how it went.

#include <cstdint>
#include <string_view>
#include <variant>

namespace segue::router {

struct Check {};           // Blockers, lag, way back, sessions prepared. No client has noticed yet.
struct RecordIntent {};    // Old side: epoch + 1, switching.
struct Hold {};            // New transactions wait; open ones drain until the deadline.
struct Fence {};           // Close the old side inside the database; prove that no writer is left.
struct CatchUp {};         // Read the position; a ticket through the stream; a reverse ticket back.
struct SetSequences {};    // Ahead, on the new side.
struct RecordDeciding {};  // Old side: from now on only the new side can tell the outcome.
struct CommitEpoch {};     // New side: epoch + 1, authority. The point of no return.
struct AskEpoch {
};  // An answer was lost. `done`: the epoch is committed. `failed`: it is absent, and "epoch + 1
    // aborted" has been committed in its place, so that a late commit must fail.
struct Become {};     // The mover turns the stream round. Forward from here: it cannot be undone.
struct OpenFence {};  // Of the new side.
struct Swap {};       // Every session continues on the new side.
struct Undo {};       // Intent taken back, fence of the old side open. Clients only waited.
struct Release {};    // Requests go on.
struct RecordSteady {
};  // Old side: follower of the new epoch. Best effort: recovery does it again.

enum class Ending : std::uint8_t {
    refused,  // Check said no; nothing had been done.
    undone,   // Given up before the point of no return; nothing of it remains.
    changed,  // The new side is the authority.
};
struct Finished {
    Ending ending = Ending::refused;
};

using Action = std::variant<Check,
                            RecordIntent,
                            Hold,
                            Fence,
                            CatchUp,
                            SetSequences,
                            RecordDeciding,
                            CommitEpoch,
                            AskEpoch,
                            Become,
                            OpenFence,
                            Swap,
                            Undo,
                            Release,
                            RecordSteady,
                            Finished>;

// How the previous action went. `unknown` is neither success nor failure: the answer was lost (law
// 8).
enum class Outcome : std::uint8_t { done, failed, unknown };

class Cutover {
public:
    // The next action, given how the previous one went; ignored at the first call. The same action
    // again means: retry, until the database answers; the caller paces it. Not to be called after
    // Finished.
    Action next(Outcome last);

    // True from the moment when the new epoch may be committed: giving up is no longer the caller's
    // choice.
    bool may_be_committed() const;
    // True while clients are held: from Hold to Release.
    bool clients_held() const;

    friend bool operator==(const Cutover&, const Cutover&) = default;

private:
    enum class Point : std::uint8_t {
        start,
        checking,
        recording,
        holding,
        fencing,
        catching_up,
        setting_sequences,
        deciding,
        committing,
        asking,
        becoming,
        opening,
        swapping,
        undoing,
        releasing_old,
        releasing_new,
        settling,
        finished,
    };
    Action go(Point point, Action action) {
        point_ = point;
        return action;
    }
    Action before_deciding(bool done);
    Action after_deciding(Outcome last);

    Point point_ = Point::start;
    bool held_ = false;
};

// For events and logs: "hold", "commit_epoch" ...
std::string_view name(const Action& action);
std::string_view name(Ending ending);

}  // namespace segue::router
