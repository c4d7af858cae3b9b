#include "backfill/postgres/ddl_left_out.hpp"

#include <algorithm>

#include "backfill/postgres/sql_scanner.hpp"

namespace segue::backfill::postgres {

std::vector<std::string> granted_relations(std::string_view statement) {
    std::vector<std::string> found;
    SqlScanner scanner{statement};
    bool named = false, joined = true;  // Behind ON; a name may begin or go on here.
    int depth = 0;
    while (!scanner.done()) {
        const std::size_t from = scanner.at();
        const SqlScanner::Piece piece = scanner.next();
        if (piece == SqlScanner::Piece::space || piece == SqlScanner::Piece::comment) continue;
        const std::string_view text = statement.substr(from, scanner.at() - from);
        const std::string word = piece == SqlScanner::Piece::word ? upper(text) : std::string{};
        if (text == "(") ++depth;
        if (text == ")") --depth;
        if (!named) {
            named = depth == 0 && word == "ON";
        } else if (word == "TO" || word == "FROM") {
            return found;
        } else if (found.empty() && (word == "TABLE" || word == "SEQUENCE")) {
            continue;
        } else if (text == ",") {
            found.emplace_back();
            joined = true;
        } else if (text == "." && !found.empty()) {
            found.back() += '.';
            joined = true;
        } else if (joined && (!word.empty() || text.starts_with('"'))) {
            const std::string name = sql_name(text);
            if (name.find('.') != std::string::npos) return {};  // Read as a schema's.
            if (found.empty()) found.emplace_back();
            found.back() += name;
            joined = false;
        } else {
            return {};
        }
    }
    return {};
}

namespace {

constexpr const char* left_out_kind = "ddl_left_out";
constexpr const char* undefined_table = "42P01";

// The schemas in which its session looked for what was named without one.
std::vector<std::string> search_path_of(const DdlRecord& record) {
    std::vector<std::string> schemas;
    const auto setting =
        std::find(record.settings.begin(), record.settings.end(), std::string{"search_path"});
    if (setting == record.settings.end() || setting + 1 == record.settings.end()) return schemas;
    const std::string_view path = *(setting + 1);
    SqlScanner scanner{path};
    while (!scanner.done()) {
        const std::size_t from = scanner.at();
        const SqlScanner::Piece piece = scanner.next();
        const std::string_view text = path.substr(from, scanner.at() - from);
        if (piece != SqlScanner::Piece::word && !text.starts_with('"')) continue;
        const std::string name = sql_name(text);
        schemas.push_back(name == "$user" ? record.role : name);
    }
    return schemas;
}

class LeftOut {
public:
    static Result<LeftOut> read(Connection& follower,
                                const std::vector<std::string>& exclude,
                                const DdlRecord& record) {
        const auto views = follower.execute("SELECT object FROM segue.saved WHERE kind = $1",
                                            {std::string{left_out_kind}});
        if (!views) return views.error();
        LeftOut result;
        result.names_ = exclude;
        for (int row = 0; row < views->size(); ++row) result.names_.push_back(views->text(row, 0));
        result.path_ = search_path_of(record);
        return result;
    }

    // `name` may be without its schema.
    Result<bool> has(Connection& follower, const std::string& name) const {
        if (name.find('.') != std::string::npos) return has_qualified(follower, name);
        for (const std::string& schema : path_) {
            auto found = has_qualified(follower, schema + "." + name);
            if (!found || *found) return found;
        }
        return false;
    }

    Result<bool> has_all(Connection& follower, const std::vector<std::string>& names) const {
        for (const std::string& name : names) {
            auto found = has(follower, name);
            if (!found || !*found) return found;
        }
        return !names.empty();
    }

private:
    Result<bool> has_qualified(Connection& follower, const std::string& name) const {
        for (const std::string& known : names_) {
            if (known == name) return true;
            // As the server calls those that it makes for serial and identity columns.
            if (!name.starts_with(known + "_") || !name.ends_with("_seq")) continue;
            const auto of_another = is_nearer_to_another(follower, known, name);
            if (!of_another) return of_another.error();
            if (!*of_another) return true;
        }
        return false;
    }
    // order_items_id_seq is not one of order's where there is a table order_items.
    static Result<bool> is_nearer_to_another(Connection& follower,
                                             const std::string& table,
                                             const std::string& sequence) {
        const auto rows = follower.execute(
            "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind"
            " IN ('r', 'p') AND starts_with($2, n.nspname || '.' || c.relname || '_') AND"
            " length(n.nspname || '.' || c.relname) > length($1) LIMIT 1",
            {table, sequence});
        if (!rows) return rows.error();
        return rows->size() == 1;
    }
    std::vector<std::string> names_, path_;
};

// Of 'relation "app.t" does not exist'.
std::string missing_relation(const std::string& detail) {
    constexpr std::string_view before = "relation \"", after = "\" does not exist";
    const std::size_t from = detail.find(before);
    if (from == std::string::npos) return "";
    const std::size_t begin = from + before.size(), end = detail.find(after, begin);
    return end == std::string::npos ? "" : detail.substr(begin, end - begin);
}

// "view app.v": the only thing that the command is about, once or more.
std::string view_of(const DdlRecord& record) {
    const auto same = [&](const std::string& object) { return object == record.objects.front(); };
    if (record.objects.empty() || !std::all_of(record.objects.begin(), record.objects.end(), same))
        return "";
    for (const std::string_view kind : {"view ", "materialized view "}) {
        if (record.objects.front().starts_with(kind))
            return unquoted_name(record.objects.front().substr(kind.size()));
    }
    return "";
}

}  // namespace

Result<bool> is_left_out(Connection& follower,
                         const std::vector<std::string>& exclude,
                         const DdlRecord& record,
                         std::string_view statement,
                         const Error& error) {
    if (error.sqlstate != undefined_table || exclude.empty()) return false;
    const auto left_out = LeftOut::read(follower, exclude, record);
    if (!left_out) return left_out.error();
    if (record.tag == "GRANT" || record.tag == "REVOKE") {
        return left_out->has_all(follower, granted_relations(statement));
    }
    const std::string view = view_of(record);
    if (view.empty()) return false;
    // Another one's, or its own before it got this name.
    const std::string missing = missing_relation(error.detail);
    if (missing.empty()) return false;
    auto known = left_out->has(follower, missing);
    if (!known || !*known) return known;
    const auto noted =
        follower.execute("INSERT INTO segue.saved VALUES ($1, $2, '') ON CONFLICT DO NOTHING",
                         {std::string{left_out_kind}, view});
    if (!noted) return noted.error();
    return true;
}

}  // namespace segue::backfill::postgres
