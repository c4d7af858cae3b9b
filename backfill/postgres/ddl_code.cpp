#include "backfill/postgres/ddl_code.hpp"

#include <algorithm>
#include <utility>

#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// "constraint c of app.t #<number>": what is told, and what makes it the same thing.
std::string told(const std::string& thing) { return thing.substr(0, thing.rfind(" #")); }
std::string number(const std::string& thing) { return thing.substr(thing.rfind(" #")); }

Result<std::vector<std::string>> things_of(Connection& follower,
                                           const std::vector<std::string>& names,
                                           bool others) {
    const auto rows = follower.execute("SELECT segue.ddl_code($1::text[], $2)",
                                       {text_array(names), others ? "true" : "false"});
    if (!rows) return rows.error();
    return parse_text_array(rows->at(0, 0));
}

Result<std::string> what_fires(Connection& follower, const std::vector<std::string>& names) {
    const auto rows =
        follower.execute("SELECT coalesce(segue.ddl_fires($1::text[]), '')", {text_array(names)});
    if (!rows) return rows.error();
    return rows->text(0, 0);
}

Error fires_twice(const std::string& what) {
    return Error{Errc::refused,
                 what +
                     " fires always, there also for rows that it has fired for on the authority;"
                     " make it one that fires for its origin only"};
}

}  // namespace

Result<TablesCode> read_code(Connection& follower,
                             const std::vector<std::string>& names,
                             bool everywhere) {
    auto things = things_of(follower, everywhere ? std::vector<std::string>{} : names, everywhere);
    if (!things) return things.error();
    auto fires = what_fires(follower, names);
    if (!fires) return fires.error();
    return TablesCode{std::move(*things), std::move(*fires)};
}

Status refuse_new_code(Connection& follower,
                       const std::vector<std::string>& names,
                       const TablesCode& before) {
    const auto after = things_of(follower, names, false);
    if (!after) return after.error();
    for (const std::string& thing : *after) {
        const auto same = [&](const std::string& known) { return number(known) == number(thing); };
        if (std::any_of(before.things.begin(), before.things.end(), same)) continue;
        return Error{Errc::refused,
                     "whoever writes to the table runs what belongs to " + told(thing) +
                         ", there the mover with the rights of Segue's role, and only the server's"
                         " own immutable functions, types, and those of extensions are known to be"
                         " harmless"};
    }
    const auto fires = what_fires(follower, names);
    if (!fires) return fires.error();
    if (fires->empty() || *fires == before.fires) return Done{};
    return fires_twice(*fires);
}

Status refuse_what_fires(Connection& follower, const std::vector<std::string>& names) {
    const auto fires = what_fires(follower, names);
    if (!fires) return fires.error();
    if (!fires->empty()) return fires_twice(*fires);
    return Done{};
}

Status refuse_functions(Connection& follower) {
    const auto things = things_of(follower, {}, true);
    if (!things) return things.error();
    if (things->empty()) return Done{};
    return Error{Errc::refused,
                 "whoever writes to the table of " + told(things->front()) +
                     " runs functions that are not the server's own, there the mover with the"
                     " rights of Segue's role, and whether this is one of them nobody can tell"};
}

}  // namespace segue::backfill::postgres
