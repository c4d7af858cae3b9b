#include "backfill/postgres/ddl_code_sql.hpp"

namespace segue::backfill::postgres {

// Functions are read from the trees of expressions, because the server records no dependency on its
// own ones, and some of those run texts (query_to_xml) or casts of others (to_json): none of them
// is immutable. Of the stable ones only times are known to depend on nothing but the time zone.
// Objects below 16384 are the server's; languages 12 and 13 are internal and C.
const char* const ddl_code_body = R"sql(
  WITH RECURSIVE tables AS (
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\_%'
      AND n.nspname NOT IN ('information_schema', 'segue')
      AND (n.nspname || '.' || c.relname = ANY (names)) <> others
    UNION SELECT h.inhparent FROM pg_inherits h JOIN tables t ON h.inhrelid = t.oid),
  types AS (
    SELECT a.atttypid AS root, a.atttypid AS oid FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT u.root, x.oid FROM types u JOIN pg_type y ON y.oid = u.oid CROSS JOIN LATERAL (
      SELECT y.typelem WHERE y.typelem <> 0
      UNION ALL SELECT y.typbasetype WHERE y.typtype = 'd'
      UNION ALL SELECT a.atttypid FROM pg_attribute a
        WHERE y.typtype = 'c' AND a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS x(oid)),
  trees AS (
    SELECT o.conrelid AS relation, o.contypid AS type, format('constraint %I', o.conname) AS what, o.conbin::text AS tree
      FROM pg_constraint o
      WHERE o.contype = 'c' AND (o.conrelid IN (SELECT t.oid FROM tables t) OR o.contypid IN (SELECT u.oid FROM types u))
    UNION ALL SELECT d.adrelid, 0, format('generated column %I', a.attname), d.adbin::text
      FROM tables t JOIN pg_attrdef d ON d.adrelid = t.oid
      JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''
    UNION ALL SELECT i.indrelid, 0, format('index %I', x.relname),
        concat(i.indexprs::text, i.indpred::text)
      FROM tables t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class x ON x.oid = i.indexrelid
    UNION ALL SELECT p.partrelid, 0, 'the partition key', p.partexprs::text
      FROM tables t JOIN pg_partitioned_table p ON p.partrelid = t.oid
    UNION ALL SELECT s.stxrelid, 0, format('statistics %I', s.stxname), to_jsonb(s) ->> 'stxexprs'
      FROM tables t JOIN pg_statistic_ext s ON s.stxrelid = t.oid),
  functions(oid) AS (
    SELECT p.oid FROM pg_proc p WHERE (p.provolatile = 'i' AND (p.oid < 16384 OR (p.prolang IN (12, 13)
        AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'))))
      OR (p.provolatile = 's' AND p.oid < 16384 AND p.prolang = 12
        AND p.prosrc ~ '^(now|extract_timestamptz|(date|timestamp|timestamptz)_[a-z_]+)$')),
  foreign_trees AS (
    SELECT e.* FROM trees e WHERE
      EXISTS (SELECT FROM regexp_matches(e.tree, '\{([A-Za-z0-9_]+)', 'g') m WHERE m[1] NOT IN (
        'VAR', 'CONST', 'FUNCEXPR', 'OPEXPR', 'DISTINCTEXPR', 'NULLIFEXPR', 'SCALARARRAYOPEXPR', 'BOOLEXPR', 'RELABELTYPE',
        'COERCEVIAIO', 'ARRAYCOERCEEXPR', 'COLLATE', 'COLLATEEXPR', 'CASE', 'CASEEXPR', 'WHEN', 'CASEWHEN', 'CASETESTEXPR',
        'ARRAY', 'ARRAYEXPR', 'COALESCE', 'COALESCEEXPR', 'MINMAX', 'MINMAXEXPR', 'NULLTEST', 'BOOLEANTEST', 'NAMEDARGEXPR',
        'COERCETODOMAINVALUE', 'SQLVALUEFUNCTION'))
      OR EXISTS (SELECT FROM regexp_matches(e.tree, ':(funcid|opno) (\d+)', 'g') m
        WHERE CASE m[1] WHEN 'funcid' THEN m[2]::oid ELSE (SELECT r.oprcode::oid FROM pg_operator r WHERE r.oid = m[2]::oid) END
          NOT IN (SELECT f.oid FROM functions f))
      OR EXISTS (SELECT FROM regexp_matches(e.tree, ':[a-z_]*type(?:id|Id)? (\d+)', 'g') m
        JOIN pg_type y ON y.oid = m[1]::oid LEFT JOIN pg_type l ON l.oid = y.typelem
        WHERE y.oid >= 16384 AND coalesce(l.typtype, y.typtype) NOT IN ('b', 'e', 'd'))),
  foreign_types AS (
    SELECT DISTINCT u.root FROM types u JOIN pg_type y ON y.oid = u.oid LEFT JOIN pg_class k ON k.oid = y.typrelid
    WHERE y.typtype = 'p' OR (y.typtype NOT IN ('b', 'e', 'd', 'c') AND y.oid >= 16384)
      OR (y.typtype = 'c' AND k.relkind <> 'c')
      OR y.oid IN (SELECT e.type FROM foreign_trees e WHERE e.type <> 0)),
  classes(oid) AS (
    SELECT o.oid FROM pg_opclass o WHERE o.oid < 16384 OR EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_opclass'::regclass AND d.objid = o.oid AND d.deptype = 'e')),
  things AS (
    SELECT a.attrelid AS relation, format('column %I', a.attname) AS what, concat(a.attnum, ' ', a.atttypid) AS key
      FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
      WHERE a.atttypid IN (SELECT f.root FROM foreign_types f)
    UNION ALL SELECT e.relation, e.what, md5(e.tree) FROM foreign_trees e WHERE e.relation <> 0
    UNION ALL SELECT i.indrelid, format('index %I', x.relname), i.indclass::text
      FROM tables t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class x ON x.oid = i.indexrelid
      WHERE EXISTS (SELECT FROM unnest(i.indclass::oid[]) k WHERE k NOT IN (SELECT l.oid FROM classes l))
    UNION ALL SELECT o.conrelid, format('constraint %I', o.conname), o.conexclop::text
      FROM tables t JOIN pg_constraint o ON o.conrelid = t.oid AND o.contype = 'x'
      WHERE EXISTS (SELECT FROM unnest(o.conexclop) k JOIN pg_operator r ON r.oid = k
                    WHERE r.oprcode::oid NOT IN (SELECT f.oid FROM functions f))
    UNION ALL SELECT p.partrelid, 'the partition key', p.partclass::text
      FROM tables t JOIN pg_partitioned_table p ON p.partrelid = t.oid
      WHERE EXISTS (SELECT FROM unnest(p.partclass::oid[]) k WHERE k NOT IN (SELECT l.oid FROM classes l)))
  SELECT coalesce(array_agg(DISTINCT s.what || ' of ' || format('%I.%I', n.nspname, c.relname)
                            || ' #' || md5(concat(s.relation, ' ', s.key))), '{}')
  FROM things s JOIN pg_class c ON c.oid = s.relation JOIN pg_namespace n ON n.oid = c.relnamespace)sql";

}  // namespace segue::backfill::postgres
