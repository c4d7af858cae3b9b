#pragma once
// The bytes that a peer has not taken yet. In steady state there are none and nothing is allocated.
// Its owner bounds it by not reading the other peer while it is not empty: what one read brought is
// all it can hold, beside answers that a gate released.

#include <cstddef>
#include <string>
#include <string_view>

#include "protocol/bytes.hpp"
#include "proxy/transport.hpp"

namespace segue::proxy {

class Outbox {
public:
    bool empty() const { return sent_ == bytes_.size(); }

    // Writes at once what the peer takes and keeps the rest. False: the connection is broken.
    bool send(Transport& peer, Bytes from);
    // Goes on after the peer has become writable.
    bool flush(Transport& peer);
    void clear();

private:
    std::string bytes_;
    std::size_t sent_ = 0;
};

}  // namespace segue::proxy
