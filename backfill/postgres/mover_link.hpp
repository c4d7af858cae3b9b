#pragma once
// Connections of the mover: marked as ours on the server, so that the next holder of the lease can
// end them, and interruptible from another thread, so that stopping never waits for a server.

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "protocol/result.hpp"
#include "router/side.hpp"

namespace segue::backfill::postgres {

struct MoverIdentity {
    std::string migration, migration_id;
    std::string url[2];  // By index(Side).

    // What pg_stat_activity shows of every connection of this migration's movers.
    std::string application_name() const;
};

// The sockets of one run of the mover.
class Interrupts {
public:
    // Breaks every connection, now and later.
    void interrupt();
    bool interrupted() const;

private:
    friend class MoverLink;
    void add(int socket);
    void remove(int socket);
    mutable std::mutex mutex_;
    std::vector<int> sockets_;
    bool interrupted_ = false;
};

enum class LinkKind : std::uint8_t {
    reader,       // Reads tables and catalogs.
    writer,       // Writes migrated rows: replica role, durable commits.
    replication,  // Logical replication.
};

// Movable; the connection is closed with it. Outlived by its Interrupts.
class MoverLink {
public:
    static Result<MoverLink> open(const MoverIdentity& identity,
                                  Side side,
                                  LinkKind kind,
                                  Interrupts& interrupts);
    MoverLink(MoverLink&& other) noexcept;
    MoverLink& operator=(MoverLink&&) = delete;
    ~MoverLink();

    Connection& operator*() { return *connection_; }
    Connection* operator->() { return connection_.get(); }
    const Connection* operator->() const { return connection_.get(); }

private:
    MoverLink(std::unique_ptr<Connection> connection, Interrupts& interrupts);
    std::unique_ptr<Connection> connection_;
    Interrupts* interrupts_;
    int socket_;
};

// Who else holds the lease on that side and is alive; empty where nobody does.
Result<std::string> living_holder(Connection& connection, const MoverIdentity& identity);

// Takes the lease on that side: ends every earlier session of ours there, waits until they are
// gone, and raises the generation. `slot` may still be used by one of them. Fails at the deadline,
// where another process that is alive holds the lease (Errc::timed_out, as at the deadline), and
// where a transaction holds the lease's row for longer than a moment (Errc::server): the error
// names it and what to do, and the next run of the mover tries again. The connection is for this.
Result<std::int64_t> take_lease(Connection& connection,
                                const MoverIdentity& identity,
                                const std::string& slot,
                                const Interrupts& interrupts);

}  // namespace segue::backfill::postgres
