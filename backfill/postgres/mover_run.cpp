#include "backfill/postgres/mover_run.hpp"

#include <algorithm>

#include "backfill/postgres/bounded_query.hpp"
#include "backfill/postgres/mover_checks.hpp"
#include "backfill/postgres/segue_schema.hpp"
#include "backfill/postgres/store.hpp"
#include "backfill/snapshot.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::milliseconds keep_interval{250};
// Where there are many tables, describing them keeps the authority busy: so much longer it is left
// alone afterwards.
constexpr int tables_rest = 9;
constexpr std::chrono::seconds good_run{10};
constexpr std::chrono::milliseconds nudge_time_max{2000};
constexpr std::chrono::milliseconds nudge_step{20};
// A side that has not answered a keeper for so long has lost our connections, though no error tells
// of it.
constexpr std::chrono::seconds silence_max{20};
constexpr Side both_sides[] = {Side::source, Side::target};

Error of_side(Side side, Error error) {
    error.detail = std::string{name(side)} + ": " + error.detail;
    return error;
}

Error stopping() { return Error{Errc::closed, "the mover is stopping"}; }

}  // namespace

MoverRun::~MoverRun() { close(); }

Error MoverRun::serve() {
    Status ended = set_up();
    if (ended) ended = keep();
    // The reason is a stream's failure where there is one: what follows from it is only noise.
    auto reason = first_failure();
    close();
    if (const auto authority = authority_stream()) {
        stopped_table_ = authority->applier().stopped_table();
        stopped_by_schema_ = authority->applier().stopped_by_schema();
        begins_anew_ = authority->applier().ended_to_begin_anew();
    }
    if (!reason && !ended) reason = ended.error();
    if (!reason || stopping_.load()) return stopping();
    if (!record_lost_.empty() && !reason->detail.ends_with(record_lost_))
        reason->detail += "; " + record_lost_;
    return *reason;
}

void MoverRun::stop() {
    stopping_.store(true);
    interrupts_.interrupt();
    for (const Side side : both_sides) {
        if (const auto live = stream(side)) live->pipe().fail(stopping());
    }
}

void MoverRun::close() {
    interrupts_.interrupt();
    for (const Side side : both_sides) {
        if (const auto live = stream(side)) live->pipe().fail(stopping());
    }
    if (copying_.joinable()) copying_.join();
    end_sequences();
    for (const Side side : both_sides) {
        // Copying may have opened the reverse stream meanwhile.
        if (const auto live = stream(side)) {
            live->pipe().fail(stopping());
            live->join();
        }
    }
}

std::shared_ptr<MoverStream> MoverRun::stream(Side side) const {
    const std::lock_guard lock{mutex_};
    return streams_[index(side)];
}

std::shared_ptr<MoverStream> MoverRun::authority_stream() const {
    Side authority;
    {
        const std::lock_guard lock{shared_.mutex};
        authority = shared_.authority;
    }
    return stream(authority);
}

std::optional<Error> MoverRun::first_failure() const {
    {
        const std::lock_guard lock{mutex_};
        if (copy_failure_) return copy_failure_;
    }
    for (const Side side : both_sides) {
        const auto live = stream(side);
        if (!live) continue;
        if (auto failure = live->pipe().failure()) return failure;
    }
    return std::nullopt;
}

Status MoverRun::set_up() {
    if (const Status taken = take_over(); !taken) return taken;
    if (const Status renewed = renew_installed(); !renewed) return renewed;
    Side authority;
    router::Backfill backfill;
    {
        const std::lock_guard lock{shared_.mutex};
        authority = shared_.authority;
        backfill = shared_.backfill;
    }
    // First: what names a row on the follower must be known to whoever writes there.
    if (backfill != router::Backfill::consistent) {
        if (const Status keys = restore_keys(); !keys) return keys;
    }
    for (const Side side : both_sides) {
        auto keeper = link(side, LinkKind::writer);
        if (!keeper) return keeper.error();
        keepers_[index(side)].emplace(std::move(*keeper));
        auto tables = read_follower_tables(**keepers_[index(side)], shared_.settings.exclude);
        if (!tables) return tables.error();
        tables_[index(side)] = std::move(*tables);
        if (const Status read = read_figures(side); !read) return read;
    }
    if (const Status known = check_servers(); !known) return known;
    schema_changes_seen_ = shared_.schema_changes.load();
    for (const auto& [name, known] : tables_[index(authority)])
        authority_tables_.push_back(known.table);
    const bool copied = backfill == router::Backfill::consistent;
    auto applied = make_stream(authority);
    if (!applied) return applied.error();
    if (!record_lost_.empty()) return Error{Errc::refused, "the copy is invalid: " + record_lost_};
    const Status known = set_up_tables(copied ? nullptr : &(*applied)->pipe());
    if (!known) return known;
    {
        const std::lock_guard lock{mutex_};
        streams_[index(authority)] = *applied;
    }
    if (copied) {
        if (const Status opened = open_reverse_stream(); !opened) return opened;
        keep_sequences();
    }
    set_paused(shared_.paused.load());
    (*applied)->start_threads();
    if (const Status probed = probe(**applied); !probed) return probed;
    if (!copied) copying_ = std::thread{[this] { copy_everything(); }};
    const std::lock_guard lock{shared_.mutex};
    shared_.invalid.clear();  // Every check was passed.
    return Done{};
}

// Both, before what one has of the other is judged: that a server was replaced is the reason, what
// the new one lacks only follows from it.
Status MoverRun::check_servers() {
    for (const Side side : both_sides) {
        auto replication = link(side, LinkKind::replication);
        if (!replication) return replication.error();
        const std::lock_guard lock{keeper_mutex_[index(side)]};
        const Status known = check_server(**replication, **keepers_[index(side)], side);
        if (!known) return known;
    }
    return Done{};
}

Result<std::shared_ptr<MoverStream>> MoverRun::make_stream(Side side) {
    auto replication = link(side, LinkKind::replication);
    if (!replication) return replication.error();
    auto follower = link(other(side), LinkKind::writer);
    if (!follower) return follower.error();
    const std::lock_guard lock{keeper_mutex_[index(side)]};
    Connection& owner = **keepers_[index(side)];
    if (const Status known = check_server(**replication, owner, side); !known) return known.error();
    auto progress =
        progress_for_slot(owner, **follower, side, slot_name(shared_.settings.migration, side));
    if (!progress) return progress.error();
    auto strays = read_strays(**follower, side, shared_.since.load());
    if (!strays) return strays.error();
    shared_.strays[index(side)].reset(strays->count, strays->tables);

    auto publications = read_publications(owner, shared_.settings.migration);
    if (!publications) return publications.error();

    MoverStream::Parts parts;
    parts.side = side;
    parts.publications = std::move(*publications);
    parts.progress = std::move(*progress);
    parts.generation = generations_[index(other(side))];
    parts.xid_reference = xid_reference_[index(side)];
    parts.alone = alone_;
    parts.open_authority = [this, side] { return link(side, LinkKind::reader); };
    auto made = std::make_shared<MoverStream>(std::move(parts),
                                              std::move(*replication),
                                              std::move(*follower),
                                              tables_[index(other(side))],
                                              shared_,
                                              twins_);
    const std::lock_guard roles{shared_.mutex};
    made->set_role(side == shared_.authority, Position{shared_.since.load()});
    return made;
}

Status MoverRun::open_reverse_stream() {
    Side follower;
    {
        const std::lock_guard lock{shared_.mutex};
        follower = other(shared_.authority);
    }
    auto reverse = make_stream(follower);
    if (!reverse) return reverse.error();
    {
        const std::lock_guard lock{mutex_};
        streams_[index(follower)] = *reverse;
    }
    (*reverse)->start_threads();
    return probe(**reverse);
}

// A ticket of ours: when its place in the stream is durable on the other side, that way is open.
Status MoverRun::probe(MoverStream& carried) {
    const std::lock_guard lock{keeper_mutex_[index(carried.side())]};
    Connection& owner = **keepers_[index(carried.side())];
    if (auto ticket =
            execute_within(owner, silence_max, "UPDATE segue.ticket SET number = number + 1");
        !ticket) {
        return ticket.error();
    }
    const auto end = execute_within(owner, silence_max, "SELECT pg_current_wal_flush_lsn()");
    if (!end) return end.error();
    carried.set_probe(parse_lsn(end->at(0, 0)).value_or(Position{}));
    return Done{};
}

// What the whole run needs to know of a side, again and again: its log's end, and what snapshots
// show.
Status MoverRun::read_figures(Side side) {
    const std::lock_guard lock{keeper_mutex_[index(side)]};
    const auto rows =
        execute_within(**keepers_[index(side)],
                       silence_max,
                       "SELECT pg_current_snapshot(), pg_current_wal_insert_lsn(),"
                       " (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,"
                       " (SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)::bigint"
                       " FROM pg_replication_slots WHERE slot_name = $1)",
                       {slot_name(shared_.settings.migration, side)});
    if (!rows) return of_side(side, rows.error());
    const auto snapshot = parse_snapshot(rows->at(0, 0));
    if (!snapshot) return snapshot.error();
    xid_reference_[index(side)] = snapshot->xmax;
    if (const auto live = stream(side)) {
        live->set_xid_reference(snapshot->xmax);
        live->pipe().prune(*snapshot);
        live->push_probe();
    }
    SideFigures figures;
    figures.log_end = parse_lsn(rows->at(0, 1)).value_or(Position{});
    figures.clock_ahead = std::chrono::microseconds{rows->number(0, 2)} -
                          std::chrono::duration_cast<std::chrono::microseconds>(
                              std::chrono::system_clock::now().time_since_epoch());
    figures.retained_log_bytes = static_cast<std::uint64_t>(std::max(0LL, rows->number(0, 3)));
    figures.known = true;
    const std::lock_guard lock_shared{shared_.mutex};
    SideFigures& known = shared_.sides[index(side)];
    figures.trail = std::move(known.trail);
    figures.trail.note(
        figures.log_end, shared_.applied[index(side)].current(), std::chrono::steady_clock::now());
    known = std::move(figures);
    return Done{};
}

bool MoverRun::retained_log_is_over() const {
    const std::uint64_t cap = shared_.settings.retained_log_bytes_max;
    const std::lock_guard lock{shared_.mutex};
    return cap > 0 && std::any_of(std::begin(shared_.sides),
                                  std::end(shared_.sides),
                                  [&](const auto& side) { return side.retained_log_bytes > cap; });
}

// Law 10: who queues behind a lock of ours on the authority (a chunk's or a twin's ACCESS SHARE)
// does not wait for us. A read is cancelled and done again later; a twin that rests between two
// reads is ended.
Status MoverRun::yield_to_waiters(Side authority) {
    const std::lock_guard lock{keeper_mutex_[index(authority)]};
    const auto rows = execute_within(
        **keepers_[index(authority)],
        silence_max,
        "SELECT CASE WHEN a.state = 'active' THEN pg_cancel_backend(a.pid)"
        " ELSE pg_terminate_backend(a.pid) END FROM pg_stat_activity a"
        " WHERE a.application_name = $1 AND (a.state = 'active' OR now() - a.state_change > '1s')"
        " AND EXISTS (SELECT FROM pg_locks held JOIN pg_locks waits ON waits.locktype = 'relation'"
        " AND waits.database = held.database AND waits.relation = held.relation AND NOT "
        "waits.granted"
        " WHERE held.pid = a.pid AND held.locktype = 'relation' AND held.granted"
        " AND held.mode = 'AccessShareLock' AND waits.mode = 'AccessExclusiveLock')",
        {shared_.identity.application_name()});
    if (!rows) return rows.error();
    return Done{};
}

// What stands in segue.ddl has reached both sides. Unless it is wanted at once, the authority rests
// between two readings.
Status MoverRun::read_changed_tables(bool at_once) {
    const std::lock_guard one_at_a_time{tables_read_mutex_};
    const std::uint64_t changes = shared_.schema_changes.load();
    const auto begun = std::chrono::steady_clock::now();
    if (changes == schema_changes_seen_ || (!at_once && begun < next_tables_read_)) return Done{};
    Side authority;
    {
        const std::lock_guard lock{shared_.mutex};
        authority = shared_.authority;
    }
    std::vector<Table> tables;
    {
        const std::lock_guard lock{keeper_mutex_[index(authority)]};
        auto read = read_tables(**keepers_[index(authority)], shared_.settings.exclude);
        if (!read) return of_side(authority, read.error());
        tables = std::move(*read);
    }
    const auto ended = std::chrono::steady_clock::now();
    next_tables_read_ = ended + tables_rest * (ended - begun);
    std::map<TableName, TableFigures> figures;
    const auto copied_from = stream(Side::source);
    const std::lock_guard lock{shared_.mutex};
    const bool copying = shared_.backfill != router::Backfill::consistent;
    for (const Table& table : tables) {
        const TableName name{table.schema, table.name};
        const auto known = shared_.tables.find(name);
        TableFigures& shown = figures[name];
        if (known != shared_.tables.end()) shown = known->second;
        shown.rows_estimate = table.rows_estimate;
        if (copying && copied_from) shown.loaded = copied_from->pipe().is_whole(name);
    }
    shared_.tables = std::move(figures);
    const std::lock_guard own{mutex_};
    authority_tables_ = std::move(tables);
    schema_changes_seen_ = changes;
    return Done{};
}

std::vector<Table> MoverRun::current_tables() {
    (void)read_changed_tables(true);
    return authority_tables();
}

// A stream that has gone on for a while has passed what stopped the run before.
void MoverRun::forget_stopped_tables() {
    const std::lock_guard lock{shared_.mutex};
    for (auto& [name, figures] : shared_.tables) figures.stopped_because.clear();
}

Status MoverRun::keep() {
    const auto begun_at = std::chrono::steady_clock::now();
    Side begun_for;
    {
        const std::lock_guard lock{shared_.mutex};
        begun_for = shared_.authority;
    }
    const AppliedPosition& applied = shared_.applied[index(begun_for)];
    const Position began_at = applied.current();
    while (!stopping_.load()) {
        // A large transaction may take its time to come to the same change again.
        const bool long_enough = std::chrono::steady_clock::now() - begun_at > good_run;
        if (long_enough && applied.current() > began_at) forget_stopped_tables();
        if (const auto failure = first_failure()) return *failure;
        if (const Status read = read_changed_tables(false); !read) return read;
        if (const Status known = keep_code_known(); !known) return known;
        if (const Status expected = expect_authority_still(); !expected) return expected;
        for (const Side side : both_sides) {
            if (const Status read = read_figures(side); !read) return read;
        }
        if (retained_log_is_over())
            return Error{Errc::too_large, "the retained log has reached its cap"};
        const auto authority = authority_stream();
        if (authority) {
            if (const Status yielded = yield_to_waiters(authority->side()); !yielded)
                return yielded;
        }
        if (!authority) return Error{Errc::closed, "the authority's stream is not open"};
        authority->applier().wake_for_readers();
        // Returns early when a stream fails.
        (void)authority->pipe().wait_for_position(Position{~0ull}, keep_interval);
    }
    return stopping();
}

void MoverRun::set_role(Side authority, Position since) {
    for (const Side side : both_sides) {
        const auto live = stream(side);
        if (!live) continue;
        live->set_role(side == authority, since);
        live->pipe().set_paused(side == authority && shared_.paused.load());
    }
}

void MoverRun::set_paused(bool paused) {
    if (const auto authority = authority_stream()) authority->pipe().set_paused(paused);
}

Status MoverRun::nudge(Side stream_of) {
    const auto live = stream(stream_of);
    if (!live)
        return Error{Errc::closed, std::string{name(stream_of)} + ": its stream is not open"};
    Position end;
    {
        const std::lock_guard lock{keeper_mutex_[index(stream_of)]};
        Connection& owner = **keepers_[index(stream_of)];
        const char* const query = "SELECT pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn()";
        auto rows = execute_within(owner, silence_max, query);
        if (!rows) return rows.error();
        end = parse_lsn(rows->at(0, 0)).value_or(Position{});
        if (parse_lsn(rows->at(0, 1)).value_or(Position{}) < end) {
            auto ticket =
                execute_within(owner, silence_max, "UPDATE segue.ticket SET number = number + 1");
            if (!ticket) return ticket.error();
        }
    }
    live->reader().nudge();
    Side authority;
    {
        const std::lock_guard lock{shared_.mutex};
        authority = shared_.authority;
    }
    if (stream_of == authority) return Done{};
    // Nothing is applied from a watched stream: that it arrived is written for its own sake.
    const auto deadline = std::chrono::steady_clock::now() + nudge_time_max;
    while (std::chrono::steady_clock::now() < deadline) {
        const auto reached = live->pipe().wait_for_position(end, nudge_step);
        if (!reached) return reached.error();
        if (*reached) break;
        live->reader().nudge();
    }
    live->applier().request_checkpoint();
    return Done{};
}

StreamStatus MoverRun::stream_status(Side stream_of) const {
    StreamStatus status;
    const auto live = stream(stream_of);
    if (!live) return status;
    status.connected = live->reader().streaming();
    status.reverse_ready = status.connected && live->proven();
    status.received = live->reader().received();
    const auto oldest = live->pipe().oldest_pending();
    const std::lock_guard lock{shared_.mutex};
    const auto now = std::chrono::time_point_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now() + shared_.sides[index(stream_of)].clock_ahead);
    status.lag_seconds =
        oldest ? std::max(0.0, std::chrono::duration<double>(now - *oldest).count()) : 0.0;
    return status;
}

bool MoverRun::ready() const {
    for (const Side side : both_sides) {
        const auto live = stream(side);
        if (!live || !live->reader().streaming() || !live->proven()) return false;
    }
    return true;
}

}  // namespace segue::backfill::postgres
