#include "protocol/postgres/type_value.hpp"

namespace segue::protocol::postgres {

// Array      := int32 dimensions, int32 flags, int32 element type, (int32 size, int32 lower bound)
// *, value * Record     := int32 fields, (int32 type, value) * Range      := byte flags, value *
// Multirange := int32 ranges, value *
// value      := int32 size or -1, bytes

namespace {

constexpr std::uint32_t number_size = 4;
constexpr std::uint32_t null_size = 0xffffffff;
constexpr std::uint32_t dimensions_max = 6;  // The server's own limit.
constexpr std::uint32_t dimension_size = 8;

}  // namespace

void ValueWalker::begin(const TypeIds& ids,
                        std::size_t server,
                        ValueShape shape,
                        std::uint32_t size,
                        OidValues oid_values) {
    ids_ = &ids;
    server_ = server;
    oid_values_ = oid_values;
    broken_ = false;
    levels_.clear();
    open(shape, size);
}

void ValueWalker::open(ValueShape shape, std::uint32_t size) {
    Level level;
    level.shape = shape;
    level.rest = size;
    const auto pass = [&level](std::uint32_t bytes, Step after) {
        level.step = Step::pass;
        level.pass = bytes;
        level.after_pass = after;
    };
    switch (shape.shape) {
        case TypeShape::plain:
            pass(size, Step::size);
            break;
        case TypeShape::array:
            level.step = Step::dimensions;
            break;
        case TypeShape::record:
            pass(number_size, Step::type);
            break;
        case TypeShape::range:
            pass(1, Step::size);
            break;
        case TypeShape::multirange:
            pass(number_size, Step::size);
            break;
        case TypeShape::identifier:
            level.step = Step::type;
            break;
    }
    if (shape.shape == TypeShape::range || shape.shape == TypeShape::multirange) {
        level.part = ids_->shape(server_, shape.inner, oid_values_);
    }
    levels_.push_back(level);
}

ValueWalker::Want ValueWalker::give_up() {
    std::uint64_t rest = 0;
    for (const Level& level : levels_) rest += level.rest;
    levels_.clear();
    return rest == 0 ? Want{} : Want{Want::Kind::bytes, rest};
}

ValueWalker::Want ValueWalker::next() {
    while (!levels_.empty()) {
        if (broken_) return give_up();
        Level& level = levels_.back();
        if (level.rest == 0) {
            levels_.pop_back();
            continue;
        }
        if (level.step == Step::pass) {
            if (level.pass > level.rest) return give_up();
            level.step = level.after_pass;
            level.rest -= level.pass;
            if (level.pass > 0) return {Want::Kind::bytes, level.pass};
            continue;
        }
        if (level.rest < number_size) return give_up();
        return {Want::Kind::number, number_size};
    }
    return {};
}

std::optional<std::uint32_t> ValueWalker::number(std::uint32_t value) {
    Level& level = levels_.back();
    level.rest -= number_size;
    switch (level.step) {
        case Step::dimensions:
            broken_ = value > dimensions_max;
            level.step = Step::pass;
            level.pass = number_size;
            level.after_pass = Step::type;
            // How many bytes of dimensions follow the type.
            level.shape.inner = value * dimension_size;
            return std::nullopt;
        case Step::type: {
            if (level.shape.shape == TypeShape::identifier) {
                broken_ = level.rest != 0;
                if (broken_) return std::nullopt;
            } else {
                level.part = ids_->shape(server_, value, oid_values_);
                level.step = Step::size;
            }
            if (level.shape.shape == TypeShape::array) {
                level.step = Step::pass;
                level.pass = level.shape.inner;
                level.after_pass = Step::size;
            }
            const std::uint32_t other = ids_->translated(server_, value);
            return other == value ? std::nullopt : std::optional{other};
        }
        case Step::size:
            take_size(level, value);
            return std::nullopt;
        case Step::pass:
            break;
    }
    return std::nullopt;
}

void ValueWalker::take_size(Level& level, std::uint32_t size) {
    level.step = level.shape.shape == TypeShape::record ? Step::type : Step::size;
    if (size == null_size) return;
    if (size > level.rest) {
        broken_ = true;
        return;
    }
    if (level.part.plain() || levels_.size() >= value_depth_max) {
        level.after_pass = level.step;
        level.step = Step::pass;
        level.pass = size;
        return;
    }
    level.rest -= size;
    open(ValueShape{level.part}, size);
}

}  // namespace segue::protocol::postgres
