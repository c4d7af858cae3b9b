#include "backfill/postgres/ddl_code.hpp"

#include <algorithm>
#include <utility>

#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

namespace {

// "constraint c of app.t #<number>": what is told, and what makes it the same thing.
constexpr std::string_view before_number = " #";
std::string told(const std::string& thing) { return thing.substr(0, thing.rfind(before_number)); }
std::string number(const std::string& thing) {
    return thing.substr(thing.rfind(before_number) + before_number.size());
}

std::vector<std::string> numbers(const std::vector<std::string>& things) {
    std::vector<std::string> found;
    for (const std::string& thing : things) found.push_back(number(thing));
    return found;
}

const std::string all_of_it = "everything #all";

Error brings_code(const std::string& thing) {
    return Error{Errc::refused,
                 "whoever writes to the table runs what belongs to " + told(thing) +
                     ", there the mover with the rights of Segue's role, and only the server's"
                     " own immutable functions, types, and those of extensions are known to be"
                     " harmless"};
}

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
        return brings_code(thing);
    }
    const auto fires = what_fires(follower, names);
    if (!fires) return fires.error();
    if (fires->empty() || *fires == before.fires) return Done{};
    return fires_twice(*fires);
}

Status refuse_unknown_code(Connection& follower,
                           Side stream,
                           const std::vector<std::string>& things) {
    if (things.empty()) return Done{};
    const auto unknown = follower.execute(
        "SELECT t.number FROM unnest($2::text[]) AS t(number) WHERE NOT EXISTS (SELECT FROM"
        " segue.ddl_known k WHERE k.stream = $1 AND k.number = t.number) LIMIT 1",
        {std::string{name(stream)}, text_array(numbers(things))});
    if (!unknown) return unknown.error();
    if (unknown->size() == 0) return Done{};
    const auto same = [&](const std::string& thing) { return number(thing) == unknown->at(0, 0); };
    return brings_code(*std::find_if(things.begin(), things.end(), same));
}

Status know_code(Connection& follower, Side stream, const std::vector<std::string>& things) {
    if (things.empty()) return Done{};
    const auto known = follower.execute(
        "INSERT INTO segue.ddl_known SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING",
        {std::string{name(stream)}, text_array(numbers(things))});
    if (!known) return known.error();
    return Done{};
}

Result<std::vector<std::string>> read_all_code(Connection& owner) {
    auto things = things_of(owner, {}, true);
    if (things) things->push_back(all_of_it);
    return things;
}

Result<bool> is_code_known(Connection& follower, Side stream) {
    const auto known =
        follower.execute("SELECT FROM segue.ddl_known WHERE stream = $1 AND number = $2",
                         {std::string{name(stream)}, number(all_of_it)});
    if (!known) return known.error();
    return known->size() == 1;
}

Status refuse_unjudged_commands(Connection& source, Connection& target) {
    const auto commands = source.execute(
        "SELECT id, refusal <> '', code FROM segue.ddl WHERE refusal <> '' OR code <> '{}'");
    if (!commands) return commands.error();
    std::vector<std::string> refused, things;
    for (int row = 0; row < commands->size(); ++row) {
        if (commands->truth(row, 1)) refused.push_back(commands->text(row, 0));
        for (std::string& thing : parse_text_array(commands->at(row, 2)))
            things.push_back(std::move(thing));
    }
    const auto open = target.execute(
        "SELECT r FROM unnest($1::bigint[]) r WHERE NOT EXISTS (SELECT FROM segue.ddl_handled h"
        " WHERE h.stream = 'source' AND h.id = r) LIMIT 1",
        {text_array(refused)});
    if (!open) return open.error();
    Status judged = refuse_unknown_code(target, Side::source, things);
    if (open->size() == 0 && judged) return judged;
    if (!judged && judged.error().code != Errc::refused) return judged;
    // The stream is about to come to it, and says what to do.
    return Error{Errc::closed,
                 "the schema was changed on the source by a command that the target has not dealt"
                 " with: the copy is completed when it has"};
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
