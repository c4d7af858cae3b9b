#pragma once
// Findings about what runs at the moment of the check. See finding_code.hpp.

#include <array>

#include "backfill/finding_text.hpp"

namespace segue::backfill {

inline constexpr auto finding_texts_traffic = std::to_array<FindingText>({
    {"prepared_transaction",
     "A prepared transaction is open and nobody ends it.",
     "No slot can be created before it ends, and a cutover is refused while one is there.",
     "COMMIT PREPARED or ROLLBACK PREPARED.",
     Acceptance::none},
    {"subscription",
     "The database receives rows from another server by a subscription.",
     "Its worker writes beside the application and the mover, and passes the proxy.",
     "DROP SUBSCRIPTION, or end it when its data is complete."},
    {"long_transaction",
     "A transaction has been open for long.",
     "`start` waits for it before the first byte is copied, and gives up after a minute; a cutover "
     "is refused while it lasts.",
     "Wait for its end, or pg_terminate_backend."},
    {"direct_session",
     "Sessions are connected to the source, and not through Segue.",
     "What they write is moved like everything else, but they do not move: at the cutover the "
     "fence "
     "refuses their writes and Segue ends them.",
     "Point those applications to Segue before the cutover."},
    {"target_session",
     "Somebody else is connected to the target's database.",
     "Until the cutover only the mover may write there; the fence refuses others from `start` on.",
     "End it, or make sure that it only reads."},
    {"advisory_locks",
     "Sessions hold advisory locks for longer than a transaction.",
     "No server tells how often such a lock is held: those sessions are pinned, and a cutover "
     "waits "
     "for them and is then refused.",
     "Take them with pg_advisory_xact_lock, or end those sessions before the cutover."},
    {"temporary_tables",
     "Sessions have temporary tables.",
     "They are carried with their session up to [sessions] carry_temporary_kb; larger ones pin it.",
     "Nothing, or raise the limit; see the README for what cannot be carried."},
    {"session_state",
     "The application uses what lives in one server process: WITH HOLD cursors, session advisory "
     "locks, currval or lastval, LISTEN, or prepared transactions.",
     "Sessions that have such state at the cutover are pinned, or lose it, as the README says of "
     "each.",
     "`segue rehearse` shows which sessions are pinned; shorten what holds them."},
    {"sequence_set_back",
     "The application sets sequences by itself: setval, or TRUNCATE ... RESTART IDENTITY.",
     "Values are in no stream. Segue keeps the follower's sequences ahead of the authority's and "
     "never sets one back: what was set back there starts further on after the cutover. Nothing "
     "is handed out twice.",
     "Set it once more after the cutover, where the application needs the lower values."},
    {"schema_tool",
     "A tool for schema migrations is in use.",
     "DDL during the move is carried only where Segue may capture it, and not every command can "
     "be; "
     "what cannot stops the stream, and a schema that differs refuses the cutover.",
     "Hold deployments that change the schema back until finish."},
    {"recent_ddl",
     "The schema was changed lately.",
     "It tells that somebody, or some job, changes it in daily work.",
     "Find out who, and hold it back until finish."},
    {"unfinished_start",
     "An earlier `start` has begun to record DDL and was not completed.",
     "Each command that changes the schema costs a row of segue.ddl on the source, and nobody "
     "reads it.",
     "`start` again: it goes on where it was, also after a kill. Or `finish`, which removes what "
     "was made."},
});

}  // namespace segue::backfill
