#pragma once
// pgoutput's messages -> neutral events (backfill/change.hpp). Changes of schema segue are not
// passed on: they only tell whose transaction it is.

#include <atomic>
#include <cstdint>
#include <optional>
#include <unordered_map>

#include "backfill/change.hpp"
#include "protocol/bytes.hpp"
#include "protocol/postgres/pgoutput.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

class StreamDecoder {
public:
    // `xid_reference`: the upper end of a recent snapshot of that side, kept recent by its owner.
    // Both outlive this; `relations` outlives every change.
    StreamDecoder(RelationTable& relations, const std::atomic<std::uint64_t>& xid_reference)
        : relations_(relations), xid_reference_(xid_reference) {}

    // The payload of one XLogData. Empty: nothing follows from it.
    Result<std::optional<StreamEvent>> decode(Bytes payload);
    bool in_transaction() const { return in_transaction_; }

private:
    enum class Kind : std::uint8_t { user, progress, ddl, other_of_segue };
    struct Known {
        const Relation* relation = nullptr;
        Kind kind = Kind::user;
    };
    using Event = Result<std::optional<StreamEvent>>;
    Event begin(const protocol::postgres::pgoutput::Begin& message);
    Event commit(const protocol::postgres::pgoutput::Commit& message);
    Event relation(const protocol::postgres::pgoutput::Relation& message);
    Event truncate(const protocol::postgres::pgoutput::Truncate& message);
    Event row(std::uint32_t id,
              ChangeKind kind,
              OldRow old_row,
              const protocol::postgres::pgoutput::Tuple& old,
              const protocol::postgres::pgoutput::Tuple& row);
    Event schema_change(const Relation& relation, const protocol::postgres::pgoutput::Tuple& row);
    // Null when the change is none of a user's table; notes whose it is.
    Result<const Relation*> user_relation(std::uint32_t id);

    RelationTable& relations_;
    const std::atomic<std::uint64_t>& xid_reference_;
    std::unordered_map<std::uint32_t, Known> known_;
    bool in_transaction_ = false;
    std::uint64_t xid_ = 0;
    bool is_mover_ = false, touches_user_tables_ = false;
};

}  // namespace segue::backfill::postgres
