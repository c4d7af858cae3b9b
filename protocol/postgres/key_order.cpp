#include "protocol/postgres/key_order.hpp"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <utility>

namespace segue::protocol::postgres {

namespace {

using Ordering = std::optional<std::weak_ordering>;

// Type numbers of pg_type that never change.
constexpr std::uint32_t bool_oid = 16;
constexpr std::uint32_t bytea_oid = 17;
constexpr std::uint32_t name_oid = 19;
constexpr std::uint32_t int8_oid = 20;
constexpr std::uint32_t int2_oid = 21;
constexpr std::uint32_t int4_oid = 23;
constexpr std::uint32_t text_oid = 25;
constexpr std::uint32_t oid_oid = 26;
constexpr std::uint32_t bpchar_oid = 1042;
constexpr std::uint32_t varchar_oid = 1043;
constexpr std::uint32_t date_oid = 1082;
constexpr std::uint32_t time_oid = 1083;
constexpr std::uint32_t timestamp_oid = 1114;
constexpr std::uint32_t timestamptz_oid = 1184;
constexpr std::uint32_t numeric_oid = 1700;
constexpr std::uint32_t uuid_oid = 2950;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }

bool all_digits(std::string_view text) { return std::all_of(text.begin(), text.end(), is_digit); }

// As memcmp: characters count as unsigned.
std::weak_ordering by_bytes(std::string_view a, std::string_view b) { return a <=> b; }

template <class Parse>
Ordering by_parsed(std::string_view a, std::string_view b, Parse parse) {
    const auto left = parse(a);
    const auto right = parse(b);
    if (!left || !right) return {};
    return *left <=> *right;
}

template <class T>
std::optional<T> parse_number(std::string_view text) {
    T value{};
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || rest != end) return {};
    return value;
}

std::optional<bool> parse_boolean(std::string_view text) {
    if (text == "t" || text == "true") return true;
    if (text == "f" || text == "false") return false;
    return {};
}

// ---- numeric -----------------------------------------------------------------------------------

enum class NumericClass : std::uint8_t { minus_infinity, finite, infinity, nan };

// A finite value: sign, digits before the point without leading zeros, digits behind it without
// trailing ones. Zero has neither digits nor sign.
struct Numeric {
    NumericClass kind = NumericClass::finite;
    bool negative = false;
    std::string_view whole;
    std::string_view fraction;
};

std::optional<Numeric> parse_numeric(std::string_view text) {
    Numeric value;
    if (text == "NaN") return Numeric{NumericClass::nan, false, {}, {}};
    if (text == "Infinity") return Numeric{NumericClass::infinity, false, {}, {}};
    if (text == "-Infinity") return Numeric{NumericClass::minus_infinity, false, {}, {}};
    if (!text.empty() && text.front() == '-') {
        value.negative = true;
        text.remove_prefix(1);
    }
    const std::size_t point = text.find('.');
    value.whole = text.substr(0, point);
    if (value.whole.empty() || !all_digits(value.whole)) return {};
    if (point != std::string_view::npos) {
        value.fraction = text.substr(point + 1);
        if (value.fraction.empty() || !all_digits(value.fraction)) return {};
    }
    value.whole.remove_prefix(std::min(value.whole.find_first_not_of('0'), value.whole.size()));
    value.fraction = value.fraction.substr(0, value.fraction.find_last_not_of('0') + 1);
    if (value.whole.empty() && value.fraction.empty()) value.negative = false;
    return value;
}

std::weak_ordering compare_magnitude(const Numeric& a, const Numeric& b) {
    if (a.whole.size() != b.whole.size()) return a.whole.size() <=> b.whole.size();
    if (const auto whole = by_bytes(a.whole, b.whole); whole != 0) return whole;
    return by_bytes(a.fraction, b.fraction);
}

Ordering compare_numeric(std::string_view a, std::string_view b) {
    const auto left = parse_numeric(a);
    const auto right = parse_numeric(b);
    if (!left || !right) return {};
    if (left->kind != right->kind) return left->kind <=> right->kind;
    if (left->kind != NumericClass::finite) return std::weak_ordering::equivalent;
    if (left->negative != right->negative) return right->negative <=> left->negative;
    return left->negative ? compare_magnitude(*right, *left) : compare_magnitude(*left, *right);
}

// ---- dates and times ---------------------------------------------------------------------------

// A moment in fields that compare from left to right.
struct Moment {
    int infinity = 0;  // -1, 0, 1; the other fields are zero unless 0.
    std::int64_t year = 0;
    int month = 0;
    int day = 0;
    std::int64_t microsecond = 0;  // Of the day.

    friend auto operator<=>(const Moment&, const Moment&) = default;
};

// Reads fields of fixed width front to back and remembers a failure.
class Fields {
public:
    explicit Fields(std::string_view text) : rest_(text) {}

    int two_digits(int max) {
        if (rest_.size() < 2 || !all_digits(rest_.substr(0, 2))) return fail();
        const int value = (rest_[0] - '0') * 10 + (rest_[1] - '0');
        rest_.remove_prefix(2);
        return value <= max ? value : fail();
    }
    std::string_view digits(std::size_t size_min, std::size_t size_max) {
        const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_digit);
        const auto size = static_cast<std::size_t>(end - rest_.begin());
        if (size < size_min || size > size_max) {
            fail();
            return {};
        }
        const std::string_view value = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return value;
    }
    bool take(std::string_view expected) {
        if (!rest_.starts_with(expected)) return false;
        rest_.remove_prefix(expected.size());
        return true;
    }
    void expect(std::string_view expected) {
        if (!take(expected)) fail();
    }
    bool complete() const { return !failed_ && rest_.empty(); }

private:
    int fail() {
        failed_ = true;
        return 0;
    }
    std::string_view rest_;
    bool failed_ = false;
};

constexpr std::int64_t microseconds_per_second = 1'000'000;
constexpr std::int64_t microseconds_per_day = 86'400 * microseconds_per_second;

// HH:MM:SS[.ffffff]; the server drops trailing zeros of the fraction.
std::int64_t read_time(Fields& fields) {
    const int hour = fields.two_digits(24);
    fields.expect(":");
    const int minute = fields.two_digits(59);
    fields.expect(":");
    const int second = fields.two_digits(59);
    std::int64_t fraction = 0;
    if (fields.take(".")) {
        const std::string_view digits = fields.digits(1, 6);
        for (std::size_t i = 0; i < 6; ++i)
            fraction = fraction * 10 + (i < digits.size() ? digits[i] - '0' : 0);
    }
    return ((hour * 60 + minute) * 60 + second) * microseconds_per_second + fraction;
}

// YYYY-MM-DD, more digits for years from 10000 on.
void read_date(Fields& fields, Moment& moment) {
    constexpr std::size_t year_digits_max = 7;
    for (const char c : fields.digits(4, year_digits_max))
        moment.year = moment.year * 10 + (c - '0');
    fields.expect("-");
    moment.month = fields.two_digits(12);
    fields.expect("-");
    moment.day = fields.two_digits(31);
}

enum class Parts : std::uint8_t { date, date_and_time, date_time_and_zone };

std::optional<Moment> parse_moment(std::string_view text, Parts parts) {
    Moment moment;
    if (text == "infinity" || text == "-infinity") {
        moment.infinity = text.front() == '-' ? -1 : 1;
        return moment;
    }
    Fields fields{text};
    read_date(fields, moment);
    if (parts != Parts::date) {
        fields.expect(" ");
        moment.microsecond = read_time(fields);
        if (moment.microsecond >= microseconds_per_day) return {};
    }
    if (parts == Parts::date_time_and_zone) fields.expect("+00");
    if (fields.take(" BC")) moment.year = 1 - moment.year;  // 1 BC is the year before 1 AD.
    if (!fields.complete() || moment.month == 0 || moment.day == 0) return {};
    return moment;
}

std::optional<std::int64_t> parse_time(std::string_view text) {
    Fields fields{text};
    const std::int64_t time = read_time(fields);
    if (!fields.complete() || time > microseconds_per_day) return {};
    return time;
}

// ---- bytes -------------------------------------------------------------------------------------

// Digits sort as their values do in lower-case hex, and the hyphens stand at fixed places.
std::optional<std::string_view> checked_uuid(std::string_view text) {
    if (text.size() != 36) return {};
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
        if (hyphen ? text[i] != '-' : !is_lower_hex(text[i])) return {};
    }
    return text;
}

std::optional<std::string_view> checked_bytea(std::string_view text) {
    if (!text.starts_with("\\x") || text.size() % 2 != 0) return {};
    text.remove_prefix(2);
    if (!std::all_of(text.begin(), text.end(), is_lower_hex)) return {};
    return text;
}

std::string_view without_trailing_spaces(std::string_view text) {
    return text.substr(0, text.find_last_not_of(' ') + 1);
}

Ordering compare_moments(std::string_view a, std::string_view b, Parts parts) {
    return by_parsed(a, b, [parts](std::string_view text) { return parse_moment(text, parts); });
}

}  // namespace

std::optional<std::weak_ordering> KeyComparer::compare(std::string_view a,
                                                       std::string_view b) const {
    switch (kind_) {
        case Kind::signed_number:
            return by_parsed(a, b, parse_number<std::int64_t>);
        case Kind::unsigned_number:
            return by_parsed(a, b, parse_number<std::uint32_t>);
        case Kind::numeric:
            return compare_numeric(a, b);
        case Kind::boolean:
            return by_parsed(a, b, parse_boolean);
        case Kind::uuid:
            return by_parsed(a, b, checked_uuid);
        case Kind::bytea:
            return by_parsed(a, b, checked_bytea);
        case Kind::date:
            return compare_moments(a, b, Parts::date);
        case Kind::timestamp:
            return compare_moments(a, b, Parts::date_and_time);
        case Kind::timestamptz:
            return compare_moments(a, b, Parts::date_time_and_zone);
        case Kind::time:
            return by_parsed(a, b, parse_time);
        case Kind::text:
            return by_bytes(a, b);
        case Kind::padded_text:
            return by_bytes(without_trailing_spaces(a), without_trailing_spaces(b));
    }
    return {};
}

std::optional<KeyComparer> key_comparer(std::uint32_t type_oid, bool collation_c) {
    using Kind = KeyComparer::Kind;
    switch (type_oid) {
        case int2_oid:
        case int4_oid:
        case int8_oid:
            return KeyComparer{Kind::signed_number};
        case oid_oid:
            return KeyComparer{Kind::unsigned_number};
        case numeric_oid:
            return KeyComparer{Kind::numeric};
        case bool_oid:
            return KeyComparer{Kind::boolean};
        case uuid_oid:
            return KeyComparer{Kind::uuid};
        case bytea_oid:
            return KeyComparer{Kind::bytea};
        case date_oid:
            return KeyComparer{Kind::date};
        case timestamp_oid:
            return KeyComparer{Kind::timestamp};
        case timestamptz_oid:
            return KeyComparer{Kind::timestamptz};
        case time_oid:
            return KeyComparer{Kind::time};
        case text_oid:
        case varchar_oid:
        case name_oid:
            if (!collation_c) return {};
            return KeyComparer{Kind::text};
        case bpchar_oid:
            if (!collation_c) return {};
            return KeyComparer{Kind::padded_text};
        default:
            return {};  // Other types' numbers: no portable order.
    }
}

std::optional<std::weak_ordering> compare_keys(std::span<const KeyComparer> comparers,
                                               std::span<const std::string_view> a,
                                               std::span<const std::string_view> b) {
    assert(a.size() == comparers.size() && b.size() == comparers.size());
    for (std::size_t i = 0; i < comparers.size(); ++i) {
        const auto order = comparers[i].compare(a[i], b[i]);
        if (!order || *order != 0) return order;
    }
    return std::weak_ordering::equivalent;
}

}  // namespace segue::protocol::postgres
