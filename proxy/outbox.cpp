#include "proxy/outbox.hpp"

namespace segue::proxy {

namespace {

// Writes until the peer takes no more. False: the connection is broken. `size` counts what was
// taken.
bool write_all(Transport& peer, Bytes from, std::size_t& size) {
    while (size < from.size()) {
        const IoOutcome wrote = peer.write_some(from.subspan(size));
        switch (wrote.io) {
            case Io::ok:
                size += wrote.size;
                // A plain socket that took less than it was given takes no more now: asking again
                // would only cost a call. TLS takes a record at a time.
                if (!peer.uses_tls()) return true;
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

}  // namespace

bool Outbox::send(Transport& peer, Bytes from) {
    if (!empty()) {
        bytes_ += text(from);
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

bool Outbox::flush(Transport& peer) {
    if (empty()) return true;
    const bool good = write_all(peer, bytes(std::string_view{bytes_}), sent_);
    if (!good || empty()) clear();
    return good;
}

void Outbox::clear() {
    bytes_ = std::string{};  // Gives the memory back: idle sessions hold none.
    sent_ = 0;
}

}  // namespace segue::proxy
