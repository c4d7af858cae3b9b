#pragma once
// Runs a captured command (ddl_capture.hpp) on the follower, at its place in the stream and in the
// transaction of the rows around it. It counts as carried only when the follower's server says that
// it did the same to the same objects, and the tables it touched look as they did on the authority.

#include "backfill/change.hpp"
#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/follower_tables.hpp"
#include "protocol/result.hpp"
#include "router/side.hpp"

namespace segue::backfill::postgres {

class DdlApplier {
public:
    explicit DdlApplier(Side stream) : stream_(stream) {}

    // `follower` is in a transaction, as the mover; `before`: its tables until now; `copying`: not
    // all of them are copied yet. An error says what was run and what the operator can do; the
    // transaction must then be rolled back.
    Status apply(Connection& follower,
                 const SchemaChange& change,
                 const FollowerTables& before,
                 bool copying);
    // The last one was marked as handled.
    bool by_hand() const { return by_hand_; }

private:
    Side stream_;
    bool by_hand_ = false;
};

}  // namespace segue::backfill::postgres
