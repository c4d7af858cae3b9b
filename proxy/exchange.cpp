#include "proxy/exchange.hpp"

#include <poll.h>

#include <algorithm>
#include <array>

#include "protocol/postgres/framer.hpp"
#include "protocol/postgres/messages_client.hpp"
#include "protocol/postgres/messages_server.hpp"

namespace segue::proxy {

namespace {

using Time = std::chrono::steady_clock::time_point;

constexpr std::size_t answer_size_max = 1024 * 1024;

// False when the deadline has passed.
bool wait(const Transport& server, bool writing, Time deadline) {
    const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (rest.count() <= 0) return false;
    pollfd poll{server.fd(), static_cast<short>(writing ? POLLIN | POLLOUT : POLLIN), 0};
    return ::poll(&poll, 1, static_cast<int>(std::min<long>(rest.count() + 1, 1000))) >= 0;
}

}  // namespace

Status exchange(Transport& server,
                Bytes request,
                Time deadline,
                const std::function<bool(Bytes)>& receive) {
    std::array<std::byte, 16 * 1024> scratch;
    for (;;) {
        if (!request.empty()) {
            const IoOutcome sent = server.write_some(request);
            if (sent.io == Io::closed || sent.io == Io::failed)
                return Error{Errc::closed, "the server closed the connection"};
            request = request.subspan(sent.size);
        }
        const IoOutcome got = server.read_some(scratch);
        switch (got.io) {
            case Io::ok:
                if (receive(Bytes{scratch}.first(got.size))) return Done{};
                continue;
            case Io::closed:
            case Io::failed:
                return Error{Errc::closed, "the server closed the connection"};
            case Io::want_read:
            case Io::want_write:
                break;
        }
        const bool writing = !request.empty() || got.io == Io::want_write;
        if (!wait(server, writing, deadline))
            return Error{Errc::timed_out, "the server did not answer in time"};
    }
}

Result<std::vector<TextRow>> query_rows(Transport& server, const std::string& sql, Time deadline) {
    using namespace protocol::postgres;
    std::string request, received;
    append(request, Query{sql});
    std::vector<TextRow> rows;
    std::optional<Error> failure;
    const auto receive = [&](Bytes slice) {
        received += text(slice);
        Bytes rest = bytes(received);
        bool ended = false;
        for (;;) {
            const Step<Frame> step = next_frame(rest, answer_size_max);
            if (std::holds_alternative<Error>(step)) {
                failure = Error{Errc::too_large, "an answer above the limit"};
                return true;
            }
            const auto* frame = std::get_if<Frame>(&step);
            if (frame == nullptr) break;
            if (frame->tag == 'D') {
                const Result<DataRow> row = parse_data_row(frame->body);
                TextRow& copy = rows.emplace_back();
                if (row) {
                    for (const auto& value : *row) {
                        copy.push_back(value ? std::optional<std::string>{*value} : std::nullopt);
                    }
                }
            } else if (frame->tag == 'E') {
                const Result<ErrorFields> fields = parse_error_fields(frame->body);
                failure =
                    Error{Errc::server, "refused", fields ? std::string{fields->sqlstate} : ""};
            }
            ended = ended || frame->tag == 'Z';
            rest = rest.subspan(frame->wire.size());
        }
        received.erase(0, received.size() - rest.size());
        return ended;
    };
    const Status done = exchange(server, bytes(request), deadline, receive);
    if (!done) return done.error();
    if (failure) return *failure;
    return rows;
}

}  // namespace segue::proxy
