#include "backfill/postgres/ddl_default.hpp"

#include <algorithm>

#include "backfill/postgres/sql_scanner.hpp"
#include "backfill/postgres/text_array.hpp"

namespace segue::backfill::postgres {

Result<std::vector<NewValue>> other_values(Connection& follower,
                                           const DdlRecord& record,
                                           const FollowerTables& before) {
    std::vector<NewValue> values;
    for (const std::string& entry : record.missing) {
        const std::vector<std::string> fields = parse_text_array(entry);
        if (fields.size() != 4) return Error{Errc::bad_value, "segue.ddl: missing is unreadable"};
        const auto known = before.find({fields[0], fields[1]});
        if (known == before.end()) continue;
        int last = 0;
        for (const Column& column : known->second.table.columns)
            last = std::max(last, column.number);
        const auto differs = follower.execute(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid ="
            " $1::regclass AND attname = $2 AND attnum > $3 AND attmissingval::text IS DISTINCT"
            " FROM $4",
            {qualified(fields[0], fields[1]), fields[2], std::to_string(last), fields[3]});
        if (!differs) return differs.error();
        if (differs->size() == 0) continue;
        const std::vector<std::string> value = parse_text_array(fields[3]);
        if (value.size() != 1) return Error{Errc::bad_value, "segue.ddl: missing is unreadable"};
        values.push_back({fields[0],
                          fields[1],
                          fields[2],
                          quote_literal(value[0]) + "::" + differs->text(0, 0)});
    }
    return values;
}

Status write_values(Connection& follower, const std::vector<NewValue>& values) {
    for (const NewValue& value : values) {
        const auto updated =
            follower.execute("UPDATE ONLY " + qualified(value.schema, value.table) + " SET " +
                             quote_identifier(value.column) + " = " + value.constant);
        if (!updated) return updated.error();
    }
    return Done{};
}

namespace {

struct Place {
    std::size_t from = 0, to = 0;
};

bool is_one_of(const std::string& word, const std::vector<std::string_view>& those) {
    return std::find(those.begin(), those.end(), word) != those.end();
}

// Where the expression stands that ADD COLUMN gives that column for its default. What may follow it
// in a column's definition ends it.
class DefaultFinder {
public:
    DefaultFinder(std::string_view command, const std::string& column)
        : command_(command), column_(column) {}

    std::optional<Place> find() {
        SqlScanner scanner{command_};
        while (!scanner.done()) {
            const std::size_t from = scanner.at();
            const SqlScanner::Piece piece = scanner.next();
            if (piece == SqlScanner::Piece::space || piece == SqlScanner::Piece::comment) continue;
            const std::string_view text = command_.substr(from, scanner.at() - from);
            if (text == "(" || text == "[") ++depth_;
            if (text == ")" || text == "]") --depth_;
            take(piece, text, from);
            if (state_ == State::ended) return found_;
            last_ = scanner.at();
        }
        if (state_ != State::expression || found_.from == 0) return std::nullopt;
        found_.to = last_;
        return found_;
    }

private:
    enum class State { between, added, of_column, expression, ended };

    void take(SqlScanner::Piece piece, std::string_view text, std::size_t from) {
        const bool outside = depth_ == 0;
        const std::string word = piece == SqlScanner::Piece::word ? upper(text) : std::string{};
        switch (state_) {
            case State::between:
                if (outside && word == "ADD") state_ = State::added;
                break;
            case State::added:
                if (is_one_of(word, {"COLUMN", "IF", "NOT", "EXISTS"})) break;
                state_ = sql_name(text) == column_ ? State::of_column : State::between;
                break;
            case State::of_column:
                if (outside && text == ",") state_ = State::between;
                if (outside && word == "DEFAULT") state_ = State::expression;
                break;
            case State::expression:
                if (found_.from == 0) {
                    found_.from = from;
                } else if (outside && (text == "," || is_one_of(word,
                                                                {"NOT",
                                                                 "NULL",
                                                                 "CONSTRAINT",
                                                                 "CHECK",
                                                                 "UNIQUE",
                                                                 "PRIMARY",
                                                                 "REFERENCES",
                                                                 "DEFERRABLE",
                                                                 "INITIALLY",
                                                                 "COLLATE"}))) {
                    found_.to = last_;
                    state_ = State::ended;
                }
                break;
            case State::ended:
                break;
        }
    }

    std::string_view command_;
    const std::string& column_;
    State state_ = State::between;
    int depth_ = 0;
    std::size_t last_ = 0;  // Where the piece before ended.
    Place found_;
};

}  // namespace

std::optional<WithConstants> with_constants(std::string_view command,
                                            const DdlRecord& record,
                                            const std::vector<NewValue>& values) {
    constexpr std::string_view of_table = "table ";
    if (record.tag != "ALTER TABLE" || record.objects.size() != 1 ||
        !record.objects.front().starts_with(of_table))
        return std::nullopt;
    const std::string table = record.objects.front().substr(of_table.size());
    WithConstants result{std::string{command}, {}};
    std::vector<std::string> done;
    for (const NewValue& value : values) {
        // Partitions have the same column, with the same value.
        if (std::find(done.begin(), done.end(), value.column) != done.end()) continue;
        done.push_back(value.column);
        const auto place = DefaultFinder{result.command, value.column}.find();
        if (!place) return std::nullopt;
        result.then.push_back("ALTER TABLE " + table + " ALTER COLUMN " +
                              quote_identifier(value.column) + " SET DEFAULT " +
                              result.command.substr(place->from, place->to - place->from));
        result.command.replace(place->from, place->to - place->from, value.constant);
    }
    return result;
}

}  // namespace segue::backfill::postgres
