#pragma once
// Errors as values. What a peer, a network or a disk can cause is a Result; what only our own bug
// can cause is an assert.

#include <cassert>
#include <cstddef>
#include <string>
#include <utility>
#include <variant>

namespace segue {

enum class Errc {
    truncated,       // The message ends before its last field.
    trailing_bytes,  // The message goes on after its last field.
    bad_value,       // A field holds what it must not hold.
    too_large,       // A limit of ours was reached.
    closed,          // The peer closed the connection.
    timed_out,       // A deadline of ours passed.
    io,              // The operating system reported an error.
    refused,         // A precondition does not hold; the detail says which, and what to do.
    server,          // A database answered with an error; `sqlstate` is set.
    in_doubt,        // The answer was lost: it may have happened, it may not.
};

struct Error {
    Errc code = Errc::bad_value;
    std::string detail;         // For the operator. Never carries row data or credentials.
    std::string sqlstate = {};  // The server's five characters, where one answered.
};

struct Done {
    friend bool operator==(Done, Done) = default;
};

// The subset of std::expected<T, Error> that we use, spelled the same.
template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    explicit operator bool() const noexcept { return state_.index() == 0; }
    bool has_value() const noexcept { return state_.index() == 0; }
    const T& operator*() const& {
        assert(*this);
        return *std::get_if<0>(&state_);
    }
    T& operator*() & {
        assert(*this);
        return *std::get_if<0>(&state_);
    }
    T&& operator*() && {
        assert(*this);
        return std::move(*std::get_if<0>(&state_));
    }
    const T* operator->() const {
        assert(*this);
        return std::get_if<0>(&state_);
    }
    T* operator->() {
        assert(*this);
        return std::get_if<0>(&state_);
    }
    const Error& error() const& {
        assert(!*this);
        return *std::get_if<1>(&state_);
    }

private:
    std::variant<T, Error> state_;
};

using Status = Result<Done>;

// What everything that reads a stream returns: more bytes please, one thing, or an error.
struct NeedMore {
    std::size_t size_min = 0;  // Call again once this many bytes are buffered.
    friend bool operator==(NeedMore, NeedMore) = default;
};

template <class T>
using Step = std::variant<NeedMore, T, Error>;

template <class... Lambdas>
struct Overloaded : Lambdas... {
    using Lambdas::operator()...;
};
template <class... Lambdas>  // clang 14 does not deduce it by itself.
Overloaded(Lambdas...)->Overloaded<Lambdas...>;

}  // namespace segue
