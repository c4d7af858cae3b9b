#include "backfill/postgres/volatility_catalog.hpp"

#include <map>
#include <utility>

#include "backfill/postgres/text_array.hpp"
#include "protocol/postgres/classify.hpp"

namespace segue::backfill::postgres {

namespace {

using protocol::postgres::classify;
using protocol::postgres::FunctionFacts;
using protocol::postgres::ReadCatalog;
using protocol::postgres::RelationFacts;
using protocol::postgres::Volatility;

// Worst volatility over all overloads. An aggregate is as volatile as what it is made of; one that
// did not come with the server may depend on the order of rows, which is as good as stable here.
constexpr const char* functions_query = R"sql(
SELECT p.proname,
       max(greatest(strpos('isv', p.provolatile::text) - 1,
                    CASE WHEN p.prokind = 'a' AND n.nspname <> 'pg_catalog' THEN 1 ELSE 0 END,
                    strpos('isv', coalesce(t.provolatile::text, 'i')) - 1,
                    strpos('isv', coalesce(f.provolatile::text, 'i')) - 1)) AS worst,
       bool_and(n.nspname = 'pg_catalog') AS built_in,
       bool_or(p.pronargs > 0 AND p.pronargs - p.pronargdefaults <= 1
               AND (a.typtype IN ('c', 'p'))) AS takes_row
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
LEFT JOIN pg_aggregate g ON g.aggfnoid = p.oid
LEFT JOIN pg_proc t ON t.oid = g.aggtransfn LEFT JOIN pg_proc f ON f.oid = g.aggfinalfn
LEFT JOIN pg_type a ON p.pronargs > 0 AND a.oid = p.proargtypes[0]
GROUP BY p.proname ORDER BY p.proname)sql";

// A table is moved when it and all its partitions and children are permanent, of a user's schema,
// not excluded and no extension's.
constexpr const char* relations_query = R"sql(
WITH RECURSIVE odd AS (
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind NOT IN ('r', 'p', 'v') OR c.relpersistence <> 'p'
       OR n.nspname IN ('pg_catalog', 'information_schema', 'segue')
       OR n.nspname || '.' || c.relname = ANY ($1::text[])
       OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                  AND d.deptype = 'e')
    UNION SELECT i.inhparent FROM odd JOIN pg_inherits i ON i.inhrelid = odd.oid)
SELECT c.oid, n.nspname, c.relname,
       c.relkind IN ('r', 'p') AND c.oid NOT IN (SELECT oid FROM odd) AS moved,
       c.relkind = 'v' AS view,
       CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END AS definition
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY c.oid)sql";

constexpr const char* policies_query = R"sql(
SELECT p.polrelid, 'SELECT ' || pg_get_expr(p.polqual, p.polrelid)
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
WHERE c.relrowsecurity AND p.polcmd IN ('r', '*') AND p.polqual IS NOT NULL ORDER BY p.oid)sql";

// One row a column, index by index.
constexpr const char* unique_keys_query = R"sql(
SELECT i.indrelid, i.indexrelid, a.attname
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, position)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
  AND k.position <= i.indnkeyatts AND c.relkind IN ('r', 'p')
  AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) AS n (number)
                  JOIN pg_attribute b ON b.attrelid = i.indrelid AND b.attnum = n.number WHERE NOT b.attnotnull)
ORDER BY i.indexrelid, k.position)sql";

constexpr const char* operators_query = R"sql(
SELECT DISTINCT o.oprname FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
WHERE p.provolatile = 'v' ORDER BY 1)sql";

// Explicit and assignment casts count for the types they are between.
constexpr const char* types_query = R"sql(
SELECT DISTINCT t.typname, NULL::text FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc
JOIN pg_type t ON t.oid IN (c.castsource, c.casttarget)
WHERE p.provolatile = 'v' AND c.oid >= 16384
UNION ALL
SELECT t.typname, 'SELECT ' || pg_get_expr(c.conbin, 0) FROM pg_constraint c JOIN pg_type t ON t.oid = c.contypid
WHERE c.conbin IS NOT NULL AND t.typnamespace <> 'information_schema'::regnamespace
ORDER BY 1, 2)sql";

// What functions of the database's own are made of is searched for words that could change a
// session; a language that we cannot read may do anything.
constexpr const char* flags_query = R"sql(
SELECT EXISTS (SELECT FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc
               WHERE c.castcontext = 'i' AND p.provolatile = 'v' AND c.oid >= 16384)
    OR EXISTS (SELECT FROM pg_amproc a JOIN pg_proc p ON p.oid = a.amproc
               WHERE p.provolatile = 'v' AND a.oid >= 16384),
       EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
               JOIN pg_language l ON l.oid = p.prolang
               WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'segue')
                 AND l.lanname NOT IN ('internal', 'c')
                 AND (l.lanname NOT IN ('sql', 'plpgsql') OR p.prosrc ~*
                      'set_config|\mtemp\M|\mtemporary\M|pg_temp|\mexecute\M|\mdiscard\M|\mreset\M|\mrole\M|(^|;|\mbegin\M|\mthen\M|\melse\M)\s*set\s')))sql";

// Runs queries and remembers a hash of all answers.
class Reader {
public:
    explicit Reader(Connection& connection) : connection_(connection) {}

    Result<Rows> read(const char* query, const Parameters& parameters = {}) {
        Result<Rows> rows = connection_.execute(query, parameters);
        if (!rows) return rows;
        const int columns = PQnfields(rows->raw());
        for (int row = 0; row < rows->size(); ++row) {
            for (int column = 0; column < columns; ++column) {
                const std::string_view value = rows->at(row, column);
                const auto size = static_cast<std::uint64_t>(value.size());
                hash_.update(std::as_bytes(std::span{&size, 1}));
                hash_.update(bytes(value));
            }
        }
        return rows;
    }
    Hash128 mark() const { return hash_.finish(); }

private:
    Connection& connection_;
    HashStream hash_;
};

Status load_functions(Reader& reader, ReadCatalog& catalog) {
    const Result<Rows> rows = reader.read(functions_query);
    if (!rows) return rows.error();
    for (int i = 0; i < rows->size(); ++i) {
        FunctionFacts facts;
        const long long worst = rows->number(i, 1);
        facts.worst = worst == 0   ? Volatility::immutable_
                      : worst == 1 ? Volatility::stable
                                   : Volatility::volatile_;
        facts.built_in = rows->truth(i, 2);
        facts.takes_row = rows->truth(i, 3);
        catalog.functions.emplace(rows->text(i, 0), facts);
    }
    return Done{};
}

Status load_relations(Reader& reader,
                      const std::vector<std::string>& exclude,
                      ReadCatalog& catalog) {
    const Result<Rows> relations = reader.read(relations_query, {text_array(exclude)});
    if (!relations) return relations.error();
    std::map<std::string, std::pair<std::string, RelationFacts>> by_oid;
    for (int i = 0; i < relations->size(); ++i) {
        RelationFacts facts;
        facts.schema = relations->text(i, 1);
        facts.table = relations->truth(i, 3);
        facts.view = relations->truth(i, 4);
        if (facts.view) facts.hidden.push_back(classify(relations->at(i, 5)));
        by_oid.emplace(relations->text(i, 0), std::pair{relations->text(i, 2), std::move(facts)});
    }
    const Result<Rows> policies = reader.read(policies_query);
    if (!policies) return policies.error();
    for (int i = 0; i < policies->size(); ++i) {
        const auto found = by_oid.find(policies->text(i, 0));
        if (found != by_oid.end())
            found->second.second.hidden.push_back(classify(policies->at(i, 1)));
    }
    const Result<Rows> keys = reader.read(unique_keys_query);
    if (!keys) return keys.error();
    for (int i = 0; i < keys->size(); ++i) {
        const auto found = by_oid.find(keys->text(i, 0));
        if (found == by_oid.end()) continue;
        auto& unique_keys = found->second.second.unique_keys;
        if (i == 0 || keys->at(i, 1) != keys->at(i - 1, 1)) unique_keys.emplace_back();
        unique_keys.back().push_back(keys->text(i, 2));
    }
    for (auto& [oid, relation] : by_oid) {
        catalog.relations[relation.first].push_back(std::move(relation.second));
    }
    return Done{};
}

Status load_the_rest(Reader& reader, ReadCatalog& catalog) {
    const Result<Rows> operators = reader.read(operators_query);
    if (!operators) return operators.error();
    for (int i = 0; i < operators->size(); ++i)
        catalog.volatile_operators.insert(operators->text(i, 0));

    const Result<Rows> flags = reader.read(flags_query);
    if (!flags) return flags.error();
    catalog.hidden_calls = flags->truth(0, 0);
    catalog.functions_change_session = flags->truth(0, 1);

    // Last: a domain's check is judged by everything that is known.
    const Result<Rows> types = reader.read(types_query);
    if (!types) return types.error();
    for (int i = 0; i < types->size(); ++i) {
        const bool harmless =
            !types->null(i, 1) && judge(classify(types->at(i, 1)), catalog).follower;
        if (!harmless) catalog.volatile_types.insert(types->text(i, 0));
    }
    return Done{};
}

}  // namespace

Result<LoadedCatalog> load_read_catalog(Connection& connection,
                                        const std::vector<std::string>& exclude) {
    Reader reader{connection};
    LoadedCatalog loaded;
    if (const Status done = load_functions(reader, loaded.catalog); !done) return done.error();
    if (const Status done = load_relations(reader, exclude, loaded.catalog); !done)
        return done.error();
    if (const Status done = load_the_rest(reader, loaded.catalog); !done) return done.error();
    loaded.mark = reader.mark();
    return loaded;
}

}  // namespace segue::backfill::postgres
