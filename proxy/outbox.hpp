#pragma once
// The bytes that a peer has not taken yet. In steady state there are none and nothing is allocated.
// Its owner bounds it by not reading the other peer while it is not empty: what one read brought is
// all it can hold, beside answers that a gate released.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/bytes.hpp"
#include "proxy/transport.hpp"

namespace segue::proxy {

class SocketRing;

// Where an outbox may leave small pieces until the end of the turn, and the key of its completions.
struct SendLater {
    SocketRing* ring = nullptr;  // Null: nowhere.
    std::uint64_t key = 0;
};

class Outbox {
public:
    // As far as is known: what was left with a ring counts as taken until it is handed in.
    bool empty() const { return sent_ == bytes_.size() && !broken_; }

    // Writes at once, or leaves with the ring, what the peer takes, and keeps the rest. False: the
    // connection is broken.
    bool send(Transport& peer, Bytes from, const SendLater& later = {});
    // Goes on after the peer has become writable.
    bool flush(Transport& peer);
    void clear();

    // By the ring: these last bytes of what was left with it are still to be sent, or, if the
    // connection is broken, will never be.
    void refused(Bytes rest, bool broken);

private:
    bool write_all(Transport& peer, Bytes from, std::size_t& size) const;

    std::string bytes_;
    std::size_t sent_ = 0;
    std::uint64_t submission_ = 0;  // The last one with which something was left.
    bool broken_ = false;
    bool sealed_ = false;  // By Transport::seal: bytes_, and what was left with a ring.
};

}  // namespace segue::proxy
