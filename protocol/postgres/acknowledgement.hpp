#pragma once
// Which of a server's answers tell the client that something has been committed. Pure.
//
// In the simple protocol a statement outside a transaction block is committed before its
// CommandComplete is sent, so that is the acknowledgement. In the extended protocol the implicit
// transaction ends at Sync, and ReadyForQuery tells of it. Inside a block only the statement that
// ends it acknowledges. A server may also end a transaction in the middle of a Query of several
// statements; then its tag says so. Unsure is an acknowledgement: that costs time, never a promise.

#include <utility>

#include "protocol/bytes.hpp"
#include "protocol/postgres/boundary.hpp"

namespace segue::protocol::postgres {

class Acknowledgements {
public:
    // From where the session stands now. In the middle of an answer nothing is known of a block.
    explicit Acknowledgements(const Boundary& boundary)
        : in_block_(boundary.quiet() && boundary.in_transaction()) {}

    // To be called from Boundary::server's visitor with every event, in order; `slice` as given to
    // it. `extended`: the event answers extended messages (Boundary::answers_extended).
    bool sees(const ServerEvent& event, Bytes slice, bool extended);

    // Whether, since the last call, an answer may have told of another transaction than the
    // session's own, one that was prepared long ago; or could not be read.
    bool take_doubt() { return std::exchange(doubt_, false); }

private:
    bool in_block_;
    bool doubt_ = false;
};

}  // namespace segue::protocol::postgres
