#include "backfill/postgres/twin_guard.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace segue::backfill::postgres {

TwinGuard::Entry::Entry(TwinGuard& guard, int socket) : guard_(guard) {
    const std::lock_guard lock{guard_.mutex_};
    // Our own descriptor: libpq may close its one at any time.
    place_ = guard_.sockets_.insert(guard_.sockets_.end(), fcntl(socket, F_DUPFD_CLOEXEC, 0));
}

TwinGuard::Entry::~Entry() {
    const std::lock_guard lock{guard_.mutex_};
    if (*place_ >= 0) ::close(*place_);
    guard_.sockets_.erase(place_);
}

void TwinGuard::cancel() {
    const std::lock_guard lock{mutex_};
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
}

}  // namespace segue::backfill::postgres
