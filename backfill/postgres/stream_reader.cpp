#include "backfill/postgres/stream_reader.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "backfill/crash_point.hpp"
#include "backfill/postgres/input_at_hand.hpp"
#include "protocol/postgres/replication.hpp"

namespace segue::backfill::postgres {

namespace {

using namespace protocol::postgres;

constexpr std::chrono::milliseconds confirm_interval{1000};
constexpr std::chrono::milliseconds room_wait{100};
// Input that comes within this time of the input before it makes a busy stream.
constexpr std::chrono::microseconds busy_within{500};
constexpr std::chrono::microseconds gather_min{50};
constexpr std::chrono::microseconds gather_max{1000};

}  // namespace

StreamReader::StreamReader(StreamPipe& pipe,
                           MoverLink& link,
                           RelationTable& relations,
                           const std::atomic<std::uint64_t>& xid_reference,
                           const Applier& applier,
                           Settings settings)
    : pipe_(pipe),
      link_(link),
      decoder_(relations, xid_reference),
      applier_(applier),
      settings_(std::move(settings)),
      wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      confirmed_(settings_.restart) {}

StreamReader::~StreamReader() { close(wake_fd_); }

void StreamReader::nudge() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
}

void StreamReader::run() {
    const Status ended = loop();
    streaming_ = false;
    if (ended) return;
    Error error = ended.error();
    error.detail = "reading slot " + settings_.slot + ": " + error.detail;
    pipe_.fail(std::move(error));
}

Status StreamReader::loop() {
    const auto started = link_->execute(
        start_replication(settings_.slot, settings_.restart, settings_.publications));
    if (!started) return started.error();
    streaming_ = true;
    if (const Status sent = confirm(true); !sent) return sent;
    while (!pipe_.failure()) {
        if (const Status read = read_available(); !read) return read;
        if (const Status waited = wait_for_input(); !waited) return waited;
    }
    return Done{};
}

Status StreamReader::read_available() {
    for (;;) {
        char* buffer = nullptr;
        const int size = PQgetCopyData(link_->raw(), &buffer, 1);
        if (size == 0) return Done{};
        if (size < 0) {
            // The server ended the stream (-1) or the connection broke (-2): either way it is over.
            Rows result{PQgetResult(link_->raw())};
            return link_->error("stream ended", result.raw());
        }
        const Status taken =
            take({reinterpret_cast<const std::byte*>(buffer), static_cast<std::size_t>(size)});
        PQfreemem(buffer);
        if (!taken) return taken;
        if (std::chrono::steady_clock::now() - confirmed_at_ >= confirm_interval) {
            if (const Status sent = confirm(false); !sent) return sent;
        }
    }
}

// The server sends each message by itself. Whoever reads each at once is woken, and takes the
// processor from the server, for each: on a busy machine the server then starves in its own stream.
// So while messages come one upon the other they are left to gather, the longer the longer that
// lasts. Not while some are there already: of a connection with TLS each is a record, and libpq
// reads one at a time.
void StreamReader::let_gather() {
    const auto now = std::chrono::steady_clock::now();
    gather_ = now - last_input_ < busy_within ? std::min(gather_ * 2, gather_max) : gather_min;
    if (gather_ > gather_min) {
        pollfd entry{wake_fd_, POLLIN, 0};  // Who nudges wants it now.
        const timespec time{0, std::chrono::nanoseconds{gather_}.count()};
        ppoll(&entry, 1, &time, nullptr);
    }
}

Status StreamReader::wait_for_input() {
    if (!input_at_hand(link_->raw())) {
        let_gather();
        pollfd entries[] = {{PQsocket(link_->raw()), POLLIN, 0}, {wake_fd_, POLLIN, 0}};
        if (poll(entries, 2, static_cast<int>(confirm_interval.count())) < 0 && errno != EINTR) {
            return Error{Errc::io, "poll failed"};
        }
    }
    std::uint64_t woken = 0;
    const bool nudged = ::read(wake_fd_, &woken, sizeof woken) > 0;
    if (nudged || std::chrono::steady_clock::now() - confirmed_at_ >= confirm_interval) {
        if (const Status sent = confirm(nudged); !sent) return sent;
    }
    if (PQconsumeInput(link_->raw()) != 1) return link_->error("stream");
    last_input_ = std::chrono::steady_clock::now();
    return Done{};
}

Status StreamReader::take(Bytes body) {
    const auto message = parse_replication_message(body);
    if (!message) return message.error();
    if (const auto* keepalive = std::get_if<Keepalive>(&*message)) {
        // Inside a transaction it tells nothing new, and its position would be no edge.
        if (!decoder_.in_transaction()) {
            received_ = std::max(received_.load(), keepalive->server_end.value);
            if (const Status fed = feed(Advance{keepalive->server_end}); !fed) return fed;
        }
        return keepalive->reply_requested ? confirm(false) : Status{Done{}};
    }
    auto event = decoder_.decode(std::get<XLogData>(*message).payload);
    if (!event) return event.error();
    if (!*event) return Done{};
    if (const auto* commit = std::get_if<TransactionCommit>(&**event))
        received_ = commit->position.value;
    return feed(std::move(**event));
}

Status StreamReader::feed(StreamEvent event) {
    for (;;) {
        const auto fed = pipe_.feed(event);
        if (!fed) return fed.error();
        if (*fed) return Done{};
        pipe_.wait_for_room(room_wait);
        // A server that hears nothing for wal_sender_timeout ends the stream.
        if (std::chrono::steady_clock::now() - confirmed_at_ >= confirm_interval) {
            if (const Status sent = confirm(false); !sent) return sent;
        }
    }
}

// All three positions are what is durable: as long as `written` is behind, the server reports its
// position each time it has nothing more to send, without being asked.
Status StreamReader::confirm(bool reply_requested) {
    const Position durable = std::max(applier_.confirmable(), settings_.restart);
    if (durable > confirmed_) crash_point("apply.before_confirm");
    const std::string status = standby_status(
        {durable,
         durable,
         durable,
         std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now()),
         reply_requested});
    if (PQputCopyData(link_->raw(), status.data(), static_cast<int>(status.size())) != 1 ||
        PQflush(link_->raw()) != 0) {
        return link_->error("confirm");
    }
    if (durable > confirmed_) crash_point("apply.after_confirm");
    confirmed_ = durable;
    confirmed_at_ = std::chrono::steady_clock::now();
    return Done{};
}

}  // namespace segue::backfill::postgres
