#include "tests/random/values.hpp"

namespace segue::test {

const char* const own_types_sql = R"sql(
CREATE SCHEMA "Odd types";
CREATE TYPE "Odd types"."Mood" AS ENUM ('calm', 'busy', 'O''Reilly "mad"', 'a,b{c}\d', '');
CREATE DOMAIN "Odd types".positive AS int4 CHECK (VALUE > 0);
CREATE DOMAIN "Odd types".words AS text[] CHECK (array_position(VALUE, 'never') IS NULL);
CREATE TYPE "Odd types".pair AS (a int4, "B ""b""" text);
CREATE TYPE "Odd types".floats AS RANGE (subtype = float8);
CREATE COLLATION "Odd types".folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
)sql";

namespace {

const std::vector<ValueType> numbers = {
    {"int2", true, "(($) % 30000 - 30)::int2", {"'-32768'::int2", "32767::int2"}},
    {"int4", true, "($ - 25)", {"'-2147483648'::int4", "2147483647"}},
    {"int8", true, "$::int8 * 4294967311", {"'-9223372036854775808'::int8"}},
    {"numeric", true, "$ / 7.0", {"'NaN'::numeric", "'Infinity'::numeric", "1.0", "-0.000"}},
    {"numeric(12,3)", true, "round($ / 7.0, 3)", {"'NaN'::numeric"}},
    {"float4", true, "($ / 7.0)::float4", {"'NaN'::float4", "'-0'::float4", "1e-37::float4"}},
    {"float8", true, "($ / 7.0)::float8", {"'NaN'::float8", "'-0'::float8", "'-Infinity'::float8"}},
    {"money", true, "($)::int4::money"},
    {"bool", true, "(($) % 2 = 0)"},
    {"\"Odd types\".positive", true, "($ + 1)"},
};

const std::vector<ValueType> texts = {
    {"text",
     true,
     "'text $'",
     {"''", R"(E'a\tb\nc\\N')", R"('"q" {a,b} (c) NULL \')", "U&'\\20AC'"}},
    {"text COLLATE \"C\"", true, "'c$'", {"''", "'NULL'", "'\\N'", "' '"}},
    {"text COLLATE \"Odd types\".folded", true, "'Fold$'", {"''", "'folD0'"}},
    {"varchar(20)", true, "'var $'", {"''", "'  '"}},
    {"char(7)", true, "'c$'", {"''", "'a b'"}},
    {"char(3)[]", false, "ARRAY['$', NULL, 'x']::char(3)[]"},
    {"name", true, "'name $'::name", {"''::name"}},
    {"\"char\"", true, "chr(65 + ($) % 26)::\"char\"", {"''::\"char\"", "'\\377'::\"char\""}},
    {"bytea", true, "decode(md5('$'), 'hex')", {"''::bytea", "'\\x00'::bytea", "'\\x5c27'::bytea"}},
    {"text", false, "(SELECT string_agg(md5(i * $ || 't'), '') FROM generate_series(1, 150) i)"},
    {"bytea", false, "decode(repeat(md5('$'), 300), 'hex')", {"''::bytea"}},
    {"jsonb", false, "jsonb_build_object('big', repeat(md5('$'), 200))", {"'null'::jsonb"}},
    {"jsonb", true, "jsonb_build_object('k', $, 'n', NULL, 't', E'tab\\t')", {"'{}'::jsonb"}},
    {"json", false, "('{\"k\":  $, \"k\": [1 ,2]}')::json", {"' null '::json"}},
    {"xml", false, "('<a n=\"$\">&lt;x</a>')::xml", {"''::xml"}},
    {"tsvector", true, "to_tsvector('simple', 'word $')", {"''::tsvector"}},
    {"tsquery", false, "to_tsquery('simple', 'a$ & !b')"},
    {"\"Odd types\".\"Mood\"", true, "(enum_range(NULL::\"Odd types\".\"Mood\"))[1 + ($) % 5]"},
};

const std::vector<ValueType> times = {
    {"date", true, "'2020-01-01'::date + $", {"'infinity'::date", "'0044-03-15 BC'::date"}},
    {"timestamp",
     true,
     "'2020-01-01'::timestamp + ($) * interval '1 hour 1 microsecond'",
     {"'-infinity'::timestamp", "'4714-11-24 BC'::timestamp"}},
    {"timestamptz",
     true,
     "'2020-01-01 00:00Z'::timestamptz + ($) * interval '1 hour 0.5 second'",
     {"'infinity'::timestamptz", "'0001-01-01 BC'::timestamptz"}},
    {"timestamp(0)", true, "'2020-01-01'::timestamp + ($) * interval '0.7 second'"},
    {"time", true, "'00:00'::time + ($) * interval '1 minute'", {"'24:00'::time"}},
    {"timetz", true, "'12:00+02'::timetz + ($) * interval '1 minute'", {"'24:00-15:59'::timetz"}},
    {"interval",
     true,
     "($) * interval '1 mon 1 day 1.5 sec'",
     {"'30 days'::interval", "'1 mon'::interval"}},
    {"date[]", true, "ARRAY['2020-01-01'::date + $, NULL]"},
};

const std::vector<ValueType> others = {
    {"uuid", true, "md5('$')::uuid"},
    {"inet", true, "'10.0.0.0/8'::inet + $", {"'::1'::inet", "'10.0.0.1/32'::inet"}},
    {"cidr", true, "set_masklen('10.0.0.0'::cidr + ($) * 256, 24)::cidr"},
    {"macaddr", true, "('08:00:2b:00:00:' || lpad(to_hex(($) % 256), 2, '0'))::macaddr"},
    {"bit(8)", true, "($)::bit(8)"},
    {"bit varying(20)", true, "($)::bit(12)::varbit", {"''::varbit"}},
    {"point", false, "point($, 0.1)"},
    {"circle", false, "circle(point($, 1), 2)"},
    {"path", false, "('[(0,0),($,1)]')::path"},
    {"polygon", false, "('((0,0),($,1),(2,2))')::polygon"},
    {"int4[]",
     true,
     "ARRAY[$, NULL, 7]",
     {"'{}'::int4[]", "'[0:1]={1,2}'::int4[]", "'{{1,2},{3,4}}'::int4[]"}},
    {"text[]", true, R"(ARRAY['a,$', NULL, '"q"', E'b\\s', '', 'NULL'])", {"'{}'::text[]"}},
    {"int4range", true, "int4range($, $ + 10)", {"'empty'::int4range", "'(,)'::int4range"}},
    {"numrange", true, "numrange($ / 7.0, NULL, '(]')"},
    {"tstzrange",
     true,
     "tstzrange('2020-01-01Z'::timestamptz + ($) * interval '1 day', 'infinity')"},
    {"int4multirange", true, "int4multirange(int4range($, $ + 2), int4range(500, NULL))"},
    {"\"Odd types\".floats", true, "\"Odd types\".floats($ / 7.0, 'Infinity')"},
    {"\"Odd types\".pair",
     true,
     R"(ROW($, 'p,"$)')::"Odd types".pair)",
     {"ROW(NULL, '')::\"Odd types\".pair"}},
    {"\"Odd types\".pair[]", true, "ARRAY[ROW($, E'\\\\')::\"Odd types\".pair]"},
    {"\"Odd types\".words", true, "ARRAY['w$']::\"Odd types\".words"},
    {"\"Odd types\".\"Mood\"[]",
     true,
     "ARRAY['busy', (enum_range(NULL::\"Odd types\".\"Mood\"))[1 + ($) % 5]]"},
    {"regtype", false, "(ARRAY['int4', 'text', '\"Odd types\".pair'])[1 + ($) % 3]::regtype"},
};

std::vector<ValueType> all_types() {
    std::vector<ValueType> all;
    for (const auto& group : {numbers, texts, times, others})
        all.insert(all.end(), group.begin(), group.end());
    return all;
}

}  // namespace

const std::vector<ValueType>& value_types() {
    static const std::vector<ValueType> types = all_types();
    return types;
}

std::string value(const ValueType& type, unsigned n) {
    if (n < type.special.size()) return type.special[n];
    std::string sql;
    for (const char c : type.expression) {
        if (c == '$')
            sql += std::to_string(n);
        else
            sql += c;
    }
    return sql;
}

}  // namespace segue::test
