#include "backfill/postgres/verify_book.hpp"

#include <thread>

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::milliseconds close_pause{200};

}  // namespace

Result<Connection*> RecordLink::get() {
    auto run = current_();
    if (!run) return Error{Errc::closed, "the mover is not connected"};
    if (link_ && run == run_ && (*link_)->good()) return &**link_;
    link_.reset();
    run_ = std::move(run);
    auto opened = run_->link(side_, LinkKind::writer);
    if (!opened) return opened.error();
    link_.emplace(std::move(*opened));
    if (Status made = make_verify_tables(**link_); !made) {
        link_.reset();
        return made.error();
    }
    return &**link_;
}

Status PostgresVerifyBook::open(const Verification& verification) {
    for (SideRecord& side : sides_) {
        for (const auto& [name, table] : verification.tables) side.unwritten.insert(name);
        for (const auto& [name, why] : verification.excluded) side.unwritten.insert(name);
    }
    return write_until_done(verification);
}

Status PostgresVerifyBook::note(const Verification& verification,
                                const Verification::TableName& table) {
    for (SideRecord& side : sides_) side.unwritten.insert(table);
    const bool news = verification.differences() != differences_written_;
    if (!news && Clock::now() - written_at_ < verify_note_interval) return Done{};
    written_at_ = Clock::now();
    // One that fails is not the end: what is unwritten is written with the next.
    const Status written = write(verification);
    if (written) differences_written_ = verification.differences();
    return Done{};
}

Status PostgresVerifyBook::close(const Verification& verification) {
    return write_until_done(verification);
}

Status PostgresVerifyBook::write(const Verification& verification) {
    Status all = Done{};
    for (const Side side : {authority_, other(authority_)}) {
        SideRecord& record = sides_[index(side)];
        auto connection = record.link.get();
        Status written = connection
                             ? write_verification(**connection, verification, record.unwritten)
                             : Status{connection.error()};
        if (written) {
            record.unwritten.clear();
        } else if (all) {
            Error error = written.error();
            error.detail = "what was verified could not be recorded on the " +
                           std::string{name(side)} + ": " + error.detail;
            all = error;
        }
    }
    return all;
}

Status PostgresVerifyBook::write_until_done(const Verification& verification) {
    const auto deadline = Clock::now() + verify_close_time_max;
    for (;;) {
        Status written = write(verification);
        if (written || stopping_.load() || Clock::now() > deadline) return written;
        std::this_thread::sleep_for(close_pause);
    }
}

}  // namespace segue::backfill::postgres
