#include "backfill/postgres/role_twin.hpp"

#include <optional>
#include <string_view>
#include <utility>

#include "backfill/postgres/role_question.hpp"
#include "backfill/postgres/twin.hpp"

namespace segue::backfill::postgres {

namespace {

// Statements, views and policies may ask for the session's user, which stays our own where we are
// no superuser: two of different names could make rows differ that do not.
bool same_user(PostgresTwin& twin) {
    return std::string_view{PQuser(twin.connection(Side::source).raw())} ==
           PQuser(twin.connection(Side::target).raw());
}

// Where we are a superuser it is the application's: on both sides or on neither.
bool same_session_user(const std::optional<RoleQuestion> (&questions)[2]) {
    return questions[0]->superuser() == questions[1]->superuser();
}

class RoleTwin final : public Twin {
public:
    RoleTwin(std::unique_ptr<PostgresTwin> twin, std::optional<RoleQuestion> (&&questions)[2])
        : twin_(std::move(twin)), questions_{std::move(questions[0]), std::move(questions[1])} {}

    Result<std::vector<Row>> query(Side side,
                                   const std::string& sql,
                                   const std::vector<std::optional<std::string>>& parameters,
                                   std::size_t rows_max) override {
        return twin_->query(side, sql, parameters, rows_max);
    }
    Result<std::vector<Row>> ask(Side side,
                                 const SessionRead& read,
                                 std::size_t rows_max) override {
        std::optional<RoleQuestion>& question = questions_[index(side)];
        if (!question) return Error{Errc::refused, "it was opened for no role"};
        return question->ask(read, rows_max, Clock::now() + asked_again_max);
    }
    Result<AnswerDigest> digest(Side side, const SessionRead& read) override {
        std::optional<RoleQuestion>& question = questions_[index(side)];
        if (!question) return Error{Errc::refused, "it was opened for no role"};
        return question->digest(read, Clock::now() + asked_again_max);
    }

private:
    std::unique_ptr<PostgresTwin> twin_;
    std::optional<RoleQuestion> questions_[2];  // By index(Side). On the twin's connections.
};

}  // namespace

Result<std::unique_ptr<Twin>> open_role_twin(std::shared_ptr<MoverRun> run,
                                             MoverShared& shared,
                                             const std::string& role,
                                             Clock::time_point deadline) {
    const std::vector<Table> tables = run->current_tables();
    auto twin = PostgresTwin::open(run, shared);
    if (!twin) return twin.error();
    std::optional<RoleQuestion> questions[2];
    for (const Side side : {Side::source, Side::target}) {
        if (role.empty()) break;
        auto question = RoleQuestion::prepare((*twin)->connection(side), role, deadline);
        if (!question) return question.error();
        if (!question->superuser() && !same_user(**twin)) {
            return Error{Errc::refused,
                         "Segue's own roles have different names on the two sides, and are not "
                         "superusers"};
        }
        questions[index(side)] = std::move(*question);
    }
    if (!role.empty() && !same_session_user(questions)) {
        return Error{Errc::refused, "Segue's own role is a superuser on one of the two sides only"};
    }
    if (Status renewed = (*twin)->renew(tables, deadline); !renewed) return renewed.error();
    return std::unique_ptr<Twin>{
        std::make_unique<RoleTwin>(std::move(*twin), std::move(questions))};
}

}  // namespace segue::backfill::postgres
