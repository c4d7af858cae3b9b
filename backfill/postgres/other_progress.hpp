#pragma once
// For a mover that waits because another one has the lease: how far that one has come. Clients of
// this process are held by `mirror sync` as well, and the other process cannot tell this one; the
// databases can.

#include <optional>

#include "backfill/postgres/connection.hpp"
#include "backfill/postgres/mover_shared.hpp"

namespace segue::backfill::postgres {

class OtherProgress {
public:
    explicit OtherProgress(MoverShared& shared) : shared_(shared) {}

    // Publishes as applied what each side has on record as durable. A side that fails is left alone
    // from then on.
    void publish();

private:
    Status publish(Side stream);

    MoverShared& shared_;
    std::optional<Connection> stores_[2];  // By the stream that they keep the progress of.
    bool failed_[2] = {false, false};
};

}  // namespace segue::backfill::postgres
