#!/bin/bash
# psql: one session that is fed statements and psql's own commands. Connects by PG* variables.
set -euo pipefail

large=2000 # Rows of app.keyed.
over='' n=0
trap 'over=yes' TERM

fail() {
    echo "round $n: $1"
    exit 1
}

# Sets `answer` to the lines that psql says to its input, joined by spaces.
coproc psql { exec psql -XAtq -v ON_ERROR_STOP=1 2>&1; }
psql_process=$psql_PID # Bash forgets the variable as soon as psql has ended.
ask() {
    local line
    answer=
    printf '%s\n' "$@" '\echo answered' >&"${psql[1]}"
    while IFS= read -r line <&"${psql[0]}" && [ "$line" != answered ]; do answer+="$line "; done
    [ "$line" = answered ] || fail "psql has ended: $answer$line"
}
expect() { [ "$answer" = "$1 " ] || fail "'${answer:0:300}' instead of '$1'"; }

ask "SET app.tenant = 'psql'; LISTEN psql; PREPARE give (int, int) AS UPDATE app.account SET balance = balance + \$1 WHERE id = \$2;"
while [ -z "$over" ]; do
    n=$((n + 1))
    ask 'BEGIN;' "INSERT INTO app.kept SELECT 'psql', $n, 'busy', $n.25, ARRAY['psql', 'a,b', NULL], '{\"n\": $n}',
            set_byte('\\x0000ff', 1, $n % 256), '2026-01-01 00:00+00'::timestamptz + $n * interval '1 hour';" \
        "EXECUTE give($n, 25); EXECUTE give(-$n, 26);" 'SELECT inet_server_port() AS port \gset' 'COMMIT;' '\echo :port'
    port=${answer% }
    ask "SELECT number, mood, current_setting('app.tenant') FROM app.kept WHERE client = 'psql' AND number = $n;"
    expect "$n|busy|psql"
    ask '\copy app.keyed TO /dev/null' "\\copy app.loose FROM PROGRAM 'echo $n,copy,1.5' (FORMAT csv)" '\d app.account'
    expect 'id|integer||not null| balance|bigint||not null| touched|timestamp with time zone|||now()'
    ask "SELECT 'calm' AS mood, 2 AS b \\gdesc" "SELECT format('SELECT %s;', i) FROM generate_series(1, 3) i \\gexec"
    expect 'mood|text b|integer 1 2 3'
    ask '\set FETCH_COUNT 300' 'SELECT id FROM app.keyed;' '\unset FETCH_COUNT'
    [ "$(wc -w <<<"$answer")" = $large ] || fail "${answer:0:300}"
    ask '\set ON_ERROR_STOP 0' 'BEGIN; SAVEPOINT before;' 'SELECT 1 / (id - id) FROM app.account;' 'ROLLBACK TO before;' 'SELECT 5;' \
        'COMMIT;' 'SET statement_timeout = 20;' 'SELECT pg_sleep(30);' '\echo :SQLSTATE' 'RESET statement_timeout;' '\set ON_ERROR_STOP 1'
    expect 'ERROR:  division by zero 5 ERROR:  canceling statement due to statement timeout 57014'
    ask "NOTIFY psql, '$n';"
    [[ $answer = *"with payload \"$n\""* ]] || fail "$answer"
    [ "$(psql -XAtc 'SELECT 6')" = 6 ] || fail 'another psql'
    echo "round $n port $port"
done
exec {psql[1]}>&-
wait "$psql_process"
