#pragma once
// What one session's reads need while reads are shadowed or shifted: which text stands behind each
// prepared statement, whether the follower's connection is in the session's state, and the read
// that is under way. Its relay consults it; without shadow and shift there is none. One thread: the
// session's relay thread.
//
// A read is only looked at where it stands alone: a slice that holds exactly one request, at a
// boundary outside a transaction. Whatever else passes is forwarded as ever, and only watched for
// what it does to the session.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "protocol/bytes.hpp"
#include "protocol/position.hpp"
#include "protocol/postgres/read_request.hpp"
#include "protocol/postgres/reply_digest.hpp"
#include "protocol/postgres/statement_book.hpp"
#include "protocol/postgres/wrapped_read.hpp"
#include "proxy/reads.hpp"
#include "proxy/session.hpp"
#include "proxy/shadow.hpp"

namespace segue::proxy {

// Between attempts to get the follower's connection into the session's state; doubled while they
// fail.
inline constexpr std::chrono::milliseconds connection_pause_min{200};
inline constexpr std::chrono::milliseconds connection_pause_max{30'000};

// A read on its way to the follower.
struct ShiftedRead {
    std::string request;
    std::string parse;   // Must precede it there; may be empty.
    std::string forget;  // The name it is prepared under for this once.
    bool simple = false;
    Hash128 statement;
    Side authority = Side::source;
    std::chrono::steady_clock::time_point since;
    bool of_share = true;    // It counts in the share of statements.
    std::uint64_t turn = 0;  // Whose token it waits for.
    std::optional<Position> token;
    std::optional<protocol::postgres::WrappedRead> running;  // Sent to the follower.
};

class ReadTap {
public:
    using Time = std::chrono::steady_clock::time_point;
    enum class Choice : std::uint8_t {
        forward,
        shift,  // `shifted()` is set; the slice is not to be forwarded.
    };

    ReadTap(ThreadReads& reads, Shadow* shadow) : reads_(reads), shadow_(shadow) {}

    // At a boundary outside a transaction, nothing held back: everything that was read from the
    // client.
    Choice offer(Bytes slice, Session& session, Time now);
    // A Parse message that must be forwarded before `slice`, because the authority missed the one
    // that was answered elsewhere; usually empty. Where the authority's types are `translated` it
    // is described as well, so that its rows can be looked into. The answers are not for the
    // client: see without_our_parse.
    std::string missed_parse(Bytes slice, bool translated);
    // Bytes of the authority's answer without those to that.
    bool is_swallowing() const { return swallowed_ != Swallowed::nothing; }
    std::string without_our_parse(Bytes slice);

    // Every piece that is forwarded to the authority, and every byte and error that it answers.
    void forwarded(const protocol::postgres::Piece& piece);
    void answered(Bytes slice, Time now);
    void answered_error() { error_ = true; }

    // The session's own backend has just been asked for its state; `other_state` will be that.
    void probed() { changes_at_probe_ = changes_; }
    // The session goes on on the other side: what is known of the follower's connection is not so
    // any more.
    void session_moved() { ++changes_; }
    bool wants_connection(Time now) const { return connection_wanted_ && now >= next_attempt_; }
    void connection_asked(Time now);

    std::optional<ShiftedRead>& shifted() { return shifted_; }
    const std::optional<ShiftedRead>& shifted() const { return shifted_; }
    // The follower answered it; or it goes to the authority after all.
    void shift_ended(bool by_follower);
    // Something is under way, or the authority misses something: the tap must live on.
    bool is_needed() const { return shifted_ || unnamed_missed_ || is_swallowing(); }

private:
    // Of the authority's answer, what comes next and is ours.
    enum class Swallowed : std::uint8_t {
        nothing,
        acknowledgement,
        acknowledgement_and_description,
        description
    };

    bool state_is_known(const Session& session) const;
    router::ShiftClaim claim(const protocol::postgres::KnownStatement& known, Session& session);
    router::ShiftClaim claim_by_application(const Session& session) const;
    void learn_statements(const Session& session);
    void want_statements(const Session& session, Time now);
    void note_unnamed(const protocol::postgres::ReadRequest& request,
                      Bytes slice,
                      Session& session);
    bool identify(const protocol::postgres::ReadRequest& request,
                  const Session& session,
                  std::string_view& text,
                  std::string& parse) const;
    void begin_shadow(const protocol::postgres::ReadRequest& request,
                      Bytes slice,
                      std::string_view text,
                      std::string parse,
                      const protocol::postgres::KnownStatement& known,
                      Session& session,
                      Time now);
    bool shadow_is_ready(Session& session);
    bool swallows(char tag);

    ThreadReads& reads_;
    Shadow* shadow_;
    protocol::postgres::StatementBook book_;
    std::uint64_t changes_ = 0;  // Statements that may have changed the session.
    std::uint64_t changes_at_probe_ = ~std::uint64_t{0};
    std::uint64_t learned_at_ = ~std::uint64_t{0};
    std::string identity_;  // Of the state that was probed last; likewise what is planned under.
    std::shared_ptr<const backfill::postgres::PlanContext> context_;
    std::uint64_t identity_at_ = ~std::uint64_t{0};

    std::optional<ShiftedRead> shifted_;
    std::optional<protocol::postgres::ReplyReader> reader_;  // Digests the answer for `job_`.
    ShadowJob job_;
    Time job_since_{};

    Time next_attempt_{};
    std::chrono::milliseconds pause_ = connection_pause_min;
    Time next_learning_{};
    std::chrono::milliseconds learning_pause_ = connection_pause_min;
    bool connection_wanted_ = false;
    bool error_ = false;
    bool unnamed_missed_ = false;
    Swallowed swallowed_ = Swallowed::nothing;
    std::string swallow_rest_;  // Of the answer that the acknowledgement is looked for in.
};

}  // namespace segue::proxy
