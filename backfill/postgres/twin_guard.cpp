#include "backfill/postgres/twin_guard.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace segue::backfill::postgres {

TwinGuard::Entry::Entry(TwinGuard& guard, int socket, std::set<TableName> tables)
    : guard_(guard),
      // Our own descriptor: libpq may close its one at any time.
      socket_(fcntl(socket, F_DUPFD_CLOEXEC, 0)),
      tables_(std::move(tables)) {
    const std::lock_guard lock{guard_.mutex_};
    place_ = guard_.entries_.insert(guard_.entries_.end(), this);
}

TwinGuard::Entry::~Entry() {
    {
        const std::lock_guard lock{guard_.mutex_};
        guard_.entries_.erase(place_);
    }
    if (socket_ >= 0) ::close(socket_);
}

void TwinGuard::cancel(const TableName& table) {
    const std::lock_guard lock{mutex_};
    for (const Entry* entry : entries_) {
        if (entry->tables_.contains(table)) ::shutdown(entry->socket_, SHUT_RDWR);
    }
}

}  // namespace segue::backfill::postgres
