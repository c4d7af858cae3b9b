#pragma once
// A read of an application's, asked again in a transaction of ours, with no more rights than the
// application's role has and under its session's settings: row security, functions and views
// answer as they did to it.

#include <optional>
#include <string>
#include <vector>

#include "backfill/mover.hpp"
#include "backfill/postgres/as_role.hpp"

namespace segue::backfill::postgres {

// For one connection, which it does not own; one role.
class RoleQuestion {
public:
    // Makes what asking needs and a transaction that reads only could not make: a temporary
    // function, which goes with the session. Outside of any transaction. Where the role cannot be
    // used so (there is none of that name, it may not create temporary objects, our own is neither
    // a superuser nor a member, or may not set session_replication_role) the error says why.
    static Result<RoleQuestion> prepare(Connection& connection,
                                        const std::string& role,
                                        Deadline deadline);

    // In the open transaction, which reads only from then on, also after an error. Errc::refused
    // for what is not a single read, Errc::too_large beyond that many rows.
    Result<std::vector<Twin::Row>> ask(const SessionRead& read,
                                       std::size_t rows_max,
                                       Deadline deadline);
    // The same of any number of rows, of which none is kept.
    Result<AnswerDigest> digest(const SessionRead& read, Deadline deadline);

    // Whether our own role is one: the application's is the session's user then, too.
    bool superuser() const { return superuser_; }

private:
    RoleQuestion(Connection& connection, std::string role, bool superuser)
        : connection_(&connection), role_(std::move(role)), superuser_(superuser) {}

    Result<Rows> answer(const SessionRead& read,
                        std::optional<std::size_t> rows_max,
                        Deadline deadline);

    Connection* connection_;
    std::string role_;
    bool superuser_;
};

}  // namespace segue::backfill::postgres
