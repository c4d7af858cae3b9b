#include "backfill/postgres/twin_guard.hpp"

#include <sys/socket.h>

namespace segue::backfill::postgres {

TwinGuard::Entry::Entry(TwinGuard& guard, int socket) : guard_(guard) {
    const std::lock_guard lock{guard_.mutex_};
    place_ = guard_.sockets_.insert(guard_.sockets_.end(), socket);
}

TwinGuard::Entry::~Entry() {
    const std::lock_guard lock{guard_.mutex_};
    guard_.sockets_.erase(place_);
}

void TwinGuard::cancel() {
    const std::lock_guard lock{mutex_};
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
}

}  // namespace segue::backfill::postgres
