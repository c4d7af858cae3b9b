#include "backfill/postgres/sequence_keeper.hpp"

#include <utility>

namespace segue::backfill::postgres {

namespace {

constexpr std::size_t raised_at_once_max = 500;
constexpr const char* short_waits = "SET lock_timeout = '100ms'; SET statement_timeout = '30s'";

// Never back, whatever has happened since the place was computed.
std::string raise_sql(const SequenceKeeper::Name& name,
                      bool ascending,
                      const SequencePlace& place) {
    const std::string sequence = qualified(name.first, name.second);
    const std::string value = std::to_string(place.value);
    const std::string called = place.is_called ? "true" : "false";
    const std::string sign = ascending ? "" : "-";
    return "SELECT setval(" + quote_literal(sequence) + ", " + value + ", " + called + ") FROM " +
           sequence + " WHERE (" + sign + "last_value::numeric, is_called) < (" + sign + "(" +
           value + ")::numeric, " + called + ");";
}

}  // namespace

std::vector<SequenceKeeper::Raise> SequenceKeeper::look(const std::vector<Sequence>& authority,
                                                        const std::vector<Sequence>& follower) {
    std::map<Name, const Sequence*> theirs;
    for (const Sequence& one : authority) theirs[{one.schema, one.name}] = &one;
    std::vector<Raise> raise;
    const std::lock_guard lock{mutex_};
    for (const Sequence& one : follower) {
        const Name name{one.schema, one.name};
        const auto found = theirs.find(name);
        if (found == theirs.end()) continue;
        const Sequence& ahead_of = *found->second;
        std::optional<SequencePlace> seen;
        const auto known = seen_.find(name);
        if (known != seen_.end() && known->second.oid == one.oid) seen = known->second.place;
        const SequenceStep step = keep_step(ahead_of, one, seen);
        if (step == SequenceStep::set_back) {
            set_back_.insert(name);
            continue;
        }
        set_back_.erase(name);
        seen_[name] = {one.oid, {one.last_value, one.is_called}};
        if (step == SequenceStep::stands) continue;
        if (const auto place = place_ahead(ahead_of, one))
            raise.push_back({name, ahead_of.increment > 0, *place});
    }
    return raise;
}

Status SequenceKeeper::round(const OpenLink& open,
                             Side authority,
                             const std::string& migration_id) {
    const std::lock_guard working{working_};
    {
        const std::lock_guard lock{mutex_};
        if (std::exchange(follower_, other(authority)) != other(authority)) {
            seen_.clear();
            set_back_.clear();
        }
    }
    auto from = open(authority);
    if (!from) return from.error();
    auto to = open(other(authority));
    if (!to) return to.error();
    for (MoverLink* const link : {&*from, &*to}) {
        if (const auto set = (*link)->execute(short_waits); !set) return set.error();
    }
    const auto wanted = read_sequences(**from);
    if (!wanted) return wanted.error();
    const auto present = read_sequences(**to);
    if (!present) return present.error();
    const std::vector<Raise> raise = look(*wanted, *present);
    if (raise.empty()) return Done{};

    // While this lock is held no change of authority begins: what is the follower stays it.
    if (const auto begun = (*from)->execute("BEGIN"); !begun) return begun.error();
    const auto steady = (*from)->execute(
        "SELECT FROM segue.control WHERE migration_id = $1 AND authority = side"
        " AND phase = 'steady' FOR SHARE",
        {migration_id});
    if (!steady) return steady.error();
    if (steady->size() != 1) return Done{};
    std::string sql;
    for (std::size_t i = 0; i < raise.size(); ++i) {
        sql += raise_sql(raise[i].name, raise[i].ascending, raise[i].place);
        if (i + 1 < raise.size() && (i + 1) % raised_at_once_max != 0) continue;
        if (const auto set = (*to)->execute(sql); !set) return set.error();
        sql.clear();
    }
    if (const auto ended = (*from)->execute("COMMIT"); !ended) return ended.error();
    const std::lock_guard lock{mutex_};
    for (const Raise& one : raise) seen_[one.name].place = one.place;
    return Done{};
}

std::set<SequenceKeeper::Name> SequenceKeeper::set_back() const {
    const std::lock_guard lock{mutex_};
    return set_back_;
}

void SequenceKeeper::forget(const Name& name) {
    const std::lock_guard lock{mutex_};
    seen_.erase(name);
    set_back_.erase(name);
}

}  // namespace segue::backfill::postgres
