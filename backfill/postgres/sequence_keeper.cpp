#include "backfill/postgres/sequence_keeper.hpp"

#include <utility>

#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill::postgres {

namespace {

// The lock ends by itself where Segue is frozen, or cut off, while it has it.
constexpr const char* short_waits =
    "SET lock_timeout = '100ms'; SET statement_timeout = '30s';"
    " SET idle_in_transaction_session_timeout = '5s'";

}  // namespace

Result<SequenceKeeper::Files> SequenceKeeper::read_files(Connection& follower) {
    const auto rows = follower.execute("SELECT object, previous FROM segue.saved WHERE kind = $1",
                                       {std::string{carried_sequence}});
    if (!rows) return rows.error();
    Files files;
    for (int row = 0; row < rows->size(); ++row) files[rows->number(row, 0)] = rows->text(row, 1);
    return files;
}

std::vector<SequenceRaise> SequenceKeeper::look(const std::vector<Sequence>& authority,
                                                const std::vector<Sequence>& follower,
                                                const Files& before,
                                                const Files& after) {
    const auto file_in = [](const Files& files, std::int64_t oid) {
        const auto found = files.find(oid);
        return found == files.end() ? std::string{} : found->second;
    };
    std::map<Name, const Sequence*> theirs;
    for (const Sequence& one : authority) theirs[{one.schema, one.name}] = &one;
    std::vector<SequenceRaise> raise;
    const std::lock_guard lock{mutex_};
    for (const Sequence& one : follower) {
        const Name name{one.schema, one.name};
        const auto found = theirs.find(name);
        if (found == theirs.end()) continue;
        const std::string file = file_in(after, one.oid);
        if (file_in(before, one.oid) != file) continue;
        const Sequence& ahead_of = *found->second;
        std::optional<SequencePlace> seen;
        const auto known = seen_.find(name);
        if (known != seen_.end() && known->second.oid == one.oid && known->second.file == file)
            seen = known->second.place;
        const SequenceStep step = keep_step(ahead_of, one, seen);
        if (step == SequenceStep::set_back) {
            set_back_.insert(name);
            continue;
        }
        set_back_.erase(name);
        seen_[name] = {one.oid, file, {one.last_value, one.is_called}};
        if (step == SequenceStep::stands) continue;
        if (const auto place = place_ahead(ahead_of, one))
            raise.push_back({one.schema, one.name, ahead_of.increment > 0, *place});
    }
    return raise;
}

Status SequenceKeeper::round(Connection& from,
                             Connection& to,
                             Side authority,
                             std::uint64_t epoch,
                             const std::string& migration_id) {
    const std::lock_guard working{working_};
    {
        const std::lock_guard lock{mutex_};
        const bool turned = std::exchange(follower_, other(authority)) != other(authority);
        if (std::exchange(epoch_, epoch) != epoch || turned) {
            seen_.clear();
            set_back_.clear();
        }
    }
    for (Connection* const link : {&from, &to}) {
        if (const auto set = link->execute(short_waits); !set) return set.error();
    }
    const auto wanted = read_sequences(from);
    if (!wanted) return wanted.error();
    const auto before = read_files(to);
    if (!before) return before.error();
    const auto present = read_sequences(to);
    if (!present) return present.error();
    const auto after = read_files(to);
    if (!after) return after.error();
    const std::vector<SequenceRaise> raise = look(*wanted, *present, *before, *after);
    if (raise.empty()) return Done{};
    const auto until = deadline_on(to, sequences_set_max);
    if (!until) return until.error();

    // While this lock is held no change of authority begins: what is the follower stays it.
    if (const auto begun = from.execute("BEGIN"); !begun) return begun.error();
    const auto steady = from.execute(
        "SELECT FROM segue.control WHERE migration_id = $1 AND authority = side"
        " AND phase = 'steady' FOR SHARE",
        {migration_id});
    if (!steady) return steady.error();
    std::vector<bool> done;
    const Status set =
        steady->size() == 1 ? raise_sequences(to, raise, *until, done) : Status{Done{}};
    const auto ended = from.execute("COMMIT");
    {
        // What no answer tells of stands where it stood, as far as is known: the next look sees.
        const std::lock_guard lock{mutex_};
        for (std::size_t i = 0; i < done.size(); ++i) {
            if (done[i]) seen_[{raise[i].schema, raise[i].name}].place = raise[i].place;
        }
    }
    return set && !ended ? Status{ended.error()} : set;
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
