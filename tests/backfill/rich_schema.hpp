#pragma once
// A schema with one of everything that moves, without rows.

namespace segue::test {

inline constexpr const char* rich_schema = R"sql(
    CREATE SCHEMA "Sales Dept";
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE SEQUENCE loose INCREMENT 5 CACHE 10;
    CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * i';
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.note := coalesce(NEW.note, 'x;''y'); RETURN NEW; END $$;
    CREATE TABLE customer (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,
        m mood DEFAULT 'glad', p positive, note text, twice int GENERATED ALWAYS AS (length(name)) STORED);
    CREATE TABLE "Sales Dept"."order line" (order_no bigserial, line int, customer int REFERENCES customer,
        price numeric(12, 2) CHECK (price >= 0), extra pair, PRIMARY KEY (order_no, line));
    ALTER TABLE "Sales Dept"."order line" ADD CONSTRAINT later FOREIGN KEY (line) REFERENCES customer NOT VALID;
    CREATE INDEX by_twice ON customer (twice(id)) WHERE note IS NOT NULL;
    CREATE UNIQUE INDEX by_lower ON customer (lower(name));
    CREATE TABLE event (at timestamptz NOT NULL, id int NOT NULL, what jsonb, PRIMARY KEY (id, at))
        PARTITION BY RANGE (at);
    CREATE TABLE event_old PARTITION OF event FOR VALUES FROM ('2000-01-01') TO ('2020-01-01');
    CREATE TABLE event_new PARTITION OF event FOR VALUES FROM ('2020-01-01') TO ('2040-01-01')
        PARTITION BY HASH (id);
    CREATE TABLE event_new_0 PARTITION OF event_new FOR VALUES WITH (MODULUS 1, REMAINDER 0);
    CREATE INDEX event_what ON event USING gin (what);
    CREATE TABLE by_index (a int NOT NULL, b int);
    CREATE UNIQUE INDEX by_index_a ON by_index (a);
    ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_a;
    CREATE TABLE keyless (a int, b text);
    CREATE TABLE nothing (a int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
    CREATE TABLE parent (a int PRIMARY KEY); CREATE TABLE child (b int) INHERITS (parent);
    CREATE TRIGGER stamp BEFORE INSERT ON customer FOR EACH ROW EXECUTE FUNCTION stamp();
    CREATE VIEW glad AS SELECT id, name FROM customer WHERE m = 'glad';
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM customer;
    CREATE MATERIALIZED VIEW counted_again AS SELECT n FROM counted;
    ALTER TABLE keyless ENABLE ROW LEVEL SECURITY;
    CREATE POLICY everybody ON keyless USING (true);
    COMMENT ON TABLE customer IS 'who pays';
    GRANT SELECT, UPDATE (note) ON customer TO PUBLIC;
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
    CREATE PUBLICATION theirs FOR TABLE customer;
)sql";

}  // namespace segue::test
