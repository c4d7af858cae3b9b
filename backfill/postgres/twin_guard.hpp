#pragma once
// Twins hold locks on the follower's tables; a TRUNCATE that comes out of the stream must not wait for them
// (DESIGN 5: it cancels the twin, never the apply).

#include <list>
#include <mutex>

namespace segue::backfill::postgres {

class TwinGuard {
public:
    // While it lives, cancel() shuts the socket of that twin's session.
    class Entry {
    public:
        Entry(TwinGuard& guard, int socket);
        ~Entry();
        Entry(const Entry&) = delete;
        Entry& operator=(const Entry&) = delete;

    private:
        TwinGuard& guard_;
        std::list<int>::iterator place_;
    };
    void cancel();

private:
    std::mutex mutex_;
    std::list<int> sockets_;
};

}  // namespace segue::backfill::postgres
