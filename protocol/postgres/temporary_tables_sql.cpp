#include "protocol/postgres/temporary_tables_sql.hpp"

namespace segue::protocol::postgres {

const std::string_view temporary_tables_sql = R"sql(
WITH me AS MATERIALIZED (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = current_user),
t AS MATERIALIZED (
SELECT c.*, 'pg_temp.' || pg_catalog.quote_ident(c.relname) AS named,
       CASE c.relkind WHEN 'S' THEN 'sequence ' ELSE 'table ' END || pg_catalog.quote_ident(c.relname) AS told
  FROM pg_catalog.pg_class c WHERE c.relnamespace = pg_catalog.pg_my_temp_schema() AND c.relkind IN ('r', 'p', 'S')),
a AS MATERIALIZED (
SELECT a.*, pg_catalog.quote_ident(a.attname) AS named, y.typstorage, y.typcategory, y.typname, y.typcollation,
       pg_catalog.to_jsonb(a) AS more, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type
  FROM pg_catalog.pg_attribute a JOIN t ON t.oid = a.attrelid AND t.relkind <> 'S'
  LEFT JOIN pg_catalog.pg_type y ON y.oid = a.atttypid WHERE a.attnum > 0),
i AS MATERIALIZED (
SELECT x.*, c.relname, c.reltablespace AS tablespace
  FROM pg_catalog.pg_index x JOIN t ON t.oid = x.indrelid JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid),
q AS MATERIALIZED (
SELECT t.oid, s.seqcache, d.deptype, d.refobjid AS owner, d.refobjsubid AS owner_column,
       ' START WITH ' || s.seqstart || ' INCREMENT BY ' || s.seqincrement || ' MINVALUE ' || s.seqmin || ' MAXVALUE ' ||
       s.seqmax || CASE WHEN s.seqcycle THEN ' CYCLE' ELSE ' NO CYCLE' END AS options,
       pg_catalog.format_type(s.seqtypid, NULL) AS type
  FROM t JOIN pg_catalog.pg_sequence s ON s.seqrelid = t.oid
  LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = t.oid
        AND d.objsubid = 0 AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')),
k AS MATERIALIZED (
SELECT k.*, t.relname, pg_catalog.to_jsonb(k) AS more FROM pg_catalog.pg_constraint k JOIN t ON t.oid = k.conrelid),
v AS MATERIALIZED (
SELECT v.tablename FROM pg_catalog.pg_stats v
 WHERE v.schemaname = (SELECT s.nspname FROM pg_catalog.pg_namespace s WHERE s.oid = pg_catalog.pg_my_temp_schema())),
n AS (
SELECT pg_catalog.sum(pg_catalog.pg_table_size(t.oid)) AS size FROM t),
pins AS (
SELECT t.told, w.why FROM t, LATERAL (VALUES
  (t.relkind = 'p' OR t.relispartition OR t.relhassubclass OR EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhrelid = t.oid),
   'is partitioned or inherits'),
  (t.relowner <> (SELECT oid FROM me), 'belongs to another role than the session''s'),
  (t.relacl IS NOT NULL OR EXISTS (SELECT FROM a WHERE a.attrelid = t.oid AND a.attacl IS NOT NULL), 'has privileges of its own'),
  (t.reloftype <> 0, 'is of a type'),
  (t.relrowsecurity OR t.relforcerowsecurity, 'has row security'),
  (t.relhasrules, 'has rules'),
  (EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = t.oid AND NOT g.tgisinternal), 'has triggers'),
  (t.reltablespace <> 0 OR EXISTS (SELECT FROM i WHERE i.indrelid = t.oid AND i.tablespace <> 0), 'is in a tablespace'),
  (t.relkind = 'r' AND (t.relreplident <> 'd' OR EXISTS (SELECT FROM i WHERE i.indrelid = t.oid AND (i.indisclustered OR i.indisreplident))),
   'has a replica identity or is clustered'),
  (EXISTS (SELECT FROM i WHERE i.indrelid = t.oid AND NOT (i.indisvalid AND i.indisready)), 'has an index that is not valid'),
  (t.relkind = 'r' AND t.relam <> (SELECT m.oid FROM pg_catalog.pg_am m WHERE m.amname = 'heap'), 'is no heap'),
  (t.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_class o WHERE o.oid = t.reltoastrelid AND o.reloptions IS NOT NULL), 'has storage options'),
  (EXISTS (SELECT FROM a WHERE a.attrelid = t.oid AND a.attisdropped), 'has lost a column'),
  (EXISTS (SELECT FROM a WHERE a.attrelid = t.oid AND NOT a.attisdropped AND (a.attinhcount > 0 OR
           EXISTS (SELECT FROM pg_catalog.unnest(a.attoptions) AS o WHERE o LIKE 'n_distinct%')
           OR a.attstorage <> a.typstorage OR COALESCE(a.more ->> 'attcompression', '') <> ''
           OR COALESCE((a.more ->> 'attstattarget')::integer, -1) <> -1)), 'has columns with options of their own'),
  (t.relkind = 'r' AND NOT EXISTS (SELECT FROM a WHERE a.attrelid = t.oid AND NOT a.attisdropped AND a.attgenerated = ''), 'has no columns'),
  (EXISTS (SELECT FROM k WHERE k.conrelid = t.oid AND (k.contype NOT IN ('c', 'p', 'u', 'x', 'f', 'n') OR k.coninhcount > 0
           OR COALESCE(k.more ->> 'conenforced', 'true') <> 'true'
           OR k.contype = 'n' AND (NOT k.convalidated OR k.connoinherit OR k.conname <> k.relname || '_' ||
              (SELECT a.attname FROM a WHERE a.attrelid = t.oid AND a.attnum = k.conkey[1]) || '_not_null'))), 'has unusual constraints'),
  (EXISTS (SELECT FROM q WHERE q.oid = t.oid AND q.seqcache <> 1), 'caches values'),
  (EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relname = t.relname AND c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace),
   'has the name of a catalog'),
  (EXISTS (SELECT FROM pg_catalog.pg_description d WHERE d.objoid = ANY (ARRAY(SELECT t.oid
             UNION ALL SELECT i.indexrelid FROM i WHERE i.indrelid = t.oid UNION ALL SELECT k.oid FROM k WHERE k.conrelid = t.oid)))
     OR EXISTS (SELECT FROM pg_catalog.pg_seclabel l WHERE l.objoid = t.oid), 'has comments or labels'),
  (EXISTS (SELECT FROM pg_catalog.pg_statistic_ext x WHERE x.stxrelid = t.oid)
     OR EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = t.oid
                 AND (d.classid NOT IN ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_type'::pg_catalog.regclass,
                                       'pg_catalog.pg_constraint'::pg_catalog.regclass, 'pg_catalog.pg_attrdef'::pg_catalog.regclass)
                   OR d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND NOT EXISTS
                      (SELECT FROM pg_catalog.pg_attrdef f JOIN t AS own ON own.oid = f.adrelid WHERE f.oid = d.objid)
                   OR d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND NOT EXISTS (SELECT FROM k WHERE k.oid = d.objid))),
   'has objects that depend on it')
) AS w(applies, why) WHERE w.applies),
steps(stage, ordinal, about, kind, what, extra) AS (
SELECT 1, q.oid, q.oid, 'statement', 'CREATE TEMPORARY SEQUENCE ' || t.named || ' AS ' || q.type || q.options, NULL
  FROM q JOIN t USING (oid) WHERE q.deptype IS DISTINCT FROM 'i'
UNION ALL
SELECT 2, t.oid, t.oid, CASE WHEN pg_catalog.pg_relation_size(t.oid) > 0 THEN 'statement' ELSE 'table' END,
       'CREATE TEMPORARY TABLE ' || t.named || ' (' || (
         SELECT pg_catalog.string_agg(a.named || ' ' || a.type ||
                  CASE WHEN a.attcollation <> a.typcollation THEN (SELECT ' COLLATE ' || pg_catalog.quote_ident(s.nspname) || '.' ||
                       pg_catalog.quote_ident(o.collname) FROM pg_catalog.pg_collation o JOIN pg_catalog.pg_namespace s
                       ON s.oid = o.collnamespace WHERE o.oid = a.attcollation) ELSE '' END ||
                  CASE WHEN a.attidentity <> '' THEN ' GENERATED ' || CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END ||
                         ' AS IDENTITY (SEQUENCE NAME ' || (SELECT s.named || q.options FROM q JOIN t AS s USING (oid)
                           WHERE q.owner = t.oid AND q.owner_column = a.attnum AND q.deptype = 'i') || ')'
                       WHEN a.attgenerated <> '' THEN ' GENERATED ALWAYS AS (' || pg_catalog.pg_get_expr(f.adbin, t.oid) || ') ' ||
                         CASE a.attgenerated WHEN 's' THEN 'STORED' ELSE 'VIRTUAL' END
                       WHEN f.adbin IS NOT NULL THEN ' DEFAULT ' || pg_catalog.pg_get_expr(f.adbin, t.oid) ELSE '' END ||
                  CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END, ', ' ORDER BY a.attnum)
           FROM a LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
          WHERE a.attrelid = t.oid AND NOT a.attisdropped) || ') USING heap' ||
       CASE WHEN t.reloptions IS NOT NULL THEN ' WITH (' || (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(o.option_name) || ' = ' ||
              pg_catalog.quote_literal(o.option_value), ', ') FROM pg_catalog.pg_options_to_table(t.reloptions) AS o) || ')' ELSE '' END,
       'INSERT INTO ' || t.named || ' (' || (SELECT pg_catalog.string_agg(a.named, ', ' ORDER BY a.attnum) || ') OVERRIDING SYSTEM VALUE VALUES (' ||
         pg_catalog.string_agg(CASE WHEN NOT a.attnotnull THEN 'NULL' ELSE CASE a.typcategory
             WHEN 'N' THEN '''0''' WHEN 'B' THEN '''f''' WHEN 'D' THEN '''2000-01-01 00:00''' WHEN 'T' THEN '''0''' WHEN 'A' THEN '''{}'''
             WHEN 'R' THEN '''empty''' WHEN 'I' THEN '''0.0.0.0''' WHEN 'G' THEN '''(0,0)''' WHEN 'V' THEN '''0'''
             WHEN 'E' THEN (SELECT pg_catalog.quote_literal(pg_catalog.min(e.enumlabel::pg_catalog.text)) FROM pg_catalog.pg_enum e WHERE e.enumtypid = a.atttypid)
             ELSE CASE a.typname WHEN 'uuid' THEN '''00000000-0000-0000-0000-000000000000''' WHEN 'json' THEN '''{}''' WHEN 'jsonb' THEN '''{}'''
                  ELSE '''''' END END || '::' || a.type END, ', ' ORDER BY a.attnum)
         FROM a WHERE a.attrelid = t.oid AND NOT a.attisdropped AND a.attgenerated = '') || ')'
  FROM t WHERE t.relkind = 'r'
UNION ALL
SELECT CASE WHEN t.relpages = 0 THEN 6 ELSE 3 END, t.oid, t.oid, 'rows', t.named || ' (' || (SELECT pg_catalog.string_agg(a.named, ', ' ORDER BY a.attnum) FROM a
         WHERE a.attrelid = t.oid AND NOT a.attisdropped AND a.attgenerated = '') || ')', t.named
  FROM t WHERE t.relkind = 'r'
UNION ALL
SELECT CASE k.contype WHEN 'f' THEN 7 ELSE 4 END, k.oid, k.conrelid, 'statement', 'ALTER TABLE ' || t.named || ' ADD CONSTRAINT ' ||
       pg_catalog.quote_ident(k.conname) || ' ' || pg_catalog.pg_get_constraintdef(k.oid), NULL
  FROM k JOIN t ON t.oid = k.conrelid WHERE k.contype <> 'n'
UNION ALL
SELECT 5, i.indexrelid, i.indrelid, 'statement', pg_catalog.pg_get_indexdef(i.indexrelid, 0, true), NULL
  FROM i WHERE NOT EXISTS (SELECT FROM k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 8, q.oid, q.oid, 'statement', 'ALTER SEQUENCE ' || t.named || ' OWNED BY ' || o.named || '.' || a.named, NULL
  FROM q JOIN t USING (oid) JOIN t AS o ON o.oid = q.owner JOIN a ON a.attrelid = q.owner AND a.attnum = q.owner_column WHERE q.deptype = 'a'
UNION ALL
SELECT 9, q.oid, q.oid, 'value', t.named, NULL FROM q JOIN t USING (oid)
UNION ALL
SELECT 10, t.oid, t.oid, 'statement', 'ANALYZE ' || t.named, NULL FROM t WHERE t.relname IN (SELECT v.tablename FROM v)
)
SELECT 'pin', 'temporary ' || p.told || ', which ' || p.why, NULL, NULL, NULL FROM pins p
UNION ALL
SELECT 'size', n.size::pg_catalog.text, NULL, NULL, NULL FROM n
UNION ALL
(SELECT s.kind, s.what, s.about::pg_catalog.text, s.extra, 'temporary ' || t.told FROM steps s JOIN t ON t.oid = s.about
  ORDER BY s.stage, CASE WHEN t.relkind = 'S' THEN s.what END, s.ordinal)
)sql";

}  // namespace segue::protocol::postgres
