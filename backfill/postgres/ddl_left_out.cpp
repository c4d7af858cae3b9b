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
            if (found.empty()) found.emplace_back();
            found.back() += sql_name(text);
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

class LeftOut {
public:
    static Result<LeftOut> read(Connection& follower, const std::vector<std::string>& exclude) {
        const auto views = follower.execute("SELECT object FROM segue.saved WHERE kind = $1",
                                            {std::string{left_out_kind}});
        if (!views) return views.error();
        LeftOut result;
        result.names_ = exclude;
        for (int row = 0; row < views->size(); ++row) result.names_.push_back(views->text(row, 0));
        return result;
    }

    // `name` may be without its schema.
    bool has(const std::string& name) const {
        return std::any_of(names_.begin(), names_.end(), [&](const std::string& known) {
            return known == name || known.ends_with("." + name) || is_sequence_of(known, name);
        });
    }

private:
    // Those that the server makes for serial and identity columns.
    static bool is_sequence_of(const std::string& table, const std::string& name) {
        if (!name.ends_with("_seq")) return false;
        const std::string plain = table.substr(table.find('.') + 1);
        return name.starts_with(table + "_") || name.starts_with(plain + "_");
    }
    std::vector<std::string> names_;
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
    const auto left_out = LeftOut::read(follower, exclude);
    if (!left_out) return left_out.error();
    if (record.tag == "GRANT" || record.tag == "REVOKE") {
        const std::vector<std::string> names = granted_relations(statement);
        return !names.empty() && std::all_of(names.begin(), names.end(), [&](const auto& name) {
            return left_out->has(name);
        });
    }
    const std::string view = view_of(record);
    if (view.empty()) return false;
    // Another one's, or its own before it got this name.
    const std::string missing = missing_relation(error.detail);
    if (missing.empty() || !left_out->has(missing)) return false;
    const auto noted =
        follower.execute("INSERT INTO segue.saved VALUES ($1, $2, '') ON CONFLICT DO NOTHING",
                         {std::string{left_out_kind}, view});
    if (!noted) return noted.error();
    return true;
}

}  // namespace segue::backfill::postgres
