// Any text as a statement: nothing crashes, names come only from what was understood, the answer is
// the same twice.

#include "protocol/postgres/classify.hpp"
#include "protocol/postgres/prepare_text.hpp"
#include "protocol/postgres/statement_hints.hpp"
#include "protocol/postgres/volatility.hpp"
#include "tests/fuzz/seeds.hpp"

using namespace segue;
using namespace segue::protocol::postgres;
using namespace std::literals;

std::vector<std::string_view> fuzz::seeds() {
    return {
        "select 1"sv,
        "select a.b, count(*) from s.t a join u using (id) where x = $1 group by 1 order by 2 limit 3"sv,
        "with w as (delete from t returning *) select * from w"sv,
        "select * from t for update"sv,
        "insert into t values (1) on conflict do nothing"sv,
        "begin; select 1; commit"sv,
        "set my.tenant = 'x'"sv,
        "select set_config('a' || 'b', 'c', false)"sv,
        "prepare p(int) as select $1; execute p(1)"sv,
        "select $$a;b$$ /* ; /* ; */ */ -- ;\n; select 'it''s', E'\\';'"sv,
        "explain analyze update t set a = 1"sv,
        "select ((((((((((1))))))))))"sv,
        "select x::regclass, ctid, now() from t tablesample system (1)"sv};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text = fuzz::text_of(data, size);
    const Statement statement = classify(text);
    fuzz::require(statement == classify(text));
    if (!statement.names_known)
        fuzz::require(statement.functions.empty() && statement.relations.empty());
    const ReadCatalog nothing_known;
    const Judgement judgement = judge(statement, nothing_known);
    if (statement.kind != StatementKind::read) fuzz::require(!judgement.follower);
    fuzz::require(judgement.follower || !judgement.comparable);

    for (const bool escapes : {false, true}) {
        for (const std::string_view part : split_statements(text, escapes)) {
            fuzz::require(part.empty() || (part.data() >= text.data() &&
                                           part.data() + part.size() <= text.data() + size));
        }
        (void)find_prepare(text, "p", escapes);
    }
    StateHints hints;
    hints.scan(text);
    fuzz::require(hints.custom_settings().size() <= StateHints::custom_settings_max);
    return 0;
}
