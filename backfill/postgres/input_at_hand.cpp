#include "backfill/postgres/input_at_hand.hpp"

#include <openssl/ssl.h>
#include <poll.h>

namespace segue::backfill::postgres {

bool input_at_hand(PGconn* connection) { return wait_for_input(connection, 0); }

bool wait_for_input(PGconn* connection, int limit_ms) {
    auto* tls = static_cast<SSL*>(PQsslStruct(connection, "OpenSSL"));
    if (tls != nullptr && SSL_pending(tls) > 0) return true;
    pollfd entry{PQsocket(connection), POLLIN, 0};
    return poll(&entry, 1, limit_ms) > 0;
}

}  // namespace segue::backfill::postgres
