#pragma once
// One direction of a connection, in slices, with numbers replaced where they stand: what goes in
// comes out in the same length and order. Messages that do not matter are passed over by
// arithmetic. One that does is read by a coroutine which asks for field after field and is
// suspended where the slice ends, so that nothing is buffered but the bytes (at most three) of a
// number that is cut by the slice's end; they come out with the next slice. Between two messages
// nothing is held back.

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>

#include "protocol/bytes.hpp"
#include "protocol/postgres/boundary.hpp"
#include "protocol/postgres/type_ids.hpp"
#include "protocol/postgres/type_lookup.hpp"
#include "protocol/postgres/type_value.hpp"

namespace segue::protocol::postgres {

class MessageEditor {
public:
    MessageEditor() = default;
    MessageEditor(const MessageEditor&) = delete;
    MessageEditor& operator=(const MessageEditor&) = delete;
    virtual ~MessageEditor() = default;

    // What may go out now; valid until the next call, and as long as `slice`.
    Bytes edit(Bytes slice);

protected:
    // Reads one message's body. Its end, early or not, is the end of what is looked at in the
    // message.
    class Reading {
    public:
        struct promise_type {
            Reading get_return_object() {
                return Reading{std::coroutine_handle<promise_type>::from_promise(*this)};
            }
            std::suspend_always initial_suspend() noexcept { return {}; }
            std::suspend_always final_suspend() noexcept { return {}; }
            void return_void() {}
            void unhandled_exception() { std::terminate(); }  // Out of memory.
        };
        Reading() = default;
        explicit Reading(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
        Reading(Reading&& from) noexcept : handle_(std::exchange(from.handle_, nullptr)) {}
        Reading& operator=(Reading&& from) noexcept {
            std::swap(handle_, from.handle_);
            return *this;
        }
        ~Reading() {
            if (handle_) handle_.destroy();
        }
        bool ended() const { return !handle_ || handle_.done(); }
        void resume() { handle_.resume(); }

    private:
        std::coroutine_handle<promise_type> handle_;
    };

    // A message's head is complete. An empty Reading: its body does not matter.
    virtual Reading begin(char tag, std::uint32_t size) = 0;

    // For a Reading to co_await. A field that goes beyond the message's end is zero, and `failed`.
    struct Field {
        MessageEditor& editor;
        bool await_ready() const { return editor.progress(); }
        void await_suspend(std::coroutine_handle<>) const {}
        std::uint32_t await_resume() const { return editor.value_; }
    };
    Field number8() { return want(Want::number, 1); }
    Field number16() { return want(Want::number, 2); }
    Field number32() { return want(Want::number, 4); }
    Field pass(std::uint64_t size) { return want(Want::bytes, size); }
    // A binary value of that shape, its OIDs replaced; they are of `server`. A size beyond the
    // message's end is `failed`.
    Field value(const TypeIds& ids,
                std::size_t server,
                ValueShape shape,
                std::uint32_t size,
                OidValues oid_values);
    // Up to a zero: the first `text_size_max` bytes of it are text() then, and all have been shown
    // to `lookup`, if any.
    Field zero_terminated(TypeLookupText* lookup = nullptr);
    const std::string& text() const { return text_; }
    bool failed() const { return failed_; }
    // Of the message, still to come.
    std::uint32_t rest() const { return remain_; }

    // Puts another value in the place of the 4 bytes that were read last.
    void replace32(std::uint32_t value);

private:
    enum class Want : std::uint8_t { nothing, number, bytes, value, text };
    // As many as a server tells names apart by.
    static constexpr std::size_t text_size_max = 63;
    // Memory beyond this is given back after use.
    static constexpr std::size_t copy_kept_max = 16 * 1024;

    Field want(Want what, std::uint64_t size);
    bool progress();
    bool take_number(std::size_t size);
    bool take_bytes();
    bool take_value();
    bool take_text();
    void head();

    Cursor cursor_;  // Only its head; the body is counted by remain_.
    std::uint32_t remain_ = 0;
    bool in_body_ = false;
    Reading reading_;
    Want want_ = Want::nothing;
    std::uint64_t want_size_ = 0;
    std::uint32_t value_ = 0;
    ValueWalker walker_;
    ValueWalker::Want part_;  // Of the value; bytes are counted by want_size_.
    std::string text_;
    TypeLookupText* lookup_ = nullptr;
    bool failed_ = false;

    Bytes view_;  // The slice, or copy_ once something was replaced in it.
    std::size_t at_ = 0;
    std::size_t number_at_ = 0;
    bool copied_ = false;
    std::string copy_;
    std::string held_;
};

}  // namespace segue::protocol::postgres
