#pragma once
// What each verb does, on the operator's thread, with blocking calls. Reasons and remedies go back
// as text; the exit codes are INTERFACE's.

#include <atomic>
#include <functional>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backfill/change_steps.hpp"
#include "backfill/mover.hpp"
#include "backfill/preflight.hpp"
#include "proxy/conductor.hpp"
#include "proxy/config.hpp"
#include "proxy/journal.hpp"
#include "proxy/operator.hpp"
#include "proxy/reload.hpp"
#include "proxy/sessions.hpp"
#include "proxy/state_board.hpp"
#include "proxy/statement_figures.hpp"
#include "proxy/traffic.hpp"
#include "router/autopilot.hpp"

namespace segue::proxy {

// What the verbs use and do not own.
struct OperationParts {
    const Config& config;
    ChangeParts change;
    StateBoard& board;
    std::function<Result<std::vector<backfill::Finding>>()> preflight;
    const CurrentConfig* reloaded = nullptr;  // Null: what `config` says is never changed.
    // What is known of single statements, and how that server would execute one. Null: nothing.
    StatementFigures* figures = nullptr;
    std::function<Result<std::vector<std::string>>(Side, const backfill::postgres::PlanQuestion&)>
        plan = {};
};

// A forced rollback must be above every epoch that the lost side may have used for changes that
// were given up.
inline constexpr std::uint64_t forced_epoch_step = 1000;
// [cutover] require_verify: a verdict that is older says too little of what is there now.
inline constexpr std::chrono::hours required_verdict_age_max{24};
// Likewise, where it began: a large database takes days.
inline constexpr std::chrono::hours required_comparison_age_max{7 * 24};
inline constexpr const char* copy_invalid =
    "the copy is invalid since a forced rollback: to begin anew run `segue finish`, drop schema "
    "segue on both sides, "
    "empty the target and run `segue start`";

inline constexpr const char* paused_text = "following is paused: run `segue resume` first";

// An argument that goes on record. One line; longer ones are cut. Empty: there is none.
inline constexpr std::size_t line_argument_size_max = 200;
std::string line_argument(const nlohmann::json& arguments, const char* key);
// Who asks for a verb, as far as he says so himself.
std::string asked_by(const nlohmann::json& arguments);
// What a verb's event tells of its answer.
inline constexpr std::size_t event_answer_size_max = 300;

class Operations : public OperatorWork {
public:
    explicit Operations(OperationParts parts) : parts_(std::move(parts)) {}

    bool recover() override;
    VerbResult run(const std::string& verb, const nlohmann::json& arguments) override;
    bool tick() override;

    // Waits of `start` and `mirror sync`; tests shorten them.
    std::chrono::milliseconds start_wait{60000};
    std::chrono::milliseconds sync_wait{30000};
    // Clients may be held for that before sync is on record; then the gate is opened again.
    std::chrono::milliseconds gate_wait{2000};
    ChangeLimits change_limits;  // Drain and deadline come from the configuration.
    // A change of the schema that cannot be made on the follower is in nobody's way for longer;
    // some only wait there for a lock.
    std::chrono::milliseconds schema_stop_patience{10000};

private:
    using Json = nlohmann::json;
    using Verb = VerbResult (Operations::*)(const Json&);

    // operations.cpp
    VerbResult pause(const Json& arguments);
    VerbResult resume(const Json& arguments);

    // operations_mirror.cpp
    VerbResult mirror(const Json& arguments);
    Status begin_sync();
    // `given_up_for`: why it is async until that is over; empty: because the operator says so.
    // Only where the record still says what `only_if` asks for; empty: whatever it says.
    Status set_mirror(router::Mirror mirror,
                      const std::string& given_up_for = "",
                      const std::function<bool(const router::Knobs&)>& only_if = {});
    // The follower has what was committed before.
    Status wait_for_follower(Side authority, std::chrono::milliseconds time_max);

    // operations_reads.cpp
    VerbResult shadow(const Json& arguments);
    VerbResult shift(const Json& arguments);
    // Refused, or `change` is in force with the percentage.
    VerbResult set_percent(const Json& arguments,
                           const std::function<void(router::Knobs&, double)>& change);
    std::string refused_scope(const router::ShiftScope& scope) const;
    VerbResult statements(const Json& arguments);
    VerbResult explain_statement(const std::string& text);
    struct Unmended {
        std::string rows, reads;  // May be empty.
        std::string text() const {
            return rows + (rows.empty() || reads.empty() ? "" : "; ") + reads;
        }
    };
    Unmended unmended();                       // What `finish` would leave different.
    std::string slowness_of_follower() const;  // What `shift` has to say of it; may be empty.
    void note_slower();  // An event for each statement that has become slower.
    void note_different(const StatementReport& one);
    void shift_reads(const router::Knobs& knobs);

    // operations_schema.cpp
    void watch_schema_stop();
    void give_up_sync(const std::string& stop);
    void sync_again();

    // operations_verify.cpp
    VerbResult verify(const Json& arguments);
    VerbResult repair(const Json& arguments);
    VerbResult repair_differences(const Json& arguments);
    VerbResult pass_stopped(const Json& arguments);
    VerbResult copy_stopped_again();
    std::string refused_passing() const;
    VerbResult last_verification(const Json& arguments);
    VerbResult tell_verification(const backfill::Verification& verification);
    Status load_verification();  // Once; what an earlier process found stands.
    void note_verification(const backfill::Verification& verification);
    void note_background();  // What it has found since stands like what was asked for.

    // operations_life.cpp
    VerbResult start(const Json& arguments);
    Result<std::vector<backfill::Finding>> preflight_of_start();
    VerbResult finish(const Json& arguments);
    VerbResult begin_copying(backfill::ControlRecord record);
    VerbResult started_already();

    // operations_change.cpp
    VerbResult rehearse(const Json& arguments);
    VerbResult cutover(const Json& arguments);
    VerbResult rollback(const Json& arguments);
    VerbResult force_rollback(const Json& arguments);
    VerbResult change_to(Side to, const Json& arguments);
    VerbResult tell_change(const ChangeReport& report, const std::string& verb, Side to);
    std::string refused_by_verification(Side to);
    ChangeLimits limits(const Json& arguments);

    // As reloaded: for what may change while the program runs. Valid until it is asked again.
    const Config& config();
    std::string not_moving() const;      // Empty while something is being moved.
    std::string not_consistent() const;  // Likewise, once it is consistent.
    bool copying_or_later() const;       // The mover has something to do.
    Status connected(std::initializer_list<Side> streams) const;  // After a moment's wait.
    // Once something is copied both sides can be reached (else Errc::closed) and hold its record.
    // Without: another database than the one that is moved is configured, or it was made anew.
    Status both_take_part() const;
    // Changes what it is given, or says why not, by what stands there: another Segue may have put
    // it on record in this very moment. It may be asked several times.
    using RecordChange = std::function<std::string(backfill::ControlRecord&)>;
    static inline const std::string allowed;
    // Changes the authority's record by compare-and-set; on the board when it is written.
    // `lease`: only while it is this process's.
    Result<backfill::ControlRecord> update_record(const RecordChange& change,
                                                  std::optional<std::int64_t> lease = std::nullopt);
    void publish(const std::optional<backfill::ControlRecord>& record);
    void start_mover();
    void note_mover_failure();
    void note_consistent();
    // operations_superseded.cpp
    bool superseded();  // And has given way.
    bool begun_by_another();
    std::optional<backfill::ControlRecord> newest_record(bool& unsettled) const;
    VerbResult overtaken(const std::string& reason);
    void follow_knobs(const backfill::ControlRecord& known, const backfill::ControlRecord& found);
    // Another Segue may be given a verb as well, and this one, which moves the migration, follows.
    void follow_others();
    void hold_to_others();  // What they have changed is in force from now on.
    // The board, which is about to be told more, is told what others have done before.
    void note_others(BoardState& board, const backfill::ControlRecord& found);
    void note_difference(BoardState& board, const backfill::ControlRecord& found);
    void take_on(const backfill::ControlRecord& record);
    void give_way(const backfill::ControlRecord& known, const backfill::ControlRecord& found);

    OperationParts parts_;
    std::shared_ptr<const Config> config_;  // Of config().
    bool mover_started_ = false;
    unsigned idle_ticks_ = 0;       // While nothing is moved as far as this process knows.
    bool follower_behind_ = false;  // The follower's control record is to be settled.
    // Others have changed what is on the board, and it is not in force yet.
    bool others_to_follow_ = false;
    // What a change of authority of ours has left on record could not be read.
    bool own_change_unread_ = false;
    router::Course course_before_;  // Before the verb that runs, as others have left it.
    std::string last_waiting_for_;
    std::uint64_t failures_seen_ = 0;  // Of the mover's runs.
    std::optional<backfill::Clock::time_point> schema_stop_since_;
    bool not_given_up_told_ = false;  // That sync could not be given up.
    std::string last_failure_told_;
    bool verification_loaded_ = false;
    std::set<std::uint64_t> slower_told_, different_told_;  // Fingerprints.
    std::set<std::pair<std::uint64_t, RowsState>> rows_told_;
    std::uint64_t background_rounds_ = 0, background_differences_ = 0;  // As last seen.
};

}  // namespace segue::proxy
