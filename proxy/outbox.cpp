#include "proxy/outbox.hpp"

#include <cassert>

#include "proxy/socket_ring.hpp"

namespace segue::proxy {

// Writes until the peer takes no more. False: the connection is broken. `size` counts what was
// taken.
bool Outbox::write_all(Transport& peer, Bytes from, std::size_t& size) const {
    while (size < from.size()) {
        const Bytes rest = from.subspan(size);
        const IoOutcome wrote = sealed_ ? peer.write_sealed(rest) : peer.write_some(rest);
        switch (wrote.io) {
            case Io::ok:
                size += wrote.size;
                // A plain socket that took less than it was given takes no more now: asking again
                // would only cost a call. TLS takes a record at a time.
                if (sealed_ || !peer.uses_tls()) return true;
                break;
            case Io::want_read:
            case Io::want_write:
                return true;
            case Io::closed:
            case Io::failed:
                return false;
        }
    }
    return true;
}

bool Outbox::send(Transport& peer, Bytes from, const SendLater& later) {
    const bool with_ring = later.ring != nullptr && peer.is_open();
    if (with_ring && submission_ == later.ring->submission()) later.ring->submit();
    if (broken_) return false;
    if (!empty()) {
        if (sealed_) return peer.seal(from, bytes_);
        bytes_ += text(from);
        return true;
    }
    sealed_ = with_ring && peer.uses_tls();
    if (sealed_) {
        std::string& records = later.ring->scratch();
        records.clear();
        if (!peer.seal(from, records)) return false;
        from = bytes(records);
    }
    if (with_ring && from.size() <= gathered_size_max) {
        later.ring->send(peer.fd(), from, *this, later.key);
        submission_ = later.ring->submission();
        return true;
    }
    std::size_t size = 0;
    const bool good = write_all(peer, from, size);
    if (good && size < from.size()) {
        bytes_.assign(text(from.subspan(size)));
        sent_ = 0;
    }
    return good;
}

void Outbox::refused(Bytes rest, bool broken) {
    assert(empty());
    bytes_.assign(text(rest));
    sent_ = 0;
    broken_ = broken;
}

bool Outbox::flush(Transport& peer) {
    if (broken_) return false;
    if (empty()) return true;
    const bool good = write_all(peer, bytes(std::string_view{bytes_}), sent_);
    if (!good || empty()) clear();
    return good;
}

void Outbox::clear() {
    bytes_ = std::string{};  // Gives the memory back: idle sessions hold none.
    sent_ = 0;
    broken_ = false;
}

}  // namespace segue::proxy
