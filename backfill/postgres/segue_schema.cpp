#include "backfill/postgres/segue_schema.hpp"

namespace segue::backfill::postgres {

namespace {

std::string plain(const std::string& migration) {
    std::string result;
    for (const char c : migration) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        result.push_back(letter ? c : '_');
    }
    return result;
}

}  // namespace

const char* const keep_to_ourselves_sql = R"sql(DO $$ DECLARE given record; BEGIN
  FOR given IN
    SELECT format('ALL ON %s %s', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass) AS what,
      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS whom
    FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
    WHERE c.relnamespace = 'segue'::regnamespace AND c.relkind IN ('r', 'S') AND a.grantee <> c.relowner
    UNION
    SELECT 'ALL ON FUNCTION ' || p.oid::regprocedure,
      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
    FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
    WHERE p.pronamespace = 'segue'::regnamespace AND a.grantee <> p.proowner
      AND p.proname NOT IN ('ddl_room', 'ddl_execute')
    UNION
    SELECT a.privilege_type || ' ON SCHEMA segue',
      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
    FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a
    WHERE n.nspname = 'segue' AND a.grantee <> n.nspowner
      AND NOT (a.grantee = 0 AND a.privilege_type = 'USAGE'
               AND EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'segue_ddl_4')) LOOP
    EXECUTE format('REVOKE %s FROM %s CASCADE', given.what, given.whom);
  END LOOP;
END $$)sql";

std::string slot_name(const std::string& migration, Side stream_of) {
    return "segue_" + plain(migration) + "_" + std::string{name(stream_of)};
}

std::string publication_name(const std::string& migration) { return "segue_" + plain(migration); }

std::vector<std::string> new_table_publication_names(const std::string& migration) {
    std::vector<std::string> names;
    for (int i = 1; i <= new_table_publications; ++i)
        names.push_back(publication_name(migration) + "_new_" + std::to_string(i));
    return names;
}

std::vector<std::string> publication_names(const std::string& migration) {
    std::vector<std::string> names = new_table_publication_names(migration);
    names.insert(names.begin(), publication_name(migration));
    return names;
}

}  // namespace segue::backfill::postgres
