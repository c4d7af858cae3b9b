#include "tests/support/healthy_schemas.hpp"

#include <iterator>

namespace segue::test {

namespace {

constexpr HealthySchema tables[] = {
    {"partitions",
     R"sql(
        CREATE TABLE sale (id bigint GENERATED ALWAYS AS IDENTITY, at date NOT NULL, region text NOT NULL, amount numeric(10, 2),
                           PRIMARY KEY (id, at, region)) PARTITION BY RANGE (at);
        CREATE TABLE sale_old PARTITION OF sale FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
        CREATE TABLE sale_new PARTITION OF sale FOR VALUES FROM ('2020-01-01') TO ('2030-01-01') PARTITION BY LIST (region);
        CREATE TABLE sale_new_eu PARTITION OF sale_new FOR VALUES IN ('eu', 'uk');
        CREATE TABLE sale_new_rest PARTITION OF sale_new DEFAULT PARTITION BY HASH (id);
        CREATE TABLE sale_new_rest_0 PARTITION OF sale_new_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE sale_new_rest_1 PARTITION OF sale_new_rest FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        CREATE TABLE sale_default PARTITION OF sale DEFAULT;
        CREATE TABLE sale_late (amount numeric(10, 2), region text NOT NULL, gone int, at date NOT NULL, id bigint NOT NULL);
        ALTER TABLE sale_late DROP gone; ALTER TABLE sale ATTACH PARTITION sale_late FOR VALUES FROM ('2040-01-01') TO ('2050-01-01');
        CREATE INDEX sale_amount ON sale (amount) WHERE amount > 0; CREATE UNIQUE INDEX sale_old_only ON sale_old (id);
        CREATE INDEX sale_lazy ON ONLY sale (region);
        CREATE TABLE refund (sale bigint, at date, region text, FOREIGN KEY (sale, at, region) REFERENCES sale) PARTITION BY LIST (region);
        CREATE TABLE refund_all PARTITION OF refund DEFAULT;
        INSERT INTO sale (at, region, amount) SELECT '2018-01-01'::date + g * 30, (ARRAY['eu', 'us', 'jp'])[1 + g % 3], g
            FROM generate_series(1, 300) g;
        INSERT INTO refund SELECT id, at, region FROM sale WHERE id % 7 = 0)sql",
     "INSERT INTO sale (at, region, amount) VALUES ('2045-05-05', 'eu', 1), ('2025-05-05', 'us', "
     "2), ('2019-05-05', 'eu', 3);"
     "UPDATE sale SET at = at + 3650, amount = amount + 1 WHERE id = (SELECT min(id) FROM sale "
     "WHERE id % 7 <> 0)"},
    {"heirs",
     R"sql(
        CREATE TABLE animal (id serial PRIMARY KEY, name text NOT NULL, CONSTRAINT named CHECK (name <> '') NO INHERIT);
        CREATE TABLE owned (owner text DEFAULT 'nobody');
        CREATE TABLE dog (barks boolean DEFAULT true, PRIMARY KEY (id)) INHERITS (animal, owned);
        CREATE TABLE puppy (born date) INHERITS (dog);
        INSERT INTO animal (name) VALUES ('ant'), ('bee'); INSERT INTO dog (name) VALUES ('rex'), ('');
        INSERT INTO puppy (name, born) VALUES ('tip', '2024-02-29'); INSERT INTO owned VALUES ('me'), ('me'))sql",
     "UPDATE animal SET name = name || '!'; INSERT INTO dog (name) VALUES ('max'); UPDATE owned "
     "SET owner = upper(owner)"},
    {"domains",
     R"sql(
        CREATE DOMAIN positive AS int DEFAULT 1 NOT NULL CHECK (VALUE > 0); CREATE DOMAIN small AS positive CHECK (VALUE < 1000);
        CREATE DOMAIN letters AS text COLLATE "C" CHECK (VALUE ~ '^[a-z]*$'); CREATE DOMAIN numbers AS int[] CHECK (cardinality(VALUE) < 9);
        CREATE TYPE mood AS ENUM ('sad', 'so so', 'o''key', 'glad'); ALTER TYPE mood RENAME VALUE 'sad' TO 'unhappy';
        CREATE TYPE point3 AS (x small, y double precision, label letters, moods mood[]);
        CREATE TYPE seconds AS RANGE (subtype = time); CREATE TYPE money_range AS RANGE (subtype = numeric, subtype_opclass = numeric_ops);
        CREATE TABLE thing (s small PRIMARY KEY, l letters, n numbers, m mood, ms mood[], p point3, ps point3[], t seconds,
                            r money_range, mr nummultirange, f int4range DEFAULT '[1,5)', at tstzrange);
        INSERT INTO thing VALUES (1, 'abc', '{1,NULL,3}', 'glad', '{unhappy,"so so"}', '(7,1.5,q,"{glad}")', '{"(8,,,)",NULL}', '[10:00,11:00)',
            '(,5]', '{[1,2),[5,6)}', DEFAULT, '[2020-01-01,)'), (2, NULL, NULL, NULL, '{}', NULL, '{}', 'empty', 'empty', '{}', 'empty', NULL);
        CREATE TABLE by_enum (m mood PRIMARY KEY, p point3); INSERT INTO by_enum VALUES ('unhappy'), ('glad');
        CREATE TABLE by_range (r int4range PRIMARY KEY); INSERT INTO by_range VALUES ('[1,3)'), ('empty'))sql",
     "INSERT INTO thing (s, p, ps) VALUES ((SELECT max(s) + 1 FROM thing), '(1,NaN,\"\",{})', "
     "'{\"(1,2,z,{unhappy})\"}');"
     "UPDATE thing SET mr = mr + '{}', m = 'o''key', n = '{5}' WHERE s = 1; UPDATE by_range SET r "
     "= '[7,9)' WHERE r = '[1,3)'"},
    {"exclusion",
     R"sql(
        CREATE TABLE booking (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), room int NOT NULL, during tstzrange NOT NULL,
            seat int, place int UNIQUE DEFERRABLE INITIALLY DEFERRED, EXCLUDE USING gist (room WITH =, during WITH &&) WHERE (seat IS NULL),
            EXCLUDE USING gist (during WITH &&, seat WITH =) DEFERRABLE);
        INSERT INTO booking (room, during, place) SELECT g % 9, tstzrange(now() + g * interval '1 hour', now() + (g + 1) * interval '1 hour'), g
            FROM generate_series(1, 60) g;
        CREATE TABLE swapped (id int PRIMARY KEY DEFERRABLE, v int UNIQUE DEFERRABLE); INSERT INTO swapped SELECT g, -g FROM generate_series(1, 9) g)sql",
     "BEGIN; UPDATE booking SET place = 61 - place; UPDATE swapped SET v = -10 - v; COMMIT;"
     "DELETE FROM booking WHERE place = 1; INSERT INTO booking (room, during, place) SELECT "
     "max(room) + 1, '[2000-01-01,2000-01-02)', 1 FROM booking"},
    {"identities",
     R"sql(
        CREATE SEQUENCE shared AS smallint INCREMENT -3 MINVALUE -30000 MAXVALUE -1 START -5 CYCLE CACHE 4; CREATE SEQUENCE unused;
        CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 10) PRIMARY KEY, n int DEFAULT nextval('shared'),
                        twice int GENERATED ALWAYS AS (n * 2) STORED, note text);
        CREATE TABLE b (s smallserial PRIMARY KEY, i serial, g bigserial, d bigint GENERATED BY DEFAULT AS IDENTITY, n int DEFAULT nextval('shared'),
                        whole text GENERATED ALWAYS AS (s || '/' || i) STORED);
        CREATE TABLE generated_key (i int NOT NULL UNIQUE, k int GENERATED ALWAYS AS (i + 1) STORED PRIMARY KEY);
        ALTER TABLE generated_key REPLICA IDENTITY USING INDEX generated_key_i_key;
        INSERT INTO a (note) VALUES ('x'), (NULL); INSERT INTO b DEFAULT VALUES; INSERT INTO generated_key VALUES (1), (5))sql",
     "INSERT INTO a (note) VALUES (repeat('y', 9000)); UPDATE a SET n = n + 1; INSERT INTO b "
     "DEFAULT VALUES;"
     "UPDATE generated_key SET i = (SELECT max(i) + 100 FROM generated_key) WHERE i = (SELECT min(i) "
     "FROM generated_key); INSERT INTO generated_key VALUES ((SELECT max(i) + 7 FROM "
     "generated_key))"},
    {"policies",
     R"sql(
        CREATE TABLE account (id int PRIMARY KEY, owner name NOT NULL DEFAULT current_user, balance money, secret text);
        ALTER TABLE account ENABLE ROW LEVEL SECURITY; ALTER TABLE account FORCE ROW LEVEL SECURITY;
        CREATE POLICY mine ON account USING (owner = current_user) WITH CHECK (owner = current_user);
        CREATE POLICY cautious ON account AS RESTRICTIVE FOR DELETE TO app USING (balance = 0::money);
        INSERT INTO account SELECT g, 'app', g::money, 's' FROM generate_series(1, 20) g;
        GRANT SELECT (id, owner), UPDATE (balance) ON account TO clerk; GRANT USAGE ON SCHEMA policies TO clerk WITH GRANT OPTION;
        ALTER DEFAULT PRIVILEGES IN SCHEMA policies GRANT SELECT, INSERT ON TABLES TO clerk;
        ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
        CREATE TABLE after_defaults (i int PRIMARY KEY); REVOKE ALL ON after_defaults FROM app; GRANT ALL ON after_defaults TO app)sql",
     "UPDATE account SET balance = balance + 1::money; DELETE FROM account WHERE id = 3; INSERT "
     "INTO after_defaults SELECT count(*) FROM after_defaults"},
    {"search",
     R"sql(
        CREATE TEXT SEARCH DICTIONARY stems (TEMPLATE = snowball, LANGUAGE = english);
        CREATE TEXT SEARCH CONFIGURATION english_plain (COPY = pg_catalog.english);
        ALTER TEXT SEARCH CONFIGURATION english_plain ALTER MAPPING FOR asciiword WITH stems;
        CREATE TABLE page (id int PRIMARY KEY, title text NOT NULL, body text, q tsquery,
            words tsvector GENERATED ALWAYS AS (setweight(to_tsvector('pg_catalog.english', title), 'A') || to_tsvector('pg_catalog.simple', coalesce(body, ''))) STORED);
        CREATE INDEX page_words ON page USING gin (words); CREATE INDEX page_title ON page USING gist (title gist_trgm_ops);
        CREATE INDEX page_ours ON page USING gin (to_tsvector('search.english_plain', title));
        INSERT INTO page SELECT g, 'page ' || g, repeat('the quick brown fox ', g), 'fox & !dog' FROM generate_series(1, 50) g)sql",
     "UPDATE page SET title = title || ' jumping', q = 'a <-> b' WHERE id % 5 = 0; INSERT INTO "
     "page SELECT max(id) + 1, 'new' FROM page"},
    {"extensions",
     R"sql(
        CREATE TABLE member (email citext PRIMARY KEY, tags hstore, path ltree, ref uuid DEFAULT uuid_generate_v4(), pw text, nums int[]);
        CREATE INDEX member_tags ON member USING gin (tags); CREATE INDEX member_path ON member USING gist (path);
        CREATE INDEX member_like ON member USING gin (pw gin_trgm_ops); CREATE INDEX member_nums ON member USING gin (nums gin__int_ops);
        CREATE UNIQUE INDEX member_ref ON member (ref) INCLUDE (pw);
        INSERT INTO member SELECT 'User' || g || '@example.org', hstore('k', NULL::text) || hstore('n', g::text), ('top.n' || g)::ltree,
            uuid_generate_v4(), encode(digest(g::text, 'sha256'), 'hex'), ARRAY[g, g + 1] FROM generate_series(1, 40) g;
        CREATE TABLE kept (h hstore PRIMARY KEY, l ltree[], c citext[] CHECK (cardinality(c) < 5)); INSERT INTO kept VALUES ('a=>1', '{a.b,c}', '{A,a}'))sql",
     "UPDATE member SET tags = tags || 'x=>y', email = upper(email) WHERE email = "
     "'user7@example.org';"
     "DELETE FROM member WHERE path ~ '*.n9'; UPDATE kept SET c = c || 'Z'::citext WHERE "
     "cardinality(c) < 4"},
};

constexpr HealthySchema behaviour[] = {
    {"views",
     R"sql(
        CREATE TABLE base (id int PRIMARY KEY, v int, kind varchar(10)); CREATE TABLE log (id int, was int);
        CREATE VIEW positive WITH (security_barrier) AS SELECT * FROM base WHERE v > 0 WITH CASCADED CHECK OPTION;
        CREATE RECURSIVE VIEW counted (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counted WHERE n < 5;
        CREATE MATERIALIZED VIEW sums AS SELECT kind, sum(v) AS total FROM base GROUP BY kind; CREATE UNIQUE INDEX sums_kind ON sums (kind);
        CREATE MATERIALIZED VIEW sums_of_sums AS SELECT sum(total) FROM sums; CREATE MATERIALIZED VIEW asleep AS SELECT 1 AS one WITH NO DATA;
        CREATE RULE remember AS ON UPDATE TO base DO ALSO INSERT INTO log VALUES (OLD.id, OLD.v);
        CREATE VIEW writable AS SELECT id, v FROM base; CREATE RULE into_base AS ON INSERT TO writable DO INSTEAD INSERT INTO base VALUES (NEW.id, NEW.v, 'rule');
        CREATE VIEW chosen AS SELECT * FROM base WHERE kind IN ('x', 'y');
        INSERT INTO base SELECT g, g - 5, (ARRAY['x', 'y', 'z'])[1 + g % 3] FROM generate_series(1, 30) g)sql",
     "UPDATE positive SET v = v + 1 WHERE id < 20; INSERT INTO writable SELECT max(id) + 1, 7 FROM "
     "base; DELETE FROM base WHERE id = 4"},
    {"functions",
     R"sql(
        CREATE FUNCTION plus(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN a + b;
        CREATE FUNCTION atomic() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM pg_catalog.pg_class; END;
        CREATE FUNCTION many(VARIADIC list int[], OUT low int, OUT high int) LANGUAGE plpgsql STABLE AS $f$
            BEGIN SELECT min(x), max(x) INTO low, high FROM unnest(list) x; END $f$;
        CREATE PROCEDURE tidy(INOUT n int) LANGUAGE plpgsql AS 'BEGIN n := n - 1; COMMIT; END';
        CREATE FUNCTION rows_of(n int) RETURNS TABLE (i int, t text) LANGUAGE plpgsql ROWS 10 AS 'BEGIN RETURN QUERY SELECT g, g::text FROM generate_series(1, n) g; END';
        CREATE AGGREGATE product (numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1');
        CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq, COMMUTATOR = ===);
        CREATE TYPE pair AS (a int, b int); CREATE FUNCTION to_pair(int) RETURNS pair LANGUAGE sql IMMUTABLE AS 'SELECT ($1, $1)::functions.pair';
        CREATE CAST (int AS pair) WITH FUNCTION to_pair(int);
        CREATE TABLE used (i int PRIMARY KEY DEFAULT functions.plus(1, 2), p pair, s int GENERATED ALWAYS AS (functions.plus(5)) STORED,
                           CHECK (functions.plus(i) > 0));
        CREATE INDEX used_plus ON used (functions.plus(i)); INSERT INTO used (i, p) SELECT g, (g, -g)::functions.pair FROM generate_series(1, 20) g;
        RESET ROLE; CREATE FUNCTION quick(int) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'int4abs'; SET ROLE app)sql",
     "UPDATE used SET p = (i + 1)::functions.pair WHERE i % 2 = 0; INSERT INTO used (i) SELECT "
     "functions.plus(max(i)) FROM used"},
    {"triggers",
     R"sql(
        CREATE TABLE item (id serial PRIMARY KEY, v text, changed timestamptz); CREATE TABLE audit (at timestamptz, what jsonb); CREATE TABLE counts (n bigint);
        CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.changed := now(); RETURN NEW; END';
        CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO triggers.audit VALUES (now(), to_jsonb(NEW)); RETURN NULL; END';
        CREATE FUNCTION sum_up() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO triggers.counts SELECT count(*) FROM fresh; RETURN NULL; END';
        CREATE TRIGGER a BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION stamp();
        CREATE TRIGGER b AFTER UPDATE OF v ON item FOR EACH ROW WHEN (OLD.v IS DISTINCT FROM NEW.v) EXECUTE FUNCTION keep();
        CREATE TRIGGER c AFTER INSERT ON item REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION sum_up();
        CREATE CONSTRAINT TRIGGER d AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION keep();
        CREATE TRIGGER off BEFORE DELETE ON item FOR EACH ROW EXECUTE FUNCTION stamp(); ALTER TABLE item DISABLE TRIGGER off;
        INSERT INTO item (v) SELECT 'v' || g FROM generate_series(1, 20) g)sql",
     "UPDATE item SET v = v || '+' WHERE id < 10; INSERT INTO item (v) VALUES ('p'), ('q'); DELETE "
     "FROM item WHERE id = (SELECT max(id) FROM item)"},
    {"collations",
     R"sql(
        CREATE COLLATION ignoring (provider = icu, locale = 'und-u-ks-level2', deterministic = false); CREATE COLLATION german (provider = icu, locale = 'de-DE');
        CREATE TABLE word (w text COLLATE ignoring PRIMARY KEY, n int); CREATE TABLE wort (w text COLLATE german, p varchar(5) COLLATE "C", PRIMARY KEY (w, p));
        CREATE TABLE padded (c char(8) PRIMARY KEY, n name, t text COLLATE "POSIX" UNIQUE); CREATE INDEX word_c ON word (w COLLATE "C" text_pattern_ops DESC NULLS LAST);
        INSERT INTO word VALUES ('Straße', 1), ('apple', 2), ('Äpfel', 3); INSERT INTO wort VALUES ('Öl', 'a'), ('Ol', 'b'), ('', '');
        INSERT INTO padded VALUES ('a', 'n', 'é'), ('b ', 'm', 'e'), ('', '', ''))sql",
     "UPDATE word SET w = upper(w) WHERE n = 2; UPDATE wort SET w = w || 'ß' WHERE p = 'a'; UPDATE "
     "padded SET t = t || 'x' WHERE c = 'a'"},
    {"cycles",
     R"sql(
        CREATE TABLE person (id int PRIMARY KEY, boss int REFERENCES person ON DELETE SET NULL, team int, a int, b int);
        CREATE TABLE team (id int PRIMARY KEY, lead int NOT NULL REFERENCES person DEFERRABLE INITIALLY DEFERRED, name varchar(20) UNIQUE);
        ALTER TABLE person ADD CONSTRAINT of_team FOREIGN KEY (team) REFERENCES team ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE;
        CREATE TABLE both_keys (a int, b int, PRIMARY KEY (a, b)); ALTER TABLE person ADD FOREIGN KEY (a, b) REFERENCES both_keys MATCH FULL ON DELETE SET DEFAULT;
        CREATE TABLE by_name (name varchar(20) REFERENCES team (name) ON UPDATE CASCADE);
        BEGIN; INSERT INTO team SELECT g, g * 10, 't' || g FROM generate_series(1, 5) g;
        INSERT INTO person SELECT g, nullif(g / 2, 0), 1 + g % 5 FROM generate_series(1, 60) g; COMMIT;
        INSERT INTO both_keys VALUES (1, 1); UPDATE person SET a = 1, b = 1 WHERE id = 3; INSERT INTO by_name SELECT name FROM team)sql",
     "UPDATE team SET id = id + 100, name = name || 'x' WHERE id = (SELECT max(id) FROM team WHERE "
     "id < 100);"
     "DELETE FROM person WHERE id = (SELECT max(id) FROM person WHERE id NOT IN (SELECT lead FROM "
     "team))"},
    {"names",
     R"sql(
        CREATE TABLE "select" ("from" int PRIMARY KEY, "WHERE" text, "a ""b"" 'c' \d" text, "größe, 長さ" int DEFAULT 5, "%s %I $1" jsonb);
        CREATE TABLE "with.dot" ("id.x" uuid PRIMARY KEY DEFAULT gen_random_uuid(), "tab	in it" text UNIQUE);
        CREATE TABLE "UPPER ""quoted"" {braces}, comma" (i int, CONSTRAINT "the key, ""really""" PRIMARY KEY (i));
        CREATE TABLE "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk" ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJK" serial PRIMARY KEY, v int);
        CREATE TYPE "my type" AS ENUM ('', ' ', 'a,b', '"', '\', '{}', 'NULL'); CREATE TABLE "-- not a comment" (k "my type" PRIMARY KEY, v "my type"[]);
        CREATE INDEX "index; DROP" ON "select" (("WHERE" || '''')); CREATE TABLE "segue" (i int PRIMARY KEY); CREATE TABLE "Select" (LIKE "select" INCLUDING ALL);
        INSERT INTO "select" VALUES (1, 'w', E'\\', 7, '{}'); INSERT INTO "with.dot" VALUES (DEFAULT, E'a\tb'); INSERT INTO "UPPER ""quoted"" {braces}, comma" VALUES (1);
        INSERT INTO "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk" (v) VALUES (1), (2); INSERT INTO "segue" VALUES (1);
        INSERT INTO "-- not a comment" VALUES ('', '{"","a,b"}'), ('"', '{"\"","NULL",NULL}'), ('\', '{}'), ('NULL', NULL))sql",
     "UPDATE \"select\" SET \"größe, 長さ\" = \"größe, 長さ\" + 1, \"a \"\"b\"\" 'c' \\d\" = "
     "E'x\\n\\ty'; UPDATE \"-- not a comment\" SET v = v || '\\'::\"my type\" WHERE k = '\"';"
     "INSERT INTO \"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk\" (v) VALUES "
     "(3); INSERT INTO \"with.dot\" DEFAULT VALUES"},
    {"shapes",
     R"sql(
        CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
        CREATE TABLE shrunk (a int, b text, c int PRIMARY KEY, d text); INSERT INTO shrunk SELECT g, 'b', g, 'd' FROM generate_series(1, 20) g;
        ALTER TABLE shrunk DROP a, DROP b; ALTER TABLE shrunk ADD e int DEFAULT 42 NOT NULL, ADD f text;
        CREATE TABLE once (a int PRIMARY KEY); ALTER TABLE once RENAME a TO renamed; ALTER TABLE once RENAME TO twice; INSERT INTO twice VALUES (1);
        DO $d$ BEGIN EXECUTE 'CREATE TABLE wide (' || (SELECT string_agg('c' || g || CASE g % 3 WHEN 0 THEN ' int' WHEN 1 THEN ' text' ELSE ' numeric' END, ', ')
            FROM generate_series(1, 400) g) || ', PRIMARY KEY (c3, c4))'; END $d$; INSERT INTO wide (c3, c4, c400) VALUES (1, 'x', 'y'), (1, 'z', NULL);
        CREATE TABLE large (i int PRIMARY KEY, t text, b bytea, e text); ALTER TABLE large ALTER t SET STORAGE EXTERNAL, ALTER b SET STORAGE MAIN, ALTER e SET COMPRESSION pglz;
        INSERT INTO large SELECT g, repeat(md5(g::text), 400), decode(repeat(md5(g::text), 300), 'hex'), repeat('e', 5000) FROM generate_series(1, 10) g)sql",
     "UPDATE large SET i = i + 100 WHERE i = (SELECT min(i) FROM large); UPDATE large SET e = e || "
     "'f'; UPDATE shrunk SET f = 'f' WHERE c = 3;"
     "INSERT INTO nothing DEFAULT VALUES; UPDATE wide SET c9 = coalesce(c9, 0) + 1"},
    {"owners",
     R"sql(
        RESET ROLE; GRANT CREATE, USAGE ON SCHEMA owners TO clerk, "Chief Owner"; SET ROLE clerk; SET search_path = owners, public;
        CREATE TABLE of_clerk (id serial PRIMARY KEY, v int); GRANT ALL ON of_clerk TO app; GRANT USAGE ON SEQUENCE of_clerk_id_seq TO app;
        CREATE VIEW seen AS SELECT v FROM of_clerk; RESET ROLE; SET ROLE "Chief Owner"; SET search_path = owners, public;
        CREATE TABLE of_chief (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE of_chief_1 PARTITION OF of_chief FOR VALUES FROM (0) TO (1000);
        GRANT INSERT, SELECT ON of_chief TO clerk WITH GRANT OPTION; GRANT ALL ON of_chief TO app; CREATE TYPE theirs AS ENUM ('a'); RESET ROLE;
        SET search_path = owners, public; CREATE TABLE of_superuser (t theirs PRIMARY KEY); GRANT ALL ON of_superuser TO PUBLIC; SET ROLE app)sql",
     "INSERT INTO of_clerk (v) VALUES (1); INSERT INTO of_chief SELECT count(*) FROM of_chief; "
     "INSERT INTO of_superuser VALUES ('a') ON CONFLICT DO NOTHING"},
    {"storage",
     R"sql(
        CREATE TABLE tuned (id int, a int, b text, c int[], p point, n numeric, at timestamptz DEFAULT now(), PRIMARY KEY (id) INCLUDE (a)) WITH (fillfactor = 70, autovacuum_enabled = off, toast.autovacuum_enabled = off);
        CREATE STATISTICS related (dependencies, ndistinct, mcv) ON a, n FROM tuned; CREATE STATISTICS computed ON (a % 10), lower(b) FROM tuned; ALTER STATISTICS related SET STATISTICS 500;
        ALTER TABLE tuned ALTER a SET STATISTICS 1000, ALTER n SET (n_distinct = -0.5); CREATE INDEX ON tuned USING brin (at) WITH (pages_per_range = 16); CREATE INDEX ON tuned USING hash (b);
        CREATE INDEX ON tuned USING gin (c); CREATE INDEX ON tuned USING spgist (p); CREATE INDEX ON tuned USING gist (p); CREATE INDEX one_a ON tuned (a DESC NULLS LAST, (n + 1)) WHERE b IS NOT NULL;
        CREATE UNIQUE INDEX ON tuned (b) NULLS NOT DISTINCT WHERE a > 90; ALTER TABLE tuned CLUSTER ON tuned_pkey; COMMENT ON TABLE tuned IS 'it''s "tuned"'; COMMENT ON COLUMN tuned.a IS 'é';
        COMMENT ON INDEX one_a IS 'i'; INSERT INTO tuned SELECT g, g % 10, 'b' || g, ARRAY[g], point(g, g), g FROM generate_series(1, 200) g; ANALYZE tuned;
        RESET ROLE; CREATE PUBLICATION for_reports FOR TABLE tuned WHERE (id < 500); CREATE PUBLICATION by_schema FOR TABLES IN SCHEMA storage; SET ROLE app)sql",
     "UPDATE tuned SET a = a + 1, c = c || 0, p = point(1, 2) WHERE id % 10 = 0; DELETE FROM tuned "
     "WHERE id = (SELECT max(id) FROM tuned)"},
    {"types",
     R"sql(
        CREATE TABLE every (id int PRIMARY KEY, b boolean, i2 smallint, i8 bigint, f4 real, f8 double precision, n numeric, nn numeric(20, 5), m money, t text, v varchar(9), c char(4), ch "char", nm name,
            ba bytea, d date, ti time, tz timetz, ts timestamp(3), tt timestamptz, iv interval, u uuid, j json, jb jsonb, jp jsonpath, x xml, ine inet, ci cidr, ma macaddr, m8 macaddr8, bi bit(5), vb bit varying,
            po point, li line, ls lseg, bo box, pa path, pg polygon, cr circle, tv tsvector, tq tsquery, a2 text[][], an numeric[], ir int8range, tr daterange, mr int4multirange, iv2 int2vector);
        INSERT INTO every VALUES (1, true, -32768, 9223372036854775807, 'NaN', '-Infinity', 'NaN', 1.50000, 12.34, E'\\x', 'v', 'c', 'z', 'nm', '\x00ff', 'infinity', '24:00', '10:00+05:30', '0044-03-15 BC', '-infinity',
            '1 mon -2 days 03:04:05.678', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a" :  1, "a":2}', '{"a": 1e400}', '$.a[*]', '<a>&amp;</a>', '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', B'10101', B'',
            '(1,2)', '{1,2,3}', '[(1,2),(3,4)]', '(3,4),(1,2)', '[(1,2),(3,4)]', '((1,2),(3,4))', '<(1,2),3>', '''a b'':1A c', 'a & ''b c''', '{{a,"b,c"},{NULL,"\"q\""}}', '{1.0,1.00,NaN}', '[1,)', 'empty', '{[1,2)}', '1 2 3');
        INSERT INTO every (id) VALUES (2); INSERT INTO every VALUES (3, false, 0, 0, '-0', '-0', 1e-300, 0, 0, '', '', '', '', '', '', '4713-01-01 BC', '00:00:00.000001', '00:00-15:59', 'epoch', 'epoch', '178000000 years', '00000000-0000-0000-0000-000000000000', 'null', 'null', '$', '',
            '0.0.0.0', '0.0.0.0/0', '00:00:00:00:00:00', '00:00:00:00:00:00:00:00', B'00000', B'1', '(NaN,Infinity)', '{0,1,0}', '[(0,0),(0,0)]', '(0,0),(0,0)', '((0,0))', '((0,0))', '<(0,0),0>', '', '', '{}', '{}', 'empty', '(,)', '{}', '');
        CREATE TABLE by_float (f double precision PRIMARY KEY); INSERT INTO by_float VALUES ('NaN'), ('-0'), ('Infinity'), (1e-320); CREATE TABLE by_numeric (n numeric PRIMARY KEY); INSERT INTO by_numeric VALUES (1.50), ('NaN'), (-0.0);
        CREATE TABLE by_bytes (b bytea, t timestamptz, i interval, PRIMARY KEY (b, t, i)); INSERT INTO by_bytes VALUES ('', 'infinity', '1 mon'), ('\x00', '-infinity', '-1 mon'))sql",
     "INSERT INTO every SELECT max(id) + 1 FROM every; UPDATE every SET nn = 2, jb = '[]', f8 = "
     "1.1, a2 = NULL, iv = '0' WHERE id = 3; UPDATE by_float SET f = 0 WHERE f = '-0'; UPDATE "
     "by_numeric SET n = 1.5 WHERE n = 1.5;"
     "UPDATE by_bytes SET i = i + '1 us' WHERE b = ''"},
    {"keyless",
     R"sql(
        CREATE TABLE loose (a int, b text, c jsonb, d json, e boolean, f char(5), g inet, h cidr, i bit(3), j "char", k money, l name, m numeric(9, 3));
        INSERT INTO loose SELECT g % 5, NULL, '{}', '{ }', g % 2 = 0, 'f', '10.0.0.1', '10.0.0.0/8', B'101', 'j', 1.5, 'l', 1 FROM generate_series(1, 30) g;
        CREATE TABLE whole (a int PRIMARY KEY, b text); ALTER TABLE whole REPLICA IDENTITY FULL; INSERT INTO whole VALUES (1, NULL), (2, 'x');
        CREATE TABLE by_index (a int NOT NULL, b text NOT NULL, c int, PRIMARY KEY (a), CONSTRAINT other UNIQUE (b, c)); CREATE UNIQUE INDEX by_index_b ON by_index (b);
        ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_b; INSERT INTO by_index VALUES (1, 'x'), (2, 'y'); CREATE TABLE only_unique (a int UNIQUE, b int); INSERT INTO only_unique VALUES (1), (NULL), (NULL))sql",
     "UPDATE loose SET b = 'u' WHERE ctid = (SELECT min(ctid) FROM loose); DELETE FROM loose WHERE "
     "ctid = (SELECT max(ctid) FROM loose); UPDATE whole SET b = coalesce(b, '') || 'z';"
     "UPDATE by_index SET b = b || 'b', c = 5; UPDATE only_unique SET b = 1"},
    {"orm",
     R"sql(
        CREATE TABLE users (id bigserial PRIMARY KEY, email varchar(255) NOT NULL, status varchar(20) DEFAULT 'active' NOT NULL, role char(1) NOT NULL DEFAULT 'u', level smallint, score numeric(5, 2) DEFAULT 0.00,
            created_at timestamp(6) without time zone DEFAULT now() NOT NULL, settings jsonb DEFAULT '{}'::jsonb NOT NULL, tags varchar[] DEFAULT '{}', deleted boolean DEFAULT false, day date DEFAULT CURRENT_DATE,
            CONSTRAINT status_known CHECK (status IN ('active', 'it''s off', 'gone')), CHECK (role IN ('u', 'a')), CHECK (level IN (1, 2, 3)), CHECK (score BETWEEN 0 AND 100),
            CHECK (status <> 'gone' OR deleted), CHECK (email LIKE '%@%' AND length(email) > 3), kind varchar(8) GENERATED ALWAYS AS (CASE WHEN role::text = ANY ('{a,b}'::text[]) THEN 'admin' ELSE 'user' END) STORED);
        CREATE UNIQUE INDEX index_users_on_email ON users (lower(email)) WHERE NOT deleted; CREATE INDEX ON users (created_at) WHERE status IN ('active', 'gone'); CREATE INDEX ON users ((settings ->> 'lang'));
        CREATE TABLE posts (id bigserial PRIMARY KEY, user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE, slug varchar(50) UNIQUE CHECK (slug ~ '^[-a-z0-9]+$'), visibility varchar NOT NULL DEFAULT 'all' CHECK (visibility NOT IN ('none', 'some')));
        CREATE TABLE likes (user_id bigint REFERENCES users, post_id bigint REFERENCES posts, PRIMARY KEY (user_id, post_id)); CREATE DOMAIN state AS varchar(10) CHECK (VALUE IN ('on', 'off')); CREATE TABLE flags (n varchar PRIMARY KEY, s state);
        CREATE TABLE history (status varchar(20)) PARTITION BY LIST (status); CREATE TABLE history_a PARTITION OF history FOR VALUES IN ('active', 'gone'); CREATE TABLE history_b PARTITION OF history DEFAULT;
        INSERT INTO users (email, level) SELECT 'u' || g || '@x', 1 + g % 3 FROM generate_series(1, 50) g; INSERT INTO posts (user_id, slug) SELECT g, 'post-' || g FROM generate_series(1, 30) g; INSERT INTO likes SELECT g, g FROM generate_series(1, 30) g;
        INSERT INTO flags VALUES ('f', 'on'), ('', NULL); INSERT INTO history VALUES ('active'), (NULL), ('else'))sql",
     "UPDATE users SET status = 'gone', deleted = true WHERE id = (SELECT max(id) FROM users WHERE "
     "NOT deleted); INSERT INTO users (email, settings) VALUES ('n' || (SELECT count(*) FROM "
     "users) || '@y', '{\"lang\": \"de\"}');"
     "DELETE FROM likes WHERE user_id = (SELECT max(user_id) FROM likes); UPDATE history SET "
     "status = 'gone' WHERE status = 'else'; UPDATE flags SET s = 'off'"},
};

}  // namespace

std::vector<HealthySchema> healthy_schemas() {
    std::vector<HealthySchema> all{std::begin(tables), std::end(tables)};
    all.insert(all.end(), std::begin(behaviour), std::end(behaviour));
    return all;
}

}  // namespace segue::test
