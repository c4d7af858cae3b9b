#include "backfill/dispatcher.hpp"

#include <cassert>

namespace segue::backfill {

Dispatcher::Dispatcher(Start start)
    : applied_at_start_(start.applied),
      beyond_at_start_(start.beyond.begin(), start.beyond.end()),
      delivered_again_up_to_(start.applied),
      unseen_(std::move(start.unseen)) {
    // The commit that begins there ends behind it.
    if (!beyond_at_start_.empty()) {
        delivered_again_up_to_ =
            std::max(start.applied, Position{beyond_at_start_.rbegin()->value + 1});
    }
}

void Dispatcher::set_role(StreamRole role, Position since) {
    assert(at_boundary());
    role_ = role;
    since_ = since;
}

Status Dispatcher::on(StreamEvent event, std::vector<ApplyItem>& out) {
    return std::visit(
        Overloaded{
            [&](const TransactionBegin& value) { return begin(value, out); },
            [&](Change& value) { return change(std::move(value), out); },
            [&](SchemaChange& value) { return schema_change(std::move(value), out); },
            [&](const TransactionCommit& value) { return commit(value, out); },
            [&](const Advance& value) -> Status {
                if (transaction_) {
                    return Error{Errc::bad_value, "the stream moved on inside a transaction"};
                }
                if (value.position > position_) {
                    position_ = value.position;
                    out.emplace_back(Passed{position_});
                }
                return Done{};
            },
        },
        event);
}

Dispatcher::Fate Dispatcher::fate_of(const TransactionBegin& begin) const {
    if (begin.start < applied_at_start_ || beyond_at_start_.contains(begin.start))
        return Fate::skip;
    if (role_ == StreamRole::watched || begin.start < since_) return Fate::watch;
    if (filter_ && !filter_->sees(begin.xid)) return Fate::park;
    return Fate::apply;
}

Status Dispatcher::begin(const TransactionBegin& begin, std::vector<ApplyItem>& out) {
    if (transaction_)
        return Error{Errc::bad_value, "a transaction of the stream began inside another"};
    if (begin.start < position_ && begin.start >= applied_at_start_) {
        return Error{Errc::bad_value, "the stream went backwards"};
    }
    transaction_ =
        Transaction{begin.xid, begin.start, begin.committed_at, fate_of(begin), false, {}, {}};
    if (transaction_->fate == Fate::park) {
        parked_.emplace_back(begin);
        out.emplace_back(ParkedCommit{begin.start});
    }
    return Done{};
}

Status Dispatcher::change(Change change, std::vector<ApplyItem>& out) {
    if (!transaction_)
        return Error{Errc::bad_value, "a change outside a transaction in the stream"};
    switch (transaction_->fate) {
        case Fate::skip:
            return Done{};
        case Fate::watch:
            if (transaction_->stray_tables.size() < stray_tables_max) {
                const Relation& relation = change.relation();
                transaction_->stray_tables.insert(relation.schema + "." + relation.name);
            }
            return Done{};
        case Fate::park:
            parked_bytes_ += change.memory();
            parked_.emplace_back(std::move(change));
            return Done{};
        case Fate::apply:
            return apply(std::move(change), out);
    }
    return Done{};
}

Status Dispatcher::schema_change(SchemaChange change, std::vector<ApplyItem>& out) {
    if (!transaction_)
        return Error{Errc::bad_value, "a change of the schema outside a transaction in the stream"};
    switch (transaction_->fate) {
        case Fate::skip:
        case Fate::watch:  // No row of it; that the schemas differ is found by comparing them.
            return Done{};
        case Fate::park:
            parked_bytes_ += change.memory();
            parked_.emplace_back(std::move(change));
            return Done{};
        case Fate::apply:
            transaction_->forwarded = true;
            change.start = transaction_->start;
            for (const SchemaChange::TableId& id : change.tables) {
                TableInCopy* const in = table({id.schema, id.name});
                if (in && change.creates_tables) take_for_whole(*in);
                if (!in || !change.reshapes_tables || in->chunks.settled(transaction_->start))
                    continue;
                begin_again(*in, out);
                in->altered = true;
                change.emptied.push_back(id);
            }
            out.emplace_back(std::move(change));
            return Done{};
    }
    return Done{};
}

Status Dispatcher::commit(const TransactionCommit& commit, std::vector<ApplyItem>& out) {
    if (!transaction_)
        return Error{Errc::bad_value, "a commit without a transaction in the stream"};
    Transaction done = std::move(*transaction_);
    transaction_.reset();
    // During a release the position is ahead of the parked commits that follow now.
    position_ = std::max(position_, commit.position);
    if (!unseen_.add(commit.xid, commit.position)) {
        return Error{Errc::too_large, "too many commits that no snapshot has shown yet"};
    }
    for (const TableName& name : done.restarted) {
        if (TableInCopy* restarted = table(name)) restarted->barrier = commit.position;
    }
    switch (done.fate) {
        case Fate::park:
            parked_.emplace_back(commit);
            return Done{};
        case Fate::watch:
            if (!commit.is_mover && commit.touches_user_tables) {
                out.emplace_back(StrayWrite{commit.position,
                                            {done.stray_tables.begin(), done.stray_tables.end()}});
            }
            break;
        case Fate::skip:
            break;
        case Fate::apply:
            if (commit.is_mover && done.forwarded) {
                return Error{Errc::bad_value,
                             "a transaction of the mover changed rows on the authority: it must "
                             "not go back"};
            }
            out.emplace_back(CommitDone{done.start, commit.position, commit.committed_at});
            return Done{};
    }
    out.emplace_back(Passed{commit.position});
    return Done{};
}

void Dispatcher::park_unseen_by(Snapshot snapshot) {
    assert(at_boundary() && !filter_);
    filter_ = std::move(snapshot);
}

Status Dispatcher::release_parked(std::vector<ApplyItem>& out) {
    assert(at_boundary());
    filter_.reset();
    std::vector<StreamEvent> events = std::move(parked_);
    parked_.clear();
    parked_bytes_ = 0;
    for (StreamEvent& event : events) {
        if (const auto* begun = std::get_if<TransactionBegin>(&event)) {
            transaction_ = Transaction{
                begun->xid, begun->start, begun->committed_at, Fate::apply, false, {}, {}};
            continue;
        }
        if (const Status went = on(std::move(event), out); !went) return went;
    }
    return Done{};
}

}  // namespace segue::backfill
