#include "backfill/postgres/mover_stream.hpp"

#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill::postgres {

MoverStream::MoverStream(Parts parts,
                         MoverLink replication,
                         MoverLink follower,
                         const FollowerTables& tables,
                         MoverShared& shared,
                         TwinGuard& twins)
    : side_(parts.side),
      xid_reference_(parts.xid_reference),
      pipe_(
          Dispatcher::Start{parts.progress.applied, parts.progress.beyond, parts.progress.unseen}),
      replication_(std::move(replication)),
      follower_(std::move(follower)) {
    applier_ = std::make_unique<Applier>(
        pipe_,
        follower_,
        tables,
        Progress{parts.progress.applied, parts.progress.beyond},
        shared,
        twins,
        Applier::Settings{
            parts.side, parts.generation, parts.alone, std::move(parts.open_authority)});
    const std::string& migration = shared.settings.migration;
    reader_ = std::make_unique<StreamReader>(
        pipe_,
        replication_,
        relations_,
        xid_reference_,
        *applier_,
        StreamReader::Settings{
            slot_name(migration, side_), std::move(parts.publications), parts.progress.restart});
    // What was durable when the last run ended is so now.
    shared.applied[index(side_)].publish(parts.progress.applied);
}

MoverStream::~MoverStream() {
    pipe_.fail(Error{Errc::closed, "the mover is stopping"});
    join();
}

void MoverStream::join() {
    reader_->nudge();
    for (std::thread& thread : threads_) {
        if (thread.joinable()) thread.join();
    }
}

void MoverStream::set_role(bool is_authority, Position since) {
    applier_->publish_durable_only(!is_authority);
    if (is_authority) applier_->reread_tables();
    pipe_.set_role(is_authority ? StreamRole::applied : StreamRole::watched, since);
}

void MoverStream::start_threads() {
    threads_[0] = std::thread{[this] { applier_->run(); }};
    threads_[1] = std::thread{[this] { reader_->run(); }};
}

void MoverStream::push_probe() {
    if (proven() || probe_.load() == 0) return;
    if (pipe_.position().value >= probe_.load()) {
        applier_->request_checkpoint();
    } else {
        reader_->nudge();
    }
}

}  // namespace segue::backfill::postgres
