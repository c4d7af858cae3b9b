#pragma once
// Twins hold locks on the follower's tables; a TRUNCATE that comes out of the stream must not wait
// for them (DESIGN 5: it cancels the twin, never the apply).

#include <list>
#include <mutex>
#include <set>

#include "backfill/dispatcher.hpp"

namespace segue::backfill::postgres {

class TwinGuard {
public:
    // While it lives, cancel() of one of the tables shuts the socket of that twin's session.
    class Entry {
    public:
        Entry(TwinGuard& guard, int socket, std::set<TableName> tables);
        ~Entry();
        Entry(const Entry&) = delete;
        Entry& operator=(const Entry&) = delete;

    private:
        friend class TwinGuard;
        TwinGuard& guard_;
        int socket_;
        std::set<TableName> tables_;
        std::list<Entry*>::iterator place_;
    };
    void cancel(const TableName& table);

private:
    std::mutex mutex_;
    std::list<Entry*> entries_;
};

}  // namespace segue::backfill::postgres
