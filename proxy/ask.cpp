#include "proxy/ask.hpp"

#include "protocol/postgres/framer.hpp"

namespace segue::proxy {

using namespace protocol::postgres;

bool ends_between_messages(Bytes received) {
    while (!received.empty()) {
        const Step<Frame> step = next_frame(received, state_reply_size_max);
        const auto* frame = std::get_if<Frame>(&step);
        if (frame == nullptr) return false;
        received = received.subspan(frame->wire.size());
    }
    return true;
}

bool says_error(Bytes messages) {
    for (;;) {
        const Step<Frame> step = next_frame(messages, state_reply_size_max);
        const auto* frame = std::get_if<Frame>(&step);
        if (frame == nullptr) return false;
        if (frame->tag == 'E') return true;
        messages = messages.subspan(frame->wire.size());
    }
}

boost::asio::awaitable<void> read_last_words(Transport& backend, std::string& reply) {
    constexpr std::chrono::milliseconds there_already{50};
    const auto deadline = std::chrono::steady_clock::now() + there_already;
    while (reply.size() < answer_read_size_max) {
        const Status read = co_await read_more(backend, reply, answer_read_size_max, deadline);
        if (!read) co_return;
    }
}

}  // namespace segue::proxy
