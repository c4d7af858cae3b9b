#pragma once
// Statements sent one after another without waiting, with what each must answer (libpq's pipeline
// mode). A statement that fails, or that changes another number of rows than expected, fails the
// whole batch; the server does not execute what follows an error.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "backfill/postgres/connection.hpp"
#include "protocol/result.hpp"

namespace segue::backfill::postgres {

// Answers that may be outstanding before reading them takes precedence; bounds memory on both ends.
inline constexpr std::size_t pipeline_depth_max = 4096;

class StatementPipeline {
public:
    struct Expect {
        std::optional<long long> rows;  // As the command tag counts them.
        std::string_view subject;       // Named in the error; must live until finish() returns.
    };

    // `connection` is idle and outlives this. While it exists, nothing else is sent on it.
    static Result<StatementPipeline> enter(Connection& connection);
    StatementPipeline(StatementPipeline&& other) noexcept;
    StatementPipeline& operator=(StatementPipeline&&) = delete;
    ~StatementPipeline();  // Leaves the mode; only useful when nothing is outstanding.

    Status prepare(const std::string& name, const std::string& sql, std::string_view subject);
    // Null pointers are NULL; texts are zero-terminated. Copied before it returns.
    Status execute(const std::string& name, const std::vector<const char*>& values, Expect expect);
    Status query(const std::string& sql, const Parameters& parameters, Expect expect);
    // Waits for every answer. After an error the connection is usable again, but a transaction that
    // was open is aborted and must be rolled back.
    Status finish();
    // Waits for every answer and leaves the mode: the connection takes plain statements until
    // resume().
    Status suspend();
    Status resume();
    // What failed, as given by Expect::subject. Empty: nothing, or not a statement.
    const std::string& failed_subject() const { return failed_subject_; }

private:
    explicit StatementPipeline(Connection& connection) : connection_(&connection) {}
    Status sent(int accepted, Expect expect);
    Status pump();             // Reads what is there, writes what can be written.
    Status wait_for_socket();  // Until it can be read, or written where something waits for that.
    void take_result(PGresult* result);

    Connection* connection_;
    std::deque<Expect> outstanding_;
    bool sync_outstanding_ = false;
    std::optional<Error> failure_;
    std::string failed_subject_;
};

}  // namespace segue::backfill::postgres
