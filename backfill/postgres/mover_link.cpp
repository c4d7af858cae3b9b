#include "backfill/postgres/mover_link.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "backfill/postgres/lock_retry.hpp"
#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill::postgres {

namespace {

// Names longer than this are cut by the server (NAMEDATALEN - 1).
constexpr std::size_t application_name_max = 63;
// Longer than a machine at its limits needs between two questions of a mover.
constexpr const char* alive_within = "5s";
// Longer than a compare-and-set takes that waits for nobody.
constexpr std::chrono::milliseconds lease_lock_max{2000};

std::string host_name() {
    char name[256] = {};
    return gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

}  // namespace

std::string MoverIdentity::application_name() const {
    return ("segue mover " + migration_id).substr(0, application_name_max);
}

void Interrupts::interrupt() {
    const std::lock_guard lock{mutex_};
    interrupted_ = true;
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
}

bool Interrupts::interrupted() const {
    const std::lock_guard lock{mutex_};
    return interrupted_;
}

void Interrupts::add(int socket) {
    const std::lock_guard lock{mutex_};
    sockets_.push_back(socket);
    if (interrupted_) ::shutdown(socket, SHUT_RDWR);
}

void Interrupts::remove(int socket) {
    const std::lock_guard lock{mutex_};
    std::erase(sockets_, socket);
}

Result<MoverLink> MoverLink::open(const MoverIdentity& identity,
                                  Side side,
                                  LinkKind kind,
                                  Interrupts& interrupts) {
    if (interrupts.interrupted()) return Error{Errc::closed, "the mover is stopping"};
    Connection::Options options;
    options.application_name = identity.application_name();
    options.settings = {{mover_setting, identity.migration_id}, {"row_security", "off"}};
    options.replication = kind == LinkKind::replication;
    if (kind == LinkKind::writer) {
        options.settings.emplace_back("session_replication_role", "replica");
        // Progress must be on disk before anything is confirmed to a slot (law 3); a standby of the
        // follower may not stop it.
        options.settings.emplace_back("synchronous_commit", "local");
    }
    auto opened = Connection::open(identity.url[index(side)], options);
    if (!opened) {
        Error error = opened.error();
        error.detail = std::string{name(side)} + ": " + error.detail;
        return error;
    }
    MoverLink link{std::make_unique<Connection>(std::move(*opened)), interrupts};
    // The URL may name an application; ours must win, or nobody could find this session again.
    const auto named =
        link->execute("SET application_name = " + quote_literal(identity.application_name()));
    if (!named) return named.error();
    if (kind == LinkKind::reader && link->server_version() >= 140000) {
        // A reading whose connection we break (a twin that must give way) then ends at once, not
        // with its answer. A server that cannot (on some platforms) refuses the setting; there it
        // ends with its answer.
        const auto noticed = link->execute("SET client_connection_check_interval = '50ms'");
        if (!noticed && noticed.error().code == Errc::closed) return noticed.error();
    }
    return link;
}

MoverLink::MoverLink(std::unique_ptr<Connection> connection, Interrupts& interrupts)
    : connection_(std::move(connection)),
      interrupts_(&interrupts),
      // A descriptor of our own for the same socket: libpq closes its own by itself when the
      // connection breaks, and its number may then belong to a client's session.
      socket_(fcntl(PQsocket(connection_->raw()), F_DUPFD_CLOEXEC, 0)) {
    interrupts_->add(socket_);
}

MoverLink::MoverLink(MoverLink&& other) noexcept
    : connection_(std::move(other.connection_)),
      interrupts_(other.interrupts_),
      socket_(other.socket_) {}

MoverLink::~MoverLink() {
    if (!connection_) return;
    interrupts_->remove(socket_);
    if (socket_ >= 0) ::close(socket_);
}

namespace {

std::string own_name() { return host_name() + " pid " + std::to_string(getpid()); }

// That process was of this host and is gone.
bool is_dead(const std::string& holder) {
    const std::string here = host_name() + " pid ";
    if (!holder.starts_with(here)) return false;
    const int pid = std::atoi(holder.c_str() + here.size());
    return pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH;
}

}  // namespace

Result<std::string> living_holder(Connection& connection, const MoverIdentity& identity) {
    const auto found = connection.execute(
        "SELECT holder, EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND pid "
        "<> pg_backend_pid()"
        " AND state_change > clock_timestamp() - interval '" +
            std::string{alive_within} + "') FROM segue.lease",
        {identity.application_name()});
    if (!found) return found.error();
    if (found->size() != 1 || !found->truth(0, 1)) return std::string{};
    std::string holder = found->text(0, 0);
    if (holder == own_name() || is_dead(holder)) return std::string{};
    return holder;
}

namespace {

// A mover that is alive asks its servers several times a second. One that is frozen or cut off does
// not, and loses the lease; one that is at work keeps it, or two of them would take it from each
// other for ever.
Status let_the_living_work(Connection& connection, const MoverIdentity& identity) {
    const auto holder = living_holder(connection, identity);
    if (!holder) return holder.error();
    if (holder->empty()) return Done{};
    return Error{Errc::timed_out,
                 "another Segue (" + *holder +
                     ") moves this migration; this one takes over when that one is gone"};
}

// How many sessions of earlier movers are still there; asks them to end.
Result<long long> end_earlier_sessions(Connection& connection,
                                       const MoverIdentity& identity,
                                       const std::string& slot) {
    const auto ended = connection.execute(
        "SELECT count(pg_terminate_backend(pid)) FROM ("
        "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()"
        " UNION SELECT active_pid FROM pg_replication_slots WHERE slot_name = $2"
        " AND active_pid IS NOT NULL) AS earlier",
        {identity.application_name(), slot});
    if (!ended) return ended.error();
    return ended->number(0, 0);
}

}  // namespace

namespace {

// Somebody's compare-and-set on the record may hold the lease until its commit has been answered,
// and with synchronous standbys that is when they say. To go on without it would be to work beside
// a change of authority that may have been committed.
Error lease_is_locked(Connection& connection, const Error& cause) {
    const auto waiting = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event = 'SyncRep' ORDER BY xact_start LIMIT 1");
    if (!waiting || waiting->size() == 0) {
        return {cause.code,
                "a transaction that does not end holds table segue.lease; Segue goes on as soon "
                "as it has",
                cause.sqlstate};
    }
    return {cause.code,
            "the commit of server process " + waiting->text(0, 0) +
                ", which holds Segue's lease, waits for a synchronous standby; Segue goes on as "
                "soon as it has one: start the standby, or take it out of "
                "synchronous_standby_names and reload",
            cause.sqlstate};
}

Result<std::int64_t> raise_generation(Connection& connection) {
    const auto bounded =
        connection.execute("SET lock_timeout = " + std::to_string(lease_lock_max.count()));
    if (!bounded) return bounded.error();
    const auto taken = connection.execute(
        "UPDATE segue.lease SET generation = generation + 1, holder = $1, taken_at = now()"
        " RETURNING generation",
        {own_name()});
    if (!taken) {
        const bool locked = taken.error().sqlstate == lock_not_available;
        return locked ? lease_is_locked(connection, taken.error()) : taken.error();
    }
    if (taken->size() != 1) {
        return Error{Errc::refused,
                     "segue.lease has no row: finish this migration and start again on an "
                     "empty target"};
    }
    return taken->number(0, 0);
}

}  // namespace

Result<std::int64_t> take_lease(Connection& connection,
                                const MoverIdentity& identity,
                                const std::string& slot,
                                const Interrupts& interrupts) {
    constexpr std::chrono::seconds time_max{30};
    constexpr std::chrono::milliseconds pause{20};
    const auto deadline = std::chrono::steady_clock::now() + time_max;
    if (const Status alone = let_the_living_work(connection, identity); !alone)
        return alone.error();
    for (;;) {
        const auto left = end_earlier_sessions(connection, identity, slot);
        if (!left) return left.error();
        if (*left == 0) return raise_generation(connection);
        if (interrupts.interrupted()) return Error{Errc::closed, "the mover is stopping"};
        if (std::chrono::steady_clock::now() > deadline) {
            return Error{Errc::timed_out, "earlier sessions of Segue do not end"};
        }
        std::this_thread::sleep_for(pause);
    }
}

}  // namespace segue::backfill::postgres
