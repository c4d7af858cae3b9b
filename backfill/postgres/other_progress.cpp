#include "backfill/postgres/other_progress.hpp"

#include <chrono>

#include "backfill/postgres/bounded_query.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::seconds answer_time_max{2};

}  // namespace

void OtherProgress::publish() {
    for (const Side stream : {Side::source, Side::target}) {
        bool& failed = failed_[index(stream)];
        if (!failed) failed = !publish(stream);
    }
}

Status OtherProgress::publish(Side stream) {
    auto& store = stores_[index(stream)];
    if (!store) {
        Connection::Options options;
        // Not the mover's name: to others this session must not look like a mover that is at work.
        options.application_name = "segue positions";
        auto opened = Connection::open(shared_.identity.url[index(other(stream))], options);
        if (!opened) return opened.error();
        store = std::move(*opened);
    }
    // What a snapshot shows is durable: the mover commits with synchronous_commit at least local. A
    // migration that was started since then has a progress of its own, which says nothing about
    // this one's copy.
    const auto rows =
        execute_within(*store,
                       answer_time_max,
                       "SELECT applied FROM segue.progress WHERE stream = $1 AND writer = 0"
                       " AND EXISTS (SELECT FROM segue.control WHERE migration_id = $2)",
                       {std::string{name(stream)}, shared_.identity.migration_id});
    if (!rows) return rows.error();
    if (rows->size() != 1) return Error{Errc::refused, "no progress is on record"};
    shared_.applied[index(stream)].publish(parse_lsn(rows->at(0, 0)).value_or(Position{}));
    return Done{};
}

}  // namespace segue::backfill::postgres
