#include "backfill/postgres/sequences.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "backfill/postgres/bounded_query.hpp"
#include "backfill/postgres/link.hpp"

namespace segue::backfill::postgres {

namespace {

// Sums at the bounds of a bigint do not fit into one.
__extension__ using Wide = __int128;

constexpr std::int64_t margin_steps_min = 1000;
constexpr std::size_t statements_in_batch_max = 500;
constexpr std::size_t raised_at_once_max = 200;
// A sequence whose lock is waited for (lock_timeout) is set that much after it was decided.
constexpr std::chrono::milliseconds grace{250};

// The next value that a sequence hands out, in steps of its own direction: larger is further.
Wide next_of(std::int64_t value, bool is_called, std::int64_t increment) {
    return static_cast<Wide>(value) + (is_called ? increment : 0);
}

}  // namespace

std::optional<SequencePlace> place_ahead(const Sequence& from, const Sequence& to) {
    SequencePlace place{from.last_value, from.is_called};
    if (from.is_called) {
        const Wide ahead =
            static_cast<Wide>(from.last_value) +
            static_cast<Wide>(std::max(from.cache, margin_steps_min)) * from.increment;
        if (ahead >= from.min_value && ahead <= from.max_value) {
            place.value = static_cast<std::int64_t>(ahead);
        }
    }
    const Wide wanted = next_of(place.value, place.is_called, from.increment);
    const Wide present = next_of(to.last_value, to.is_called, to.increment);
    const bool there = from.increment > 0 ? present >= wanted : present <= wanted;
    if (there) return std::nullopt;
    return place;
}

SequenceStep keep_step(const Sequence& authority,
                       const Sequence& follower,
                       const std::optional<SequencePlace>& seen) {
    const Wide direction = authority.increment > 0 ? 1 : -1;
    const Wide wanted =
        next_of(authority.last_value, authority.is_called, authority.increment) * direction;
    const Wide stands =
        next_of(follower.last_value, follower.is_called, follower.increment) * direction;
    if (seen && stands < wanted) {
        const Wide stood = next_of(seen->value, seen->is_called, follower.increment) * direction;
        if (stands < stood) return SequenceStep::set_back;
    }
    const Wide half = static_cast<Wide>(std::max(authority.cache, margin_steps_min)) / 2;
    if (stands - wanted >= half * authority.increment * direction) return SequenceStep::stands;
    return place_ahead(authority, follower) ? SequenceStep::raise : SequenceStep::stands;
}

namespace {

// It belongs to a column of a table that is not moved.
Result<bool> belongs_elsewhere(Connection& to, const Sequence& sequence) {
    if (sequence.owner.empty()) return false;
    const auto there = execute_within(
        to, catalog_wait_max, "SELECT to_regclass($1) IS NULL", {sequence.owner});
    if (!there) return there.error();
    return there->truth(0, 0);
}

}  // namespace

Result<std::vector<std::string>> missing_sequences(Connection& from, Connection& to) {
    const auto wanted = read_sequences(from);
    if (!wanted) return wanted.error();
    const auto present = read_sequences(to);
    if (!present) return present.error();
    std::set<std::pair<std::string, std::string>> there;
    for (const Sequence& sequence : *present) there.emplace(sequence.schema, sequence.name);
    std::vector<std::string> missing;
    for (const Sequence& sequence : *wanted) {
        if (there.contains({sequence.schema, sequence.name})) continue;
        const auto elsewhere = belongs_elsewhere(to, sequence);
        if (!elsewhere) return elsewhere.error();
        if (!*elsewhere) missing.push_back(sequence.schema + "." + sequence.name);
    }
    return missing;
}

Result<ServerDeadline> deadline_on(Connection& connection, std::chrono::seconds from_now) {
    const auto there = connection.execute("SELECT (clock_timestamp() + interval '" +
                                          std::to_string(from_now.count()) + "s')::text");
    if (!there) return there.error();
    // Afterwards: ours is the later one.
    return ServerDeadline{std::chrono::steady_clock::now() + from_now, there->text(0, 0)};
}

namespace {

// Answers with its number once it is set.
std::string raise_sql(std::size_t number, const SequenceRaise& raise, const std::string& until) {
    const std::string sequence = qualified(raise.schema, raise.name);
    const std::string value = std::to_string(raise.place.value);
    const std::string called = raise.place.is_called ? "true" : "false";
    const std::string sign = raise.ascending ? "" : "-";
    return "SELECT " + std::to_string(number) + ", setval(" + quote_literal(sequence) + ", " +
           value + ", " + called + ") FROM " + sequence + " WHERE (" + sign +
           "last_value::numeric, is_called) < (" + sign + "(" + value + ")::numeric, " + called +
           ") AND clock_timestamp() < " + quote_literal(until) + "::timestamptz";
}

}  // namespace

Status raise_sequences(Connection& to,
                       const std::vector<SequenceRaise>& raise,
                       const ServerDeadline& until,
                       std::vector<bool>& done) {
    done.assign(raise.size(), false);
    for (std::size_t begin = 0; begin < raise.size(); begin += raised_at_once_max) {
        const std::size_t end = std::min(raise.size(), begin + raised_at_once_max);
        std::string sql;
        for (std::size_t i = begin; i < end; ++i) {
            if (i > begin) sql += " UNION ALL ";
            sql += raise_sql(i, raise[i], until.there);
        }
        const auto set = execute_before(to, sql, std::nullopt, until.here + grace);
        if (!set) return set.error();
        for (int row = 0; row < set->size(); ++row)
            done[static_cast<std::size_t>(set->number(row, 0))] = true;
    }
    return Done{};
}

Status set_sequences_ahead(Connection& from, Connection& to) {
    const auto wanted = read_sequences(from);
    if (!wanted) return wanted.error();
    const auto present = read_sequences(to);
    if (!present) return present.error();
    std::map<std::pair<std::string, std::string>, const Sequence*> by_name;
    for (const Sequence& sequence : *present) by_name[{sequence.schema, sequence.name}] = &sequence;

    std::string sql;
    std::size_t statements = 0;
    const auto flush = [&]() -> Status {
        if (statements == 0) return Done{};
        const auto set = to.execute(sql);
        sql.clear();
        statements = 0;
        if (!set) return set.error();
        return Done{};
    };
    for (const Sequence& sequence : *wanted) {
        const auto found = by_name.find({sequence.schema, sequence.name});
        if (found == by_name.end()) {
            const auto elsewhere = belongs_elsewhere(to, sequence);
            if (!elsewhere) return elsewhere.error();
            if (*elsewhere) continue;
            return Error{Errc::refused,
                         "sequence " + sequence.schema + "." + sequence.name +
                             " is missing on one side; create it there with the same definition"};
        }
        const auto place = place_ahead(sequence, *found->second);
        if (!place) continue;
        sql += "SELECT setval(" + quote_literal(qualified(sequence.schema, sequence.name)) + ", " +
               std::to_string(place->value) + (place->is_called ? ", true);" : ", false);");
        if (++statements == statements_in_batch_max) {
            if (const Status flushed = flush(); !flushed) return flushed;
        }
    }
    return flush();
}

}  // namespace segue::backfill::postgres
