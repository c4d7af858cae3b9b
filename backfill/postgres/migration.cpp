#include "backfill/postgres/migration.hpp"

#include <thread>

#include "backfill/postgres/lock_retry.hpp"
#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill::postgres {

namespace {

constexpr std::chrono::milliseconds pause_between_rounds{100};

Link link_to(const ServerSettings& settings, const std::string& id, Side side) {
    return Link{
        settings.url[index(side)],
        {.application_name = "segue",
         .settings = {{mover_setting, id}, {"synchronous_commit", "on"}, {"lock_timeout", "100ms"}},
         .connect_timeout = std::chrono::seconds{5}}};
}

FenceSettings fence_of(const ServerSettings& settings, const std::string& id, Side side) {
    return {side, settings.url[index(side)], id, settings.exclude};
}

}  // namespace

Migration::Migration(const ServerSettings& settings, const std::string& id)
    : settings_(settings),
      id_(id),
      links_{link_to(settings, id, Side::source), link_to(settings, id, Side::target)},
      fences_{Fence{fence_of(settings, id, Side::source)},
              Fence{fence_of(settings, id, Side::target)}} {}

Error on_side(Side side, const Error& error) {
    Error named = error;
    if (!named.detail.starts_with(name(side))) {
        named.detail = std::string{name(side)} + ": " + named.detail;
    }
    return named;
}

Status run_table_by_table(Link& link, TableStatements statements, Deadline deadline) {
    for (;;) {
        TableStatements busy;
        for (auto& [what, sql] : statements) {
            const auto done = link.run(sql);
            if (done) continue;
            if (met_a_lock(done.error())) {
                busy.emplace_back(what, sql);
                continue;
            }
            Error error = done.error();
            error.detail = what + ": " + error.detail;
            return error;
        }
        if (busy.empty()) return Done{};
        if (std::chrono::steady_clock::now() >= deadline) {
            return Error{
                Errc::timed_out,
                busy.front().first +
                    ": other sessions hold locks on it all the time; end the transactions that"
                    " have been open for long (pg_stat_activity) and repeat"};
        }
        statements = std::move(busy);
        std::this_thread::sleep_for(pause_between_rounds);
    }
}

}  // namespace segue::backfill::postgres
