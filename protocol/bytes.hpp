#pragma once
// Views of bytes, and a reader that remembers its first failure, so that parsing a message is a
// list of fields with one check at the end.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "protocol/result.hpp"

namespace segue {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline Bytes bytes(std::string_view text) {
    return std::as_bytes(std::span{text.data(), text.size()});
}
inline std::string_view text(Bytes view) {
    return {reinterpret_cast<const char*>(view.data()), view.size()};
}

// Reads fields front to back. After the first failure every read returns an empty value, and
// `finish` reports that failure. Views returned are valid as long as the input.
class ByteReader {
public:
    explicit ByteReader(Bytes input) : rest_(input) {}

    template <std::integral T>
    T big_endian() {
        if (!take(sizeof(T))) return T{};
        std::make_unsigned_t<T> value = 0;
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            value = static_cast<std::make_unsigned_t<T>>((static_cast<std::uint64_t>(value) << 8) |
                                                         static_cast<std::uint8_t>(taken_[i]));
        }
        return static_cast<T>(value);
    }
    // Up to and without the terminating zero, which is consumed.
    std::string_view zero_terminated() {
        if (failed_) return {};
        const void* end = rest_.empty() ? nullptr : std::memchr(rest_.data(), 0, rest_.size());
        if (end == nullptr) {
            failed_ = true;
            return {};
        }
        const auto size =
            static_cast<std::size_t>(static_cast<const std::byte*>(end) - rest_.data());
        const std::string_view value = text(rest_.first(size));
        rest_ = rest_.subspan(size + 1);
        return value;
    }
    Bytes raw(std::size_t size) { return take(size) ? taken_ : Bytes{}; }
    Bytes rest() const { return failed_ ? Bytes{} : rest_; }
    Bytes take_rest() { return raw(failed_ ? 0 : rest_.size()); }
    bool failed() const { return failed_; }
    bool at_end() const { return rest_.empty(); }

    template <class T>
    Result<T> finish(T value) const {
        if (failed_) return Error{Errc::truncated, "message ends before its last field"};
        if (!rest_.empty())
            return Error{Errc::trailing_bytes, "message goes on after its last field"};
        return value;
    }

private:
    bool take(std::size_t size) {
        if (failed_ || rest_.size() < size) {
            failed_ = true;
            return false;
        }
        taken_ = rest_.first(size);
        rest_ = rest_.subspan(size);
        return true;
    }
    Bytes rest_;
    Bytes taken_;
    bool failed_ = false;
};

// Appends fields to a string that it does not own.
class ByteWriter {
public:
    explicit ByteWriter(std::string& output) : output_(output) {}

    template <std::integral T>
    void big_endian(T value) {
        const auto bits = static_cast<std::uint64_t>(static_cast<std::make_unsigned_t<T>>(value));
        for (std::size_t i = sizeof(T); i-- > 0;) {
            output_.push_back(static_cast<char>((bits >> (8 * i)) & 0xff));
        }
    }
    void raw(std::string_view value) { output_.append(value); }
    void zero_terminated(std::string_view value) {
        output_.append(value);
        output_.push_back('\0');
    }

private:
    std::string& output_;
};

}  // namespace segue
