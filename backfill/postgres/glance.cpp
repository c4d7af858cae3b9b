#include "backfill/postgres/glance.hpp"

#include <poll.h>

#include <utility>

namespace segue::backfill::postgres {

std::optional<Rows> answer_at_hand(Connection& connection) {
    if (PQconsumeInput(connection.raw()) != 1) return std::nullopt;
    std::optional<Rows> answer;
    while (PQisBusy(connection.raw()) == 0) {
        Rows rows{PQgetResult(connection.raw())};
        if (rows.raw() == nullptr) return answer;
        answer = std::move(rows);
    }
    return std::nullopt;
}

std::optional<Rows> Glance::look(const std::string& sql) {
    const auto now = Clock::now();
    if (stage_ == Stage::none) {
        if (now < not_before_) return std::nullopt;
        connection_ = Connection::begin(url_, options_);
        got_further_at_ = now;
        wants_ = PGRES_POLLING_WRITING;  // As libpq says of one that has just been started.
        stage_ = Stage::connecting;
        if (PQstatus(connection_->raw()) == CONNECTION_BAD) give_up();
        return std::nullopt;
    }
    auto answer = step(sql);
    // Not by its age: who asks seldom gives each step a long time.
    if (!answer && Clock::now() - got_further_at_ > time_max_) give_up();
    return answer;
}

std::optional<Rows> Glance::step(const std::string& sql) {
    switch (stage_) {
        case Stage::none:
            break;
        case Stage::connecting:
            if (connected()) ask(sql);
            break;
        case Stage::connected:
            ask(sql);
            break;
        case Stage::asked: {
            auto answer = answer_at_hand(*connection_);
            if (answer) stage_ = Stage::connected;
            if (!connection_->good()) give_up();
            return answer;
        }
    }
    return std::nullopt;
}

void Glance::ask(const std::string& sql) {
    stage_ = Stage::asked;
    got_further_at_ = Clock::now();
    if (PQsendQuery(connection_->raw(), sql.c_str()) != 1) give_up();
}

void Glance::forget() {
    connection_.reset();
    stage_ = Stage::none;
}

// PQconnectPoll may only be called when the socket is as it has asked for.
bool Glance::connected() {
    for (;;) {
        pollfd socket{PQsocket(connection_->raw()),
                      static_cast<short>(wants_ == PGRES_POLLING_READING ? POLLIN : POLLOUT),
                      0};
        if (::poll(&socket, 1, 0) <= 0) return false;
        wants_ = PQconnectPoll(connection_->raw());
        got_further_at_ = Clock::now();
        if (wants_ == PGRES_POLLING_OK) return true;
        if (wants_ != PGRES_POLLING_FAILED) continue;
        give_up();
        return false;
    }
}

void Glance::give_up() {
    forget();
    not_before_ = Clock::now() + glance_pause;
}

}  // namespace segue::backfill::postgres
