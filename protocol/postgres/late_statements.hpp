#pragma once
// Prepared statements of a session that could not be prepared on the connection it moved to,
// because their own server could not execute them either at that moment: a temporary table, say,
// that each transaction makes anew. They are prepared when the client next uses them, in front of
// that very message, so that it succeeds or fails as it would have on a server that had them all
// along. It stands in a connection's bytes, in both directions, and takes what answers its own
// messages out of them.
//
// Statements are known by the protocol's names; a use by SQL's EXECUTE or DEALLOCATE is not seen.
// In a pipeline the first use of a statement prepares it for those behind it. Where the two
// directions fall out of step (errors, COPY) they are brought in step as in StatementTypesBook.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/bytes.hpp"

namespace segue::protocol::postgres {

struct LateStatement {
    std::string name;
    std::string parse;  // The whole Parse message. Its types are built-in ones.
    friend bool operator==(const LateStatement&, const LateStatement&) = default;
};

class LateStatements {
public:
    explicit LateStatements(const std::vector<LateStatement>& statements);

    // What may go on now; valid until the next call of the same function, and as long as `slice`.
    // The head of a message is held back until the statement that it names is known.
    Bytes to_server(Bytes slice);
    Bytes to_client(Bytes slice);

    // Nothing is under way in either direction.
    void settle();
    // False: they have all been prepared or given up, and nothing of theirs is under way.
    bool needed() const {
        return !statements_.empty() || !awaited_.empty() || !from_client_.held.empty() ||
               !from_server_.held.empty();
    }
    // Those that still are to be prepared, by name.
    std::vector<LateStatement> statements() const;

private:
    // Of a message in which names come late or never; it is passed on as it is.
    static constexpr std::size_t head_size_max = 1024;
    // So many characters tell a server's statements apart.
    static constexpr std::size_t name_size_max = 63;

    struct Entry {
        std::string parse;
        bool sent = false;
    };
    enum class Awaited : std::uint8_t { parse, own_parse, ready };
    struct Answer {
        Awaited what;
        std::string name;  // Of an own parse.
    };
    // A direction's place in its stream.
    struct Stream {
        std::string held;  // The beginning of a message that is not judged yet.
        std::string joined, edited;
        std::uint64_t body_rest = 0;
    };
    // What becomes of a message: the text goes in front of it, or it is dropped; null: more of it
    // is needed.
    struct Verdict {
        std::string insert;
        bool drop = false;
    };

    template <class Judge>
    Bytes edit(Stream& stream, Bytes slice, Judge judge);
    std::optional<Verdict> judge_client(char tag, Bytes body, std::uint64_t body_size);
    std::optional<Verdict> judge_server(char tag, Bytes body, std::uint64_t body_size);
    std::string use(const std::string& name);
    bool parse_completed();
    void failed();
    void ready();
    void drop_front();

    std::map<std::string, Entry> statements_;
    std::deque<Answer> awaited_;
    Stream from_client_, from_server_;
    bool skipping_ = false;  // The server discards up to a Sync that has not been sent yet.
};

}  // namespace segue::protocol::postgres
