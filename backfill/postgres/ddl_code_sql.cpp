#include "backfill/postgres/ddl_code_sql.hpp"

namespace segue::backfill::postgres {

// Functions are read from the trees of expressions, because the server records no dependency on its
// own ones, and some of those run texts (query_to_xml) or casts of others (to_json): none of them
// is immutable. Of the stable ones only times are known to depend on nothing but the time zone.
// Objects below 16384 are the server's; languages 12 and 13 are internal and C. What a transaction
// has made use of, but its snapshot does not show, is not known either.
const char* const ddl_code_query = R"sql(
  WITH RECURSIVE tables AS (
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\_%'
      AND n.nspname NOT IN ('information_schema', 'segue') AND %WHICH%
    UNION SELECT h.inhparent FROM pg_inherits h JOIN tables t ON h.inhrelid = t.oid),
  table_trees AS (
    SELECT o.conrelid AS relation, format('constraint %I', o.conname) AS what, o.conbin::text AS tree
      FROM pg_constraint o WHERE o.contype = 'c' AND o.conrelid IN (SELECT t.oid FROM tables t)
    UNION ALL SELECT d.adrelid, format('generated column %I', a.attname), d.adbin::text
      FROM tables t JOIN pg_attrdef d ON d.adrelid = t.oid
      JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''
    UNION ALL SELECT i.indrelid, format('index %I', x.relname),
        concat(i.indexprs::text, i.indpred::text)
      FROM tables t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class x ON x.oid = i.indexrelid
    UNION ALL SELECT p.partrelid, 'the partition key', p.partexprs::text
      FROM tables t JOIN pg_partitioned_table p ON p.partrelid = t.oid
    UNION ALL SELECT s.stxrelid, format('statistics %I', s.stxname), to_jsonb(s) ->> 'stxexprs'
      FROM tables t JOIN pg_statistic_ext s ON s.stxrelid = t.oid),
  -- Each with all that it is made of. A value of a type is made, and its domains' checks are run,
  -- also where an expression only names the type.
  types AS (
    SELECT s.oid AS root, s.oid FROM (
      SELECT a.atttypid FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid
        WHERE a.attnum > 0 AND NOT a.attisdropped
      UNION SELECT m[1]::oid FROM table_trees e, regexp_matches(e.tree, ':[a-z_]*type(?:id|Id)? (\d+)', 'g') m
        WHERE m[1]::oid >= 16384) AS s(oid)
    UNION
    SELECT u.root, x.oid FROM types u JOIN pg_type y ON y.oid = u.oid CROSS JOIN LATERAL (
      SELECT y.typelem WHERE y.typelem <> 0
      UNION ALL SELECT y.typbasetype WHERE y.typtype = 'd'
      UNION ALL SELECT m[1]::oid FROM pg_constraint o, regexp_matches(o.conbin::text, ':[a-z_]*type(?:id|Id)? (\d+)', 'g') m
        WHERE y.typtype = 'd' AND o.contypid = y.oid AND o.contype = 'c' AND m[1]::oid >= 16384
      UNION ALL SELECT a.atttypid FROM pg_attribute a
        WHERE y.typtype = 'c' AND a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS x(oid)),
  trees AS (
    SELECT e.relation, 0::oid AS type, e.what, e.tree FROM table_trees e
    UNION ALL SELECT 0, o.contypid, '', o.conbin::text FROM pg_constraint o
      WHERE o.contype = 'c' AND o.contypid IN (SELECT u.oid FROM types u)),
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
        'COERCETODOMAINVALUE', 'SQLVALUEFUNCTION', 'SUBSCRIPTINGREF'))
      OR EXISTS (SELECT FROM regexp_matches(e.tree, ':(funcid|opno) (\d+)', 'g') m
        WHERE CASE m[1] WHEN 'funcid' THEN m[2]::oid ELSE coalesce((SELECT r.oprcode::oid FROM pg_operator r WHERE r.oid = m[2]::oid), 0) END
          NOT IN (SELECT f.oid FROM functions f))
      OR EXISTS (SELECT FROM regexp_matches(e.tree, ':[a-z_]*type(?:id|Id)? (\d+)', 'g') m
        LEFT JOIN pg_type y ON y.oid = m[1]::oid LEFT JOIN pg_type l ON l.typarray = y.oid
        WHERE m[1]::oid >= 16384 AND coalesce(l.typtype, y.typtype, '') NOT IN ('b', 'e', 'd'))),
  -- A base type is an array, or an extension's: nothing is known of another one's functions.
  foreign_types AS (
    SELECT DISTINCT u.root FROM types u LEFT JOIN pg_type y ON y.oid = u.oid LEFT JOIN pg_class k ON k.oid = y.typrelid
    WHERE y.oid IS NULL OR y.typtype = 'p' OR (y.typtype NOT IN ('b', 'e', 'd', 'c') AND y.oid >= 16384)
      OR (y.typtype = 'b' AND y.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_type l WHERE l.typarray = y.oid)
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = y.oid AND d.deptype = 'e'))
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
    UNION ALL SELECT e.relation, e.what, md5(e.tree) FROM table_trees e WHERE EXISTS (
      SELECT FROM regexp_matches(e.tree, ':[a-z_]*type(?:id|Id)? (\d+)', 'g') m
      WHERE m[1]::oid IN (SELECT f.root FROM foreign_types f))
    UNION ALL SELECT i.indrelid, format('index %I', x.relname), i.indclass::text
      FROM tables t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class x ON x.oid = i.indexrelid
      WHERE EXISTS (SELECT FROM unnest(i.indclass::oid[]) k WHERE k NOT IN (SELECT l.oid FROM classes l))
    UNION ALL SELECT o.conrelid, format('constraint %I', o.conname), o.conexclop::text
      FROM tables t JOIN pg_constraint o ON o.conrelid = t.oid AND o.contype = 'x'
      WHERE EXISTS (SELECT FROM unnest(o.conexclop) k LEFT JOIN pg_operator r ON r.oid = k
                    WHERE coalesce(r.oprcode::oid, 0) NOT IN (SELECT f.oid FROM functions f))
    UNION ALL SELECT p.partrelid, 'the partition key', p.partclass::text
      FROM tables t JOIN pg_partitioned_table p ON p.partrelid = t.oid
      WHERE EXISTS (SELECT FROM unnest(p.partclass::oid[]) k WHERE k NOT IN (SELECT l.oid FROM classes l)))
  SELECT coalesce(array_agg(DISTINCT s.what || ' of ' || format('%I.%I', n.nspname, c.relname)
                            || ' #' || md5(concat(s.relation, ' ', s.key))), '{}')
  FROM things s JOIN pg_class c ON c.oid = s.relation JOIN pg_namespace n ON n.oid = c.relnamespace)sql";

const char* const ddl_more_than_columns_query = R"sql(
  WITH RECURSIVE tables AS (
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND %WHICH%
    UNION SELECT h.inhparent FROM pg_inherits h JOIN tables t ON h.inhrelid = t.oid)
  SELECT EXISTS (SELECT FROM tables t WHERE
    EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = t.oid AND o.contype IN ('c', 'x'))
    OR EXISTS (SELECT FROM pg_partitioned_table p WHERE p.partrelid = t.oid)
    OR EXISTS (SELECT FROM pg_statistic_ext s WHERE s.stxrelid = t.oid)
    OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
      OR EXISTS (SELECT FROM unnest(i.indclass::oid[]) k WHERE k >= 16384)))
    OR EXISTS (SELECT FROM pg_attribute a LEFT JOIN pg_type y ON y.oid = a.atttypid AND y.oid < 16384
      LEFT JOIN pg_type e ON e.oid = y.typelem
      WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND (a.attgenerated <> '' OR y.oid IS NULL OR y.typtype NOT IN ('b', 'r', 'm')
          OR y.typelem <> 0 AND (e.oid IS NULL OR e.oid >= 16384 OR e.typtype NOT IN ('b', 'r', 'm'))))))sql";

}  // namespace segue::backfill::postgres
