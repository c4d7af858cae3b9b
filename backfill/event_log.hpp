#pragma once
// The durable account of what happened: table segue.event on a side. Best effort: nothing waits for
// it and nothing depends on it. Details never hold SQL text, values or credentials.

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "protocol/result.hpp"
#include "router/side.hpp"

namespace segue::backfill {

struct Event {
    std::chrono::system_clock::time_point at;  // By the clock of the server that keeps it.
    std::string kind, detail;
};

// Kept of each kind on each side; older ones are deleted, some hundreds at a time. Changes of
// authority that were made are counted apart, so that no crowd of other events pushes them out. Of
// stray writes, whose number decides, the older ones are added up in one row (postgres/store.hpp).
inline constexpr std::size_t events_kept_max = 2000;
// To find what is too old is a walk through the newest, so it is done once for so many events.
inline constexpr std::size_t events_between_looks = 100;
// What an earlier build has left goes little by little.
inline constexpr std::size_t events_deleted_max = 10'000;

class EventLog {
public:
    virtual ~EventLog() = default;

    // Blocking, from one thread. Connects when needed. Fails where schema segue is absent. Now and
    // then it deletes what is too much of that kind, and of the fence's and the copying's: what the
    // mover keeps under other kinds in the same table is not ours to forget.
    virtual Status append(Side side, const std::string& kind, const std::string& detail) = 0;
    // The last `count` on that side, oldest first; none where schema segue is absent. The same
    // thread.
    virtual Result<std::vector<Event>> last(Side side, std::size_t count) = 0;
};

// URLs as libpq takes them.
std::unique_ptr<EventLog> make_postgres_event_log(std::string source_url, std::string target_url);

}  // namespace segue::backfill
