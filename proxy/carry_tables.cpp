#include "proxy/carry_tables.hpp"

#include <utility>
#include <vector>

#include "proxy/ask.hpp"

namespace segue::proxy {

namespace {

using namespace protocol::postgres;
namespace asio = boost::asio;

constexpr std::size_t kilobyte = 1024;

// One conversation: each step is a round trip, and says false when it ends here.
struct Reading {
    Transport& backend;
    SessionState& state;
    std::size_t size_max;
    std::chrono::milliseconds patience;
    std::vector<CarryStep> steps = {};
    CarryRead result = {Done{}, {}};

    template <class T, class Parse>
    asio::awaitable<Result<T>> ask_own(const std::string& request, Parse parse) {
        const MoveDeadline deadline = std::chrono::steady_clock::now() + patience;
        co_return co_await ask<T>(backend, request, std::move(parse), deadline, result.for_client);
    }
    // A refusal leaves the session where it was, and pinned.
    void failed(const Error& error) {
        if (error.code != Errc::server) {
            result.read = error;
            return;
        }
        for (std::string& pin : state.pins) pin += ", which cannot be read (" + error.detail + ")";
    }
    bool within(std::uint64_t size) {
        if (size <= size_max) return true;
        for (std::string& pin : state.pins) {
            pin +=
                ", above [sessions] carry_temporary_kb = " + std::to_string(size_max / kilobyte) +
                " with all others";
        }
        return false;
    }

    asio::awaitable<bool> describe();
    asio::awaitable<bool> settle_tables();
    asio::awaitable<bool> measure();
    asio::awaitable<bool> copy();
};

asio::awaitable<bool> Reading::describe() {
    auto found = co_await ask_own<TemporaryTablesFound>(temporary_tables_request(),
                                                        parse_temporary_tables_reply);
    if (!found) {
        failed(found.error());
        co_return false;
    }
    if (!found->pins.empty()) {
        state.pins = std::move(found->pins);
        co_return false;
    }
    steps = std::move(found->steps);
    co_return within(found->size);
}

asio::awaitable<bool> Reading::settle_tables() {
    std::vector<std::string> unknown;
    for (CarryStep& step : steps) {
        if (step.kind != CarryStep::Kind::table) continue;
        const Result<OnCommit> what =
            co_await ask_own<OnCommit>(on_commit_request(step), parse_on_commit_reply);
        if (!what) {
            failed(what.error());
            co_return false;
        }
        if (!settle_on_commit(step, *what))
            unknown.push_back(step.name + ", which may be ON COMMIT DELETE ROWS");
    }
    if (unknown.empty()) co_return true;
    state.pins = std::move(unknown);
    co_return false;
}

asio::awaitable<bool> Reading::measure() {
    const Result<std::uint64_t> size =
        co_await ask_own<std::uint64_t>(sizes_request(steps), parse_sizes_reply);
    if (size) co_return within(*size);
    failed(size.error());
    co_return false;
}

asio::awaitable<bool> Reading::copy() {
    const auto parse = [this](Bytes reply) { return parse_contents_reply(reply, steps); };
    auto filled = co_await ask_own<std::vector<CarryStep>>(contents_request(steps), parse);
    if (!filled) {
        failed(filled.error());
        co_return false;
    }
    steps = std::move(*filled);
    co_return true;
}

}  // namespace

asio::awaitable<CarryRead> read_temporary_tables(Transport& backend,
                                                 SessionState& state,
                                                 std::size_t size_max,
                                                 std::chrono::milliseconds patience) {
    Reading reading{backend, state, size_max, patience};
    bool whole = co_await reading.describe();
    if (whole) whole = co_await reading.settle_tables();
    if (whole) whole = co_await reading.measure();
    if (whole) whole = co_await reading.copy();
    if (whole) {
        state.temporary = temporary_tables(std::move(reading.steps));
        state.pins.clear();
    }
    co_return std::move(reading.result);
}

}  // namespace segue::proxy
