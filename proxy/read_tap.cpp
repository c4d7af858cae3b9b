#include "proxy/read_tap.hpp"

#include <algorithm>
#include <utility>

#include "protocol/postgres/framer.hpp"

namespace segue::proxy {

using protocol::postgres::KnownStatement;
using protocol::postgres::ReadRequest;
using protocol::postgres::StatementKind;

namespace {

// Named apart from the variables that hold a statement's text.
std::string_view text_of(Bytes slice) { return text(slice); }

router::ReadIntent intent_of(const KnownStatement& known) {
    if (known.kind != StatementKind::read) return router::ReadIntent::other;
    if (!known.judgement.follower) return router::ReadIntent::authority_only;
    return known.judgement.comparable ? router::ReadIntent::comparable_read
                                      : router::ReadIntent::read;
}

std::string_view startup_value(const StartupParameters& startup, std::string_view parameter) {
    for (const auto& [name, value] : startup) {
        if (name == parameter) return value;
    }
    return {};
}

// Some statement name on a connection whose state was restored.
bool has_statement(const Session& session, std::string_view name) {
    const auto& statements = session.other_state->statements;
    return std::any_of(
        statements.begin(), statements.end(), [&](const auto& one) { return one.name == name; });
}

// Temporary tables are carried for a move. Until then the client's own change, which no stream
// carries over.
bool carries_tables(const Session& session) {
    return session.other_state && session.other_state->temporary.any();
}

// As whom and under what settings a server is to plan the session's statements.
std::shared_ptr<const backfill::postgres::PlanContext> context_of(const Session& session) {
    const protocol::postgres::SessionState& state = *session.other_state;
    backfill::postgres::PlanContext context;
    context.role = state.session_authorization;
    if (!state.role.empty() && state.role != "none") context.role = state.role;
    context.settings = state.settings;
    context.settings.insert(
        context.settings.end(), state.custom_settings.begin(), state.custom_settings.end());
    return std::make_shared<const backfill::postgres::PlanContext>(std::move(context));
}

}  // namespace

// No statement since the last probe can have changed what a read means.
bool ReadTap::state_is_known(const Session& session) const {
    if (carries_tables(session)) return false;
    return changes_ == changes_at_probe_ && (session.other_state || identity_at_ == changes_);
}

void ReadTap::learn_statements(const Session& session) {
    if (learned_at_ == changes_ || !session.other_state || carries_tables(session)) return;
    learned_at_ = changes_;
    for (const auto& statement : session.other_state->statements) {
        if (statement.from_sql) continue;  // Its text may hold more than the statement.
        std::vector<std::uint32_t> types;
        // The book has what the client says.
        const auto& translator = session.backend.types;
        for (const auto& type : statement.parameter_types) {
            types.push_back(translator ? translator->known_to_client(type.oid) : type.oid);
        }
        book_.learn(statement.name, statement.text, types);
    }
    identity_ = identity_of(session.startup, *session.other_state, session.client_types);
    context_ = context_of(session);
    identity_at_ = changes_;
}

// What the request executes, and which Parse the other connection lacks for it. False: unknown.
bool ReadTap::identify(const ReadRequest& request,
                       const Session& session,
                       std::string_view& text,
                       std::string& parse) const {
    if (request.text()) {
        text = *request.text();
        return true;
    }
    const auto* entry = book_.find(request.bind.statement);
    if (entry == nullptr) return false;
    text = entry->text;
    // Restored statements exist there; the unnamed one may be another.
    const bool there = !request.bind.statement.empty() && session.other_state &&
                       has_statement(session, request.bind.statement);
    if (!there) parse = entry->message;
    return true;
}

// The application_name of the session, as far as it is known.
router::ShiftClaim ReadTap::claim_by_application(const Session& session) const {
    const auto& wanted = reads_.rule().scope.applications;
    const auto verdict = [&](std::string_view application) {
        return router::admits(wanted, application) ? router::ShiftClaim::share
                                                   : router::ShiftClaim::none;
    };
    if (wanted.empty()) return router::ShiftClaim::share;
    if (session.hints.application_named()) {
        if (!state_is_known(session) || !session.other_state) return router::ShiftClaim::uncertain;
        for (const auto& [setting, value] : session.other_state->settings) {
            if (setting == "application_name") return verdict(value);
        }
    }
    const auto& told = session.backend.parameters;
    const auto found = told.find("application_name");
    return verdict(found != told.end() ? std::string_view{found->second}
                                       : startup_value(session.startup, "application_name"));
}

router::ShiftClaim ReadTap::claim(const KnownStatement& known, Session& session) {
    const double percent = reads_.knobs().shift_percent;
    const ShiftRule& rule = reads_.rule();
    const router::ShiftScope& scope = rule.scope;
    if (percent <= 0) return router::ShiftClaim::none;
    router::ShiftClaim claimed = router::ShiftClaim::share;
    if (scope.limited()) {
        const std::string_view user = startup_value(session.startup, "user");
        const std::string_view database = startup_value(session.startup, "database");
        const bool admitted = router::admits(scope.users, user) &&
                              router::admits(scope.databases, database.empty() ? user : database);
        claimed = admitted ? claim_by_application(session) : router::ShiftClaim::none;
        // Its other reads may be in the scope: it keeps its seat.
        if (!known.in_scope) return router::ShiftClaim::none;
    }
    if (scope.by == router::ShareOf::statements || claimed == router::ShiftClaim::uncertain)
        return claimed;
    if (claimed == router::ShiftClaim::none) {
        session.seat.leave();
        return claimed;
    }
    return session.seat.take(rule.balance, percent) ? router::ShiftClaim::whole
                                                    : router::ShiftClaim::none;
}

ReadTap::Choice ReadTap::offer(Bytes slice, Session& session, Time now) {
    book_.settle(std::exchange(error_, false));
    reader_.reset();
    if (changes_ == changes_at_probe_) learn_statements(session);

    const auto request = protocol::postgres::recognise_read_request(slice);
    std::string_view text;
    std::string parse;
    if (!request) return Choice::forward;
    if (!identify(*request, session, text, parse)) {
        want_statements(session, now);
        return Choice::forward;
    }
    const KnownStatement* known = reads_.know(text);
    if (known == nullptr || reads_.shared().is_demoted(known->id)) return Choice::forward;

    // Nobody would describe it there to the translator, which could not look into its binary
    // values.
    const bool unknown_to_translator = !parse.empty() && session.other && session.other->types;
    // The authority would miss the description that tells the parameters of the next Bind.
    const bool description_needed = session.backend.types && request->describes_statement;
    const bool shiftable = state_is_known(session) && session.other && session.other_state &&
                           !unknown_to_translator && !description_needed &&
                           session.other->side != reads_.authority() &&
                           session.backend.side == reads_.authority();
    const router::ReadIntent intent = intent_of(*known);
    const bool could = router::is_for_follower(intent) && (session.movable || shiftable);
    const router::ShiftClaim claimed = could ? claim(*known, session) : router::ShiftClaim::none;
    const bool shadowable = claimed == router::ShiftClaim::none && shadow_is_ready(session);
    const auto connection = shiftable || shadowable ? router::FollowerConnection::ready
                            : session.movable       ? router::FollowerConnection::wanted
                                                    : router::FollowerConnection::none;
    const router::Plan plan = router::route(
        router::Backfill::consistent, reads_.knobs(), intent, connection, claimed, reads_.shares());
    // A restore brings a named statement there; the unnamed one is another each time.
    const bool in_vain =
        (unknown_to_translator && request->bind.statement.empty()) || description_needed;
    connection_wanted_ = plan.want_connection && !in_vain;
    if (connection == router::FollowerConnection::ready) pause_ = connection_pause_min;
    if (plan.shadow) begin_shadow(*request, slice, text, std::move(parse), *known, session, now);
    if (plan.answers != router::Answerer::follower) return Choice::forward;

    const std::string forget = parse.empty() ? std::string{} : std::string{request->bind.statement};
    // Worth a new look at the session, so that the statement is there the next time.
    if (!forget.empty()) connection_wanted_ = true;
    shifted_ = ShiftedRead{std::string{text_of(slice)},
                           std::move(parse),
                           forget,
                           request->simple,
                           known->id,
                           reads_.authority(),
                           now,
                           claimed == router::ShiftClaim::share,
                           0,
                           std::nullopt,
                           std::nullopt};
    note_unnamed(*request, slice, session);
    return Choice::shift;
}

// A request that goes elsewhere changes the unnamed statement there, and for the client, but not on
// the authority.
void ReadTap::note_unnamed(const ReadRequest& request, Bytes slice, Session& session) {
    if (!request.parse && !request.bind.statement.empty()) return;
    session.other_state->unnamed_parse.clear();  // No longer what was restored.
    if (!request.parse) return;
    // Its first message, whole: the session's memory of the unnamed statement must hold this one.
    const auto step = protocol::postgres::next_frame(slice, slice.size());
    const auto& frame = std::get<protocol::postgres::Frame>(step);
    const auto size = static_cast<std::uint32_t>(frame.body.size());
    session.hints.see({frame.tag, true, true, size, frame.body});
    session.touched_since_probe = true;
    if (request.simple) return;
    book_.set_unnamed(request.parse->text, text_of(frame.wire));
    unnamed_missed_ = true;
}

std::string ReadTap::missed_parse(Bytes slice, bool translated) {
    if (!unnamed_missed_ || slice.empty()) return {};
    const char tag = static_cast<char>(slice.front());
    const bool replaces =
        tag == 'Q' || (tag == 'P' && slice.size() > protocol::postgres::header_size &&
                       slice[protocol::postgres::header_size] == std::byte{0});
    const auto* entry = book_.find("");
    if (replaces || entry == nullptr) {
        unnamed_missed_ = false;
        return {};
    }
    if (tag == 'F' || tag == 'X')
        return {};  // No use of it yet; skipped after an error they would not be answered.
    unnamed_missed_ = false;
    swallowed_ = Swallowed::acknowledgement;
    std::string message = entry->message;
    if (!translated) return message;
    swallowed_ = Swallowed::acknowledgement_and_description;
    append(message, protocol::postgres::Describe{'S', ""});
    return message;
}

// Whether the message is the next one that is ours; `swallowed` becomes what follows it.
bool ReadTap::swallows(char tag) {
    switch (swallowed_) {
        case Swallowed::nothing:
            return false;
        case Swallowed::acknowledgement:
        case Swallowed::acknowledgement_and_description: {
            const bool described = swallowed_ == Swallowed::acknowledgement_and_description;
            const bool ours = tag == '1';
            swallowed_ = ours && described ? Swallowed::description : Swallowed::nothing;
            return ours;
        }
        case Swallowed::description:
            if (tag != 't') swallowed_ = Swallowed::nothing;
            return tag == 't' || tag == 'T' || tag == 'n';
    }
    return false;
}

// Ours come first, or an error in their place; only what the server says by itself may come before.
std::string ReadTap::without_our_parse(Bytes slice) {
    swallow_rest_ += text_of(slice);
    std::string kept;
    while (is_swallowing() && swallow_rest_.size() >= protocol::postgres::header_size) {
        ByteReader reader{bytes(swallow_rest_).subspan(1)};
        const std::size_t size = std::size_t{1} + reader.big_endian<std::uint32_t>();
        const char tag = swallow_rest_.front();
        const bool aside = tag == 'N' || tag == 'S' || tag == 'A';
        const bool whole = aside || tag == 't' || tag == 'T';  // The others have no body.
        if (whole && swallow_rest_.size() < size) break;
        if (aside) kept += swallow_rest_.substr(0, size);
        if (aside || swallows(tag)) swallow_rest_.erase(0, size);
    }
    if (!is_swallowing()) kept += std::exchange(swallow_rest_, {});
    return kept;
}

void ReadTap::forwarded(const protocol::postgres::Piece& piece) {
    const auto seen = book_.see(piece);
    if (!seen) return;
    if (!seen->text) {
        ++changes_;
        return;
    }
    const KnownStatement* known = reads_.know(*seen->text);
    if (known != nullptr && known->kind == StatementKind::write && known->changes_session)
        reads_.shared().refresh_catalog();
    if (known != nullptr && !known->changes_session) return;
    ++changes_;
    // SQL may have given a name another meaning (DEALLOCATE, PREPARE, DISCARD).
    if (known == nullptr || known->kind != StatementKind::read) book_.forget();
}

// Prepared before anybody listened, as by a pool: the session's own backend knows the text. What a
// probe does not tell either (a text of SQL's PREPARE) is asked for ever less often.
void ReadTap::want_statements(const Session& session, Time now) {
    if (!session.movable || now < next_learning_) return;
    connection_wanted_ = true;
    next_learning_ = now + learning_pause_;
    learning_pause_ = std::min(learning_pause_ * 2, connection_pause_max);
}

void ReadTap::connection_asked(Time now) {
    next_attempt_ = now + pause_;
    pause_ = std::min(pause_ * 2, connection_pause_max);
    connection_wanted_ = false;
}

// There is a worker's connection of this kind, or the session's own can be given away.
bool ReadTap::shadow_is_ready(Session& session) {
    if (shadow_ == nullptr || !state_is_known(session) || identity_at_ != changes_) return false;
    const Side follower = other(reads_.authority());
    if (!shadow_->wants_connection(identity_, follower)) return true;
    return session.other && session.other_state && session.other->side == follower;
}

void ReadTap::begin_shadow(const ReadRequest& request,
                           Bytes slice,
                           std::string_view text,
                           std::string parse,
                           const KnownStatement& known,
                           Session& session,
                           Time now) {
    if (slice.size() > shadow_request_size_max || !shadow_is_ready(session)) return;
    const Side follower = other(reads_.authority());
    if (shadow_->wants_connection(identity_, follower)) {
        // The workers' first one of this kind. The session gets another when it needs one.
        shadow_->give(identity_, std::move(*session.other));
        session.other.reset();
        session.other_state.reset();
    }
    // A worker's connection has the statements of whichever session it came from: the text goes
    // with the job.
    if (parse.empty() && !request.text()) parse = book_.find(request.bind.statement)->message;
    job_ = ShadowJob{known.id,
                     std::string{text},
                     std::string{text_of(slice)},
                     std::move(parse),
                     request.simple,
                     known.judgement.comparable,
                     known.judgement.order == protocol::postgres::RowOrder::defined,
                     known.judgement.limited,
                     reads_.authority(),
                     identity_,
                     {},
                     {},
                     {},
                     context_};
    job_since_ = now;
    reader_.emplace();
}

void ReadTap::answered(Bytes slice, Time now) {
    if (!reader_) return;
    reader_->update(slice);
    if (!reader_->finished()) return;
    job_.answer = reader_->digest();
    job_.column_types = reader_->column_types();
    job_.latency = std::chrono::duration_cast<std::chrono::microseconds>(now - job_since_);
    reader_.reset();
    shadow_->push(std::move(job_));
}

void ReadTap::shift_ended(bool by_follower) {
    const ShiftedRead ended = std::move(*std::exchange(shifted_, std::nullopt));
    Reads& shared = reads_.shared();
    if (by_follower) {
        shared.count_shifted();
        return;
    }
    shared.count_fallback();
    if (ended.of_share) reads_.shares().shift.give_back();
    if (ended.running && ended.running->sqlstate() == "25006") shared.demote(ended.statement);
}

}  // namespace segue::proxy
