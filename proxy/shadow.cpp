#include "proxy/shadow.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/redacted.hpp"
#include "protocol/postgres/reply_digest.hpp"
#include "proxy/exchange.hpp"
#include "router/verdict.hpp"

namespace segue::proxy {

namespace {

using Clock = std::chrono::steady_clock;
using protocol::postgres::ReplyReader;
using protocol::postgres::TypeTranslator;

constexpr std::chrono::seconds connection_wait_max{2};
constexpr std::chrono::milliseconds fresh_poll{10};
constexpr std::chrono::milliseconds wanted_poll{100};
// One that shows nothing and takes longer is not tried again for as long as it took.
constexpr std::chrono::seconds long_confirmation{1};
constexpr const char* query_canceled = "57014";

void add(std::string& output, std::string_view part) {
    output += std::to_string(part.size());
    output += ':';
    output += part;
}

std::string with_side(const std::string& identity, Side side) {
    return std::string{name(side)} + identity;
}

// What the follower refuses for reasons of its own says nothing about its data.
bool is_follower_trouble(const std::string& sqlstate) {
    return sqlstate.starts_with("57") || sqlstate.starts_with("40") || sqlstate.starts_with("53") ||
           sqlstate.starts_with("08") || sqlstate.starts_with("25");
}

// What may differ for reasons of its own: a statement, whatever its values, of that kind of
// session.
std::string asked_as(const ShadowJob& job) {
    const auto fingerprint = protocol::postgres::fingerprint(job.text);
    return with_side(job.identity, job.authority) +
           (fingerprint ? std::to_string(*fingerprint) : job.text);
}

// The connection may hold a statement of this name already: of its session, or of the job before.
std::string without_namesake(const std::string& parse) {
    std::string messages;
    const Step<protocol::postgres::Frame> step =
        protocol::postgres::next_frame(bytes(parse), parse.size());
    if (const auto* frame = std::get_if<protocol::postgres::Frame>(&step)) {
        const auto message = protocol::postgres::parse_parse(frame->body);
        if (message && !message->name.empty())
            append(messages, protocol::postgres::Close{'S', message->name});
    }
    return messages + parse;
}

// Prepares it, and where that is wanted asks for its description; ends there.
std::string prepares(const std::string& parse, bool described) {
    std::string messages = without_namesake(parse);
    const auto message =
        protocol::postgres::parse_parse(bytes(parse).subspan(protocol::postgres::header_size));
    if (described) {
        append(messages,
               protocol::postgres::Describe{'S', message ? message->name : std::string_view{}});
    }
    protocol::postgres::append_sync(messages);
    return messages;
}

class EventFd {
public:
    EventFd() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
    ~EventFd() { ::close(fd_); }
    EventFd(const EventFd&) = delete;
    EventFd& operator=(const EventFd&) = delete;
    int fd() const { return fd_; }

private:
    int fd_;
};

struct FollowerAnswer {
    bool usable = false;  // Else nothing is known, and the connection is worth nothing any more.
    ReplyDigest digest;
    std::chrono::microseconds latency{0};
};

// What has been asked for in one go, slice by slice.
class Replies {
public:
    Replies(Backend& follower, Clock::time_point deadline)
        : follower_(follower), deadline_(deadline) {}

    // Until the last of `readers` has its reply. False: the connection is lost.
    bool ask(const std::string& request, std::initializer_list<ReplyReader*> readers) {
        TypeTranslator* const types = follower_.types.get();
        const auto receive = [&](Bytes slice) {
            if (types != nullptr) slice = types->to_client(slice);
            for (ReplyReader* reader : readers) slice = slice.subspan(reader->update(slice));
            if (!answered_at_ && (*readers.begin())->finished()) answered_at_ = Clock::now();
            return (*(readers.end() - 1))->finished();
        };
        answered_at_.reset();
        const Bytes sent = types != nullptr ? types->to_server(bytes(request)) : bytes(request);
        return exchange(follower_.transport, sent, deadline_, receive).has_value();
    }
    // When the first reader had its reply.
    Clock::time_point answered_at() const { return answered_at_.value_or(Clock::now()); }

private:
    Backend& follower_;
    Clock::time_point deadline_;
    std::optional<Clock::time_point> answered_at_;
};

// In a transaction that can neither write nor last. What comes before the request is asked for
// apart, so that the time is that of what the client itself has sent.
FollowerAnswer ask(Backend& follower, const ShadowJob& job) {
    Replies replies{follower, Clock::now() + 2 * shadow_statement_max};
    ReplyReader opening, prepared, answer, closing;
    std::string begin, request, rollback;
    append(begin,
           protocol::postgres::Query{
               "BEGIN TRANSACTION READ ONLY; SET LOCAL statement_timeout = '30s'; SELECT 1"});
    append(rollback, protocol::postgres::Query{"ROLLBACK"});
    // Without its description nobody could tell where the statement's values hold OIDs.
    const bool open = job.parse.empty()
                          ? replies.ask(begin, {&opening})
                          : replies.ask(begin + prepares(job.parse, follower.types != nullptr),
                                        {&opening, &prepared});
    if (!open || !opening.digest().error_code.empty()) return {};
    // It is refused there already.
    if (!prepared.digest().error_code.empty())
        return {
            replies.ask(rollback, {&closing}) && closing.status() == 'I', prepared.digest(), {}};
    const auto begun = Clock::now();
    const bool done = replies.ask(job.request + rollback, {&answer, &closing});
    const auto latency =
        std::chrono::duration_cast<std::chrono::microseconds>(replies.answered_at() - begun);
    return {done && closing.status() == 'I', answer.digest(), latency};
}

}  // namespace

std::string identity_of(const StartupParameters& startup,
                        const protocol::postgres::SessionState& state,
                        Side client_types) {
    std::string identity;
    add(identity, name(client_types));
    for (const auto& [parameter, value] : startup) {
        if (parameter == "application_name") continue;
        add(identity, parameter);
        add(identity, value);
    }
    for (const auto* settings : {&state.settings, &state.custom_settings}) {
        add(identity, "settings");
        for (const auto& [setting, value] : *settings) {
            if (setting == "application_name") continue;
            add(identity, setting);
            add(identity, value);
        }
    }
    add(identity, state.role);
    add(identity, state.session_authorization);
    return identity;
}

Shadow::~Shadow() { stop(); }

void Shadow::start() {
    for (int i = 0; i < shadow_workers; ++i) threads_.emplace_back([this] { work(); });
}

void Shadow::stop() {
    {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
        queue_.clear();
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
}

void Shadow::push(ShadowJob job) {
    {
        const std::lock_guard lock{mutex_};
        if (!stopping_ && queue_.size() < shadow_queue_max) {
            queue_.push_back(std::move(job));
            changed_.notify_one();
            return;
        }
    }
    peers_.reads->count_shed();
}

bool Shadow::has_connection(const std::string& identity, Side follower) const {
    const std::string key = with_side(identity, follower);
    const std::lock_guard lock{mutex_};
    return busy_.contains(key) || std::any_of(idle_.begin(), idle_.end(), [&](const Idle& one) {
               return one.identity == key;
           });
}

bool Shadow::wants_connection(const std::string& identity, Side follower) const {
    return !has_connection(identity, follower);
}

void Shadow::give(const std::string& identity, Backend connection) {
    const std::string key = with_side(identity, connection.side);
    put_connection(key, std::move(connection));
}

void Shadow::put_connection(const std::string& identity, Backend backend) {
    {
        const std::lock_guard lock{mutex_};
        if (stopping_) return;
        if (idle_.size() >= shadow_connections_max) idle_.erase(idle_.begin());
        idle_.push_back({identity, std::move(backend)});
    }
    changed_.notify_all();
}

std::optional<Backend> Shadow::take_connection(const ShadowJob& job) {
    const std::string key = with_side(job.identity, other(job.authority));
    std::unique_lock lock{mutex_};
    std::optional<Backend> taken;
    const auto find = [&] {
        const auto found = std::find_if(
            idle_.begin(), idle_.end(), [&](const Idle& one) { return one.identity == key; });
        if (found != idle_.end()) {
            taken = std::move(found->backend);
            idle_.erase(found);
            ++busy_[key];
        }
        // Nobody will bring one back: waiting is pointless.
        return taken.has_value() || stopping_ || !busy_.contains(key);
    };
    changed_.wait_for(lock, connection_wait_max, find);
    return taken;
}

bool Shadow::is_wanted(const ShadowJob& job) const {
    if (stopping_.load()) return false;
    const Traffic& traffic = peers_.reads->traffic();
    return traffic.shadow_percent.load() > 0 && traffic.authority.load() == job.authority;
}

void Shadow::work() {
    for (;;) {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (stopping_) return;
        ShadowJob job = std::move(queue_.front());
        queue_.pop_front();
        lock.unlock();
        is_wanted(job) ? run(std::move(job)) : peers_.reads->count_shed();
    }
}

// Until the follower has what the authority shows by now, which is no less than the answer shows.
bool Shadow::wait_until_fresh(const ShadowJob& job, int event_fd) {
    const Side authority = job.authority;
    if (peers_.positions == nullptr) return true;
    const auto deadline = Clock::now() + shadow_wait_max;
    const std::uint64_t request = peers_.positions->ask(authority);
    for (;;) {
        const Token token = peers_.positions->newest(authority);
        const bool known = token.request >= request;
        const auto soon = std::min(deadline, Clock::now() + wanted_poll);
        if (known && peers_.applied[index(authority)]->wait_for(token.position, soon)) return true;
        if (Clock::now() >= deadline || !is_wanted(job)) return false;
        pollfd poll{event_fd, POLLIN, 0};
        ::poll(&poll, 1, static_cast<int>(fresh_poll.count()));
        std::uint64_t count = 0;
        [[maybe_unused]] const auto got = ::read(event_fd, &count, sizeof count);
    }
}

void Shadow::run(ShadowJob job) {
    Reads& reads = *peers_.reads;
    std::optional<Backend> backend = take_connection(job);
    if (!backend) return reads.count_shed();
    const std::string key = with_side(job.identity, other(job.authority));
    const auto give_back = [&](bool good) {
        {
            const std::lock_guard lock{mutex_};
            if (--busy_[key] == 0) busy_.erase(key);
        }
        if (good) put_connection(key, std::move(*backend));
        changed_.notify_all();
    };
    {
        const EventFd event;
        if (peers_.positions != nullptr) peers_.positions->subscribe(event.fd());
        const bool fresh = wait_until_fresh(job, event.fd());
        if (peers_.positions != nullptr) peers_.positions->unsubscribe(event.fd());
        if (!fresh || !is_wanted(job)) {
            give_back(true);
            return reads.count_shed();
        }
    }
    const FollowerAnswer answer = ask(*backend, job);
    if (!answer.usable) {
        give_back(false);
        return reads.count_shed();
    }
    std::optional<Confirmation> found = judge(job, answer.digest, backend->transport);
    give_back(backend->transport.is_open());
    if (!found) return reads.count_shed();
    if (found->suspected &&
        (!is_wanted(job) ||
         !followed_up_.take(job.authority, found->outcome, *found->suspected->reads)))
        found->suspected.reset();
    MeasuredRead read{job.text,
                      found->outcome,
                      {},
                      job.context,
                      parameter_types(job.parse, job.request),
                      found->suspected};
    const std::string& failed = answer.digest.error_code;
    if (job.answer.error_code.empty() && (failed.empty() || failed == query_canceled)) {
        read.answers = {{job.latency, job.answer.rows}, {answer.latency, answer.digest.rows}};
    }
    reads.count_comparison(job.authority, read);
    if (found->suspected)
        peers_.suspect(found->suspected->reads->tables, found->suspected->seen_at);
}

// Empty: nothing was found out.
std::optional<Confirmation> Shadow::judge(const ShadowJob& job,
                                          const ReplyDigest& digest,
                                          Transport& follower) {
    if (digest.error_code == "25006") peers_.reads->demote(job.statement);
    // Given up there by our own limit: so long, at least, would a client have waited.
    if (digest.error_code == query_canceled && job.answer.error_code.empty())
        return Confirmation{Comparison::impossible, {}};
    if (is_follower_trouble(digest.error_code)) return std::nullopt;
    const bool order_defined = job.order_defined && types_sort_exactly(job.column_types);
    const router::Verdict verdict = router::compare(job.answer, digest);
    const bool ties = job.limited && !order_defined;  // Which rows a LIMIT keeps may then differ.
    if (!job.comparable || ties || verdict == router::Verdict::not_comparable) {
        const bool both_ran = job.answer.error_code.empty() && digest.error_code.empty();
        return both_ran ? std::optional{Confirmation{Comparison::impossible, {}}} : std::nullopt;
    }
    if (!router::is_suspect(verdict, order_defined)) return Confirmation{Comparison::equal, {}};
    return ask_both(job, order_defined, follower);
}

std::optional<Confirmation> Shadow::ask_both(const ShadowJob& job,
                                             bool order_defined,
                                             Transport& follower) {
    const std::string statement = asked_as(job);
    const auto lately = [&] { return asked_lately_.contains(statement, Clock::now()); };
    if (lately()) return Confirmation{};
    const std::lock_guard one_at_a_time{confirming_};
    if (!is_wanted(job)) return std::nullopt;
    if (lately()) return Confirmation{};
    const FollowUp follow_up = peers_.suspect ? FollowUp::tables : FollowUp::none;
    const auto begun = Clock::now();
    const Confirmation found = confirm(job, order_defined, follower, peers_.open_twin, follow_up);
    const auto ended = Clock::now();
    if (found.outcome == Comparison::different)
        asked_lately_.add(statement, ended, ended + peers_.confirmed_for);
    else if (ended - begun > long_confirmation)
        asked_lately_.add(statement, ended, ended + (ended - begun));
    return found;
}

}  // namespace segue::proxy
