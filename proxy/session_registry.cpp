#include "proxy/session_registry.hpp"

#include <algorithm>
#include <future>
#include <iterator>
#include <utility>

#include "protocol/postgres/messages_server.hpp"
#include "proxy/parcel.hpp"
#include "router/counted.hpp"

namespace segue::proxy {

namespace {

constexpr std::size_t sessions_named_max = 10;  // In an error's text.
// For one session's follower connection, of shadow and shift; a server that does not answer is not
// waited for.
constexpr std::chrono::seconds prepare_wait_max{10};

// A relay thread that is busy for so long is left out of a report.
constexpr std::chrono::milliseconds survey_wait_max{200};
constexpr std::chrono::hours without_limit{1};  // The deadline is what ends it.
// A hold that waits longer than this for open transactions lets logins through, because they may be
// what is waited for. Before, a login waits rather than everybody for the preparation of its
// session.
constexpr std::chrono::milliseconds logins_wait_for_drain_max{100};

Error not_at_rest(const std::vector<Pin>& sessions, const std::string& remedy) {
    std::string named;
    for (std::size_t i = 0; i < std::min(sessions.size(), sessions_named_max); ++i) {
        named += (i == 0 ? "" : "; ") +
                 ("pid " + std::to_string(sessions[i].pid) + ": " + sessions[i].why);
    }
    if (sessions.size() > sessions_named_max)
        named += "; and " + std::to_string(sessions.size() - sessions_named_max) + " more";
    return {Errc::timed_out,
            counted(sessions.size(), "session", "sessions") + " did not come to rest in time (" +
                named + "): " + remedy};
}

constexpr protocol::postgres::ErrorReport shutting_down{
    .sqlstate = "57P01", .message = "terminating connection: the proxy is shutting down"};
constexpr protocol::postgres::ErrorReport superseded{
    .sqlstate = "57P01",
    .message =
        "terminating connection: another Segue has changed the authority while this one was "
        "cut off; connect again"};

}  // namespace

std::size_t thread_for_next(std::span<const std::size_t> sessions, std::size_t before_last) {
    auto able = sessions.size() > 1 ? sessions.first(sessions.size() - 1) : sessions;
    const auto full = [before_last](std::size_t count) { return count >= before_last; };
    if (std::all_of(able.begin(), able.end(), full)) able = sessions;
    return static_cast<std::size_t>(std::min_element(able.begin(), able.end()) - able.begin());
}

SessionRegistry::SessionRegistry(RegistrySettings settings, RegistryPeers peers)
    : settings_(settings),
      peers_(std::move(peers)),
      mover_(peers_.control,
             peers_.opener,
             directory_,
             threads_,
             settings_.carry_temporary_max,
             {peers_.types, peers_.setting_names}) {
    RelayPeers own;
    own.directory = &directory_;
    own.traffic = peers_.traffic;
    const bool gate_possible = peers_.positions && peers_.applied[0] && peers_.applied[1];
    own.positions = gate_possible ? peers_.positions : nullptr;
    own.applied[0] = peers_.applied[0];
    own.applied[1] = peers_.applied[1];
    own.gate_status = &gate_status_;
    own.gate_policy = settings_.gate;
    own.reads = peers_.reads;
    own.shadow = peers_.shadow;
    own.prepare = [this](std::uint64_t id) {
        mover_.prepare_soon(
            id, other(peers_.traffic->authority.load()), Clock::now() + prepare_wait_max);
    };
    own.ring = settings_.io_uring;
    own.look = settings_.look;
    own.looking = &looking_;
    own.move_percent = settings_.move_percent;
    own.move = [this](std::uint64_t id) { mover_.move_soon(id, Clock::now() + prepare_wait_max); };
    for (int i = 0; i < std::max(settings_.relay_threads, 1); ++i) {
        threads_.push_back(std::make_unique<RelayThread>(own));
    }
}

SessionRegistry::~SessionRegistry() { stop(); }

void SessionRegistry::start() {
    for (const auto& thread : threads_) thread->start();
    started_ = true;
}

void SessionRegistry::stop() {
    {
        const std::lock_guard lock{adopting_};
        if (stopped_) return;
        stopped_ = true;
    }
    // Refused before they ran (an address in use): a task for them would be waited for for ever.
    if (!started_) return;
    const std::string last_words = protocol::postgres::encode_error_response(shutting_down);
    on_all_threads(
        [&last_words](RelayThread& own) { own.end_all(last_words, RelayThread::Whom::everyone); });
    for (const auto& thread : threads_) thread->stop();
}

void SessionRegistry::on_all_threads(const std::function<void(RelayThread&)>& task) {
    std::vector<std::future<void>> done;
    for (const auto& thread : threads_) {
        RelayThread::Task copy{task};
        done.push_back(copy.get_future());
        thread->post(std::move(copy));
    }
    // wait, not get: a thread that has been stopped runs nothing, and nothing is left to be done
    // there.
    for (const auto& one : done) one.wait();
}

std::size_t SessionRegistry::session_count() const {
    std::size_t count = 0;
    for (const auto& thread : threads_) count += thread->session_count();
    return count;
}

Handover SessionRegistry::adopt(std::unique_ptr<Session>& session,
                                std::uint64_t epoch,
                                std::string& greeting) {
    const std::lock_guard lock{adopting_};
    const bool overtaken = (holding_ && !admitting_) || peers_.traffic->epoch.load() != epoch;
    if (stopped_ || (overtaken && !session->passed_through)) return Handover::changed;

    std::vector<std::size_t> counts;
    for (const auto& thread : threads_) counts.push_back(thread->session_count());
    const std::size_t taker = thread_for_next(counts, settings_.sessions_before_last_thread);
    session->id = next_id_++;
    directory_.add(*session, taker);
    auto adopt = [taken = std::move(session), first = std::move(greeting)](
                     RelayThread& own) mutable { own.adopt(std::move(taken), first); };
    threads_[taker]->post(RelayThread::Task{std::move(adopt)});
    return Handover::taken;
}

boost::asio::awaitable<std::optional<CancelTarget>> SessionRegistry::cancel(std::int32_t client_pid,
                                                                            std::string key) {
    const auto found = directory_.find(client_pid, key);
    if (!found) co_return std::nullopt;
    const auto answer = std::make_shared<Parcel<std::optional<CancelTarget>>>(peers_.control);
    const auto ask = [answer, id = found->first](RelayThread& own) {
        answer->deliver(own.cancel(id));
    };
    threads_[found->second.thread]->post(RelayThread::Task{ask});
    co_return co_await answer->take();
}

void SessionRegistry::cancel_ended(const CancelTarget& target) {
    const auto entry = directory_.entry(target.session);
    if (!entry) return;
    threads_[entry->thread]->post(
        RelayThread::Task{[id = target.session](RelayThread& own) { own.cancel_ended(id); }});
}

SessionsReport SessionRegistry::report() const {
    SessionsReport report = directory_.report();
    report.requests_dropped = requests_dropped_;
    const auto deadline = Clock::now() + survey_wait_max;
    std::vector<std::future<ThreadSurvey>> surveys;
    for (const auto& thread : threads_) {
        auto promise = std::make_shared<std::promise<ThreadSurvey>>();  // The task may run when
                                                                        // nobody waits any more.
        surveys.push_back(promise->get_future());
        thread->post(
            RelayThread::Task{[promise](RelayThread& own) { promise->set_value(own.survey()); }});
    }
    for (auto& one : surveys) {
        if (one.wait_until(deadline) != std::future_status::ready || stopped_) continue;
        ThreadSurvey survey = one.get();
        report.answers_waiting += survey.answers_waiting;
        report.longest_answer_wait =
            std::max(report.longest_answer_wait, survey.longest_answer_wait);
        std::move(
            survey.long_busy.begin(), survey.long_busy.end(), std::back_inserter(report.long_busy));
    }
    for (const auto& thread : threads_) {
        report.transactions += thread->transactions();
        report.requests += thread->requests();
        report.errors += thread->errors();
    }
    return report;
}
ShadowReport SessionRegistry::shadow_report() const {
    return peers_.reads != nullptr ? peers_.reads->shadow_report() : ShadowReport{};
}
ShiftReport SessionRegistry::shift_report() const {
    return peers_.reads != nullptr ? peers_.reads->shift_report() : ShiftReport{};
}
std::vector<int> SessionRegistry::backend_pids(Side side) const {
    return directory_.backend_pids(side);
}
bool SessionRegistry::any_listening() const { return directory_.any_listening(); }

// The pins that stand in the way become visible to status; an error names the first of them.
Status SessionRegistry::judge(const std::vector<MoveOutcome>& outcomes) {
    std::string named;
    std::size_t refused = 0;
    for (const MoveOutcome& outcome : outcomes) {
        const bool in_the_way = outcome.end == MoveEnd::pinned || outcome.end == MoveEnd::failed;
        if (!in_the_way) continue;
        if (outcome.end == MoveEnd::pinned) directory_.set_pin_of_pid(outcome.pid, outcome.why);
        if (++refused > sessions_named_max) continue;
        named += (named.empty() ? "" : "; ");
        if (outcome.pid != 0) named += "pid " + std::to_string(outcome.pid) + ": ";
        named += outcome.why;
    }
    if (refused == 0) return Done{};
    if (refused > sessions_named_max)
        named += "; and " + std::to_string(refused - sessions_named_max) + " more";
    return Error{Errc::refused,
                 counted(refused, "session", "sessions") + " cannot be moved (" + named +
                     "): let them finish or end them (pg_terminate_backend), then try again"};
}

Status SessionRegistry::prestage(Side side,
                                 Clock::time_point deadline,
                                 std::chrono::milliseconds busy_max) {
    directory_.clear_pins();
    if (peers_.types != nullptr) {
        if (const Status read = peers_.types->refresh(); !read) return read;
    }
    if (peers_.setting_names != nullptr) {
        if (const Status read = peers_.setting_names->refresh(other(side)); !read) return read;
    }
    const std::vector<MoveOutcome> outcomes =
        mover_.prepare(directory_.ids(), side, deadline, busy_max);
    if (const Status judged = judge(outcomes); !judged) return judged;
    std::vector<Pin> busy;
    for (const MoveOutcome& outcome : outcomes) {
        if (outcome.end == MoveEnd::busy) busy.push_back({outcome.pid, outcome.why});
    }
    if (busy.empty()) return Done{};
    return not_at_rest(busy,
                       "wait until they have ended, or end them (pg_terminate_backend), or give "
                       "them longer with [cutover] drain_ms");
}

Status SessionRegistry::hold(Side side, Clock::time_point drain_deadline) {
    held_at_ = Clock::now();
    {
        const std::lock_guard lock{adopting_};
        holding_ = true;
        first_admitted_ = next_id_;
    }
    const Meanwhile meanwhile{logins_wait_for_drain_max, [this] { admit(); }};
    const Status drained = drain(0, side, drain_deadline, meanwhile);
    if (!drained || !end_admission()) return drained;
    // Those that were let in had their time until the older ones had ended.
    return drain(first_admitted_, side, drain_deadline, {});
}

void SessionRegistry::admit() {
    on_all_threads([](RelayThread& own) { own.admit(); });
    const std::lock_guard lock{adopting_};
    admitting_ = true;
    peers_.traffic->holding = false;
}

// Whether somebody was let in.
bool SessionRegistry::end_admission() {
    const std::lock_guard lock{adopting_};
    admitting_ = false;
    peers_.traffic->holding = true;
    return next_id_ != first_admitted_;
}

Status SessionRegistry::drain(std::uint64_t first,
                              Side side,
                              Clock::time_point deadline,
                              const Meanwhile& meanwhile) {
    peers_.traffic->holding = true;
    on_all_threads([](RelayThread& own) { own.hold(); });
    const std::vector<MoveOutcome> outcomes =
        mover_.prepare(directory_.ids(first), side, deadline, without_limit, meanwhile);
    if (const Status judged = judge(outcomes); !judged) return judged;

    std::mutex mutex;
    std::vector<Pin> not_held;
    on_all_threads([&](RelayThread& own) {
        const std::vector<Pin> pins = own.not_held();
        const std::lock_guard lock{mutex};
        not_held.insert(not_held.end(), pins.begin(), pins.end());
    });
    if (not_held.empty()) return Done{};
    return not_at_rest(not_held,
                       "wait until they have ended, or give them longer with [cutover] drain_ms");
}

Status SessionRegistry::drain_notifications(const std::string& channel,
                                            Clock::time_point deadline) {
    return mover_.read_all_notifications(channel, deadline);
}

void SessionRegistry::swap(Side side) {
    on_all_threads([this, side](RelayThread& own) { sessions_ended_ += own.swap(side); });
}

WaitReport SessionRegistry::release() {
    std::vector<std::future<ReleaseReport>> released;
    for (const auto& thread : threads_) {
        std::promise<ReleaseReport> done;
        released.push_back(done.get_future());
        auto release = [promise = std::move(done)](RelayThread& own) mutable {
            own.release(std::move(promise));
        };
        thread->post(RelayThread::Task{std::move(release)});
    }
    {
        const std::lock_guard lock{adopting_};
        holding_ = admitting_ = false;
    }
    peers_.traffic->holding = false;
    WaitReport report;
    for (auto& one : released) {
        one.wait();
        if (stopped_) continue;  // Its promise may have broken.
        const ReleaseReport part = one.get();
        report.longest_wait = std::max(report.longest_wait, part.longest_wait);
        requests_dropped_ += part.requests_dropped;
    }
    report.hold = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - held_at_);
    return report;
}

void SessionRegistry::set_gate(bool closed) {
    // New sessions see it as soon as their thread does; the flag is for the others who look.
    peers_.traffic->gate_closed = closed;
    on_all_threads([closed](RelayThread& own) { own.set_gate(closed); });
}

void SessionRegistry::end_superseded() {
    // Whoever has seen the epoch of before has handed its session over.
    { const std::lock_guard lock{adopting_}; }
    const std::string last_words = protocol::postgres::encode_error_response(superseded);
    on_all_threads([&last_words](RelayThread& own) {
        own.end_all(last_words, RelayThread::Whom::those_of_the_migration);
    });
}

void SessionRegistry::drop_other_connections() {
    on_all_threads([](RelayThread& own) { own.drop_others(); });
}

}  // namespace segue::proxy
