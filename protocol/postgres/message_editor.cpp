#include "protocol/postgres/message_editor.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

namespace segue::protocol::postgres {

Bytes MessageEditor::edit(Bytes slice) {
    if (copy_.capacity() > copy_kept_max)
        std::string{}.swap(copy_);  // A move from a short string would copy.
    copied_ = !held_.empty();
    if (copied_) {
        copy_ = std::exchange(held_, {});
        copy_ += segue::text(slice);
    }
    view_ = copied_ ? bytes(copy_) : slice;
    at_ = 0;
    while (at_ < view_.size()) {
        if (!in_body_) {
            head();
            if (!in_body_) continue;
        }
        if (!reading_.ended() && progress()) reading_.resume();
        if (!reading_.ended()) break;  // It has taken what it could.
        const std::size_t passed = std::min<std::size_t>(remain_, view_.size() - at_);
        at_ += passed;
        remain_ -= static_cast<std::uint32_t>(passed);
        in_body_ = remain_ > 0;
        if (!in_body_) reading_ = Reading{};
    }
    held_ = segue::text(view_.subspan(at_));
    return view_.first(at_);
}

// A message without a body is over with its head.
void MessageEditor::head() {
    if (!take_header(cursor_, view_, at_)) return;
    cursor_.header_read = 0;
    remain_ = cursor_.body_size;
    in_body_ = remain_ > 0;
    failed_ = false;
    want_ = Want::nothing;
    reading_ = begin(cursor_.tag, remain_);
    if (!in_body_) reading_ = Reading{};
}

MessageEditor::Field MessageEditor::want(Want what, std::uint64_t size) {
    want_ = what;
    want_size_ = size;
    value_ = 0;
    if (what != Want::text && size > remain_) failed_ = true;
    return Field{*this};
}

MessageEditor::Field MessageEditor::zero_terminated(TypeLookupText* lookup) {
    lookup_ = lookup;
    text_.clear();
    return want(Want::text, 0);
}

MessageEditor::Field MessageEditor::value(const TypeIds& ids,
                                          std::size_t server,
                                          ValueShape shape,
                                          std::uint32_t size,
                                          OidValues oid_values) {
    Field field = want(Want::value, size);
    if (failed_) return field;
    walker_.begin(ids, server, shape, size, oid_values);
    part_ = walker_.next();
    want_size_ = part_.size;
    return field;
}

// Takes what is there of what is wanted. True when that is all, or can never be.
bool MessageEditor::progress() {
    if (failed_) return true;
    switch (want_) {
        case Want::nothing:
            return true;
        case Want::number:
            return take_number(static_cast<std::size_t>(want_size_));
        case Want::bytes:
            return take_bytes();
        case Want::value:
            return take_value();
        case Want::text:
            return take_text();
    }
    return true;
}

bool MessageEditor::take_number(std::size_t size) {
    if (view_.size() - at_ < size) return false;
    number_at_ = at_;
    value_ = 0;
    for (std::size_t i = 0; i < size; ++i)
        value_ = value_ << 8 | static_cast<std::uint32_t>(view_[at_ + i]);
    at_ += size;
    remain_ -= static_cast<std::uint32_t>(size);
    return true;
}

bool MessageEditor::take_bytes() {
    const std::uint64_t size = std::min<std::uint64_t>(want_size_, view_.size() - at_);
    at_ += static_cast<std::size_t>(size);
    remain_ -= static_cast<std::uint32_t>(size);
    want_size_ -= size;
    return want_size_ == 0;
}

bool MessageEditor::take_value() {
    for (;;) {
        switch (part_.kind) {
            case ValueWalker::Want::Kind::nothing:
                return true;
            case ValueWalker::Want::Kind::bytes:
                if (!take_bytes()) return false;
                break;
            case ValueWalker::Want::Kind::number: {
                if (!take_number(sizeof(std::uint32_t))) return false;
                const std::optional<std::uint32_t> other = walker_.number(value_);
                if (other) replace32(*other);
                break;
            }
        }
        part_ = walker_.next();
        want_size_ = part_.size;
    }
}

bool MessageEditor::take_text() {
    const Bytes there = view_.subspan(at_, std::min<std::size_t>(remain_, view_.size() - at_));
    const void* end = there.empty() ? nullptr : std::memchr(there.data(), 0, there.size());
    const std::size_t size =
        end == nullptr
            ? there.size()
            : static_cast<std::size_t>(static_cast<const std::byte*>(end) - there.data());
    const std::string_view piece = segue::text(there.first(size));
    text_ += piece.substr(0, text_size_max - std::min(text_size_max, text_.size()));
    if (lookup_ != nullptr) lookup_->see(piece);
    const std::size_t taken = end == nullptr ? size : size + 1;
    at_ += taken;
    remain_ -= static_cast<std::uint32_t>(taken);
    if (end == nullptr && remain_ == 0) failed_ = true;
    return end != nullptr || failed_;
}

void MessageEditor::replace32(std::uint32_t value) {
    if (!copied_) {
        copy_ = segue::text(view_);
        view_ = bytes(copy_);
        copied_ = true;
    }
    for (std::size_t i = 0; i < 4; ++i)
        copy_[number_at_ + i] = static_cast<char>(value >> (24 - 8 * i));
}

}  // namespace segue::protocol::postgres
