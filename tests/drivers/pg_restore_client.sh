#!/bin/bash
# pg_dump and pg_restore: tables are dumped, emptied and restored in every round. Connects by PG* variables. Not pg_dump --jobs: it
# connects anew from inside a transaction, and a change of authority that is waiting for that transaction holds new connections.
set -euo pipefail

rows=140 # Of app.hard and app.document.
over='' n=0
trap 'over=yes' TERM
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

while [ -z "$over" ]; do
    n=$((n + 1))
    port=$(psql -XAtq -v ON_ERROR_STOP=1 -c "INSERT INTO app.kept SELECT 'pg_restore', $n, 'busy', $n.25, ARRAY['pg_restore', 'a,b', NULL],
        '{\"n\": $n}', set_byte('\\x0000ff', 1, $n % 256), '2026-01-01 00:00+00'::timestamptz + $n * interval '1 hour'
        RETURNING inet_server_port()")
    rm -rf "$folder/dump"
    pg_dump --format=directory --table=app.hard --table=app.document --file="$folder/dump"
    psql -XAtq -v ON_ERROR_STOP=1 -c 'TRUNCATE app.hard, app.document'
    pg_restore --data-only --jobs=2 --exit-on-error --dbname="$PGDATABASE" "$folder/dump"
    found=$(psql -XAtc 'SELECT (SELECT count(*) FROM app.hard) + (SELECT count(*) FROM app.document)')
    [ "$found" = $rows ] || { echo "round $n: $found rows instead of $rows"; exit 1; }
    echo "round $n port $port"
done
