#!/bin/bash
# PostgreSQL's own regression and isolation suites: directly on a server, through Segue, and through Segue while every
# session is moved at random at its boundaries. A test passes when what its client saw is what it saw directly.
#
#   tests/suites/postgres_suites.sh --postgres-source DIR [options]
#   --postgres-source DIR   unpacked sources of the installed PostgreSQL's major version; or SEGUE_POSTGRES_SOURCE.
#                           Debian: apt-get source postgresql-15
#   --suite NAME            regress or isolation; default: both
#   --way NAME              segue or moves; default: both. The direct run always comes first
#   --keep-direct           uses the direct run's results that are in --out already
#   --move-percent N        of the boundaries at which a session is moved (20)
#   --out DIR               where results and differences are kept (build/suites)
#   --segue FILE            the program (build/segue)
#
# Ends with 0 when no test differs, but for those of moves_explained.txt under moves; 77 without the sources.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

sources=${SEGUE_POSTGRES_SOURCE:-} suites=(regress isolation) ways=(segue moves) keep_direct=no percent=20
out=$root/build/suites segue=$root/build/segue
while [ $# -gt 0 ]; do
    case $1 in
        --postgres-source) sources=${2:?folder}; shift ;;
        --suite) suites=("${2:?regress or isolation}"); shift ;;
        --way) ways=("${2:?segue or moves}"); shift ;;
        --keep-direct) keep_direct=yes ;;
        --move-percent) percent=${2:?percentage}; shift ;;
        --out) out=${2:?folder}; shift ;;
        --segue) segue=${2:?file}; shift ;;
        -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
        *) echo "unknown option $1; see --help" >&2; exit 2 ;;
    esac
    shift
done

skipped=77 step_wait_max=15
skip() { echo "SKIPPED: PostgreSQL's own suites: $*" >&2; exit $skipped; }
[ -n "$sources" ] || skip "no sources of PostgreSQL: set SEGUE_POSTGRES_SOURCE or give --postgres-source"
[ -f "$sources/src/test/regress/parallel_schedule" ] || skip "$sources/src/test/regress/parallel_schedule is not there"
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -n "$bin" ] || skip "no PostgreSQL server is installed"
test_programs=$("$bin/pg_config" --pkglibdir)/pgxs/src/test
[ -x "$test_programs/regress/pg_regress" ] || skip "$test_programs/regress/pg_regress is not there (postgresql-server-dev)"
[ -x "$segue" ] || { echo "$segue is not built" >&2; exit 1; }

work=$(mktemp -d /tmp/segue-suites-XXXXXX)
chmod 755 "$work"
as_server() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
segue_pid=
stop_all() {
    set +e
    [ -z "$segue_pid" ] || { kill "$segue_pid"; wait "$segue_pid"; } 2>/dev/null
    segue_pid=
    [ ! -f "$work/data/postmaster.pid" ] || as_server "$bin/pg_ctl" -D "$work/data" -m immediate -s stop >/dev/null 2>&1
    set -e
}
trap 'stop_all; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$out"
read -r server_port segue_port admin_port < <(/usr/bin/python3 "$root/configs/demo_support.py" ports 3)

# The server reads the tests' data itself, so the suites are copied to where it may.
prepare() {
    cp -r "$sources/src/test/regress" "$sources/src/test/isolation" "$work/"
    "${CC:-gcc}" -shared -fPIC -O1 -w -I"$("$bin/pg_config" --includedir-server)" "$work/regress/regress.c" -o "$work/regress/regress.so"
    cp "$("$bin/pg_config" --pkglibdir)"/{refint,autoinc}.so "$work/regress/"
    mkdir "$work/results" "$work/data"
    [ "$(id -u)" != 0 ] || chown -R postgres "$work"
    as_server "$bin/initdb" -D "$work/template" -U postgres -A trust -E UTF8 --no-locale --no-sync >/dev/null
    as_server tee -a "$work/template/postgresql.conf" >/dev/null <<CONF
listen_addresses = '127.0.0.1'
port = $server_port
unix_socket_directories = ''
fsync = off
max_prepared_transactions = 2
max_connections = 150
log_autovacuum_min_duration = 0
log_temp_files = 128kB
CONF
}

start_server() {
    rm -rf "$work/data"
    as_server cp -a "$work/template" "$work/data"
    as_server "$bin/pg_ctl" -D "$work/data" -w -s -l "$work/data/server.log" start
}

# As the suite's own program makes it, which would make it only after Segue has looked for it.
make_database() {
    "$bin/psql" -X -q -h 127.0.0.1 -p "$server_port" -U postgres -d postgres -c "CREATE DATABASE $1 TEMPLATE template0"
    local setting
    for setting in "lc_messages TO 'C'" "lc_monetary TO 'C'" "lc_numeric TO 'C'" "lc_time TO 'C'" \
        "bytea_output TO 'hex'" "timezone_abbreviations TO 'Default'"; do
        "$bin/psql" -X -q -h 127.0.0.1 -p "$server_port" -U postgres -d postgres -c "ALTER DATABASE $1 SET $setting"
    done
}

start_segue() {  # source database, target database, further lines of the configuration
    cat >"$work/segue.toml" <<CONF
[listen]
address = "127.0.0.1:$segue_port"
[admin]
address = "127.0.0.1:$admin_port"
[source]
url = "postgresql://postgres@127.0.0.1:$server_port/$1"
[target]
url = "postgresql://postgres@127.0.0.1:$server_port/$2"
$3
CONF
    "$segue" --config "$work/segue.toml" run 2>"$work/segue.log" &
    segue_pid=$!
    local tries=0
    until "$bin/pg_isready" -q -U postgres -h 127.0.0.1 -p "$segue_port"; do
        [ $((tries += 1)) -lt 100 ] || { cat "$work/segue.log" >&2; exit 1; }
        read -rt 0.1 <> <(:) || true
    done
}

# The isolation tester asks whether the backend with the pid of its login is blocked. A session that has moved has another
# backend; both have the session's application_name, which is the tester's own and unique in a test.
find_blocked_by_name() {
    "$bin/psql" -Xq -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$server_port" -U postgres -d isolation_regression <<'SQL'
-- Renamed, not replaced: the server calls functions of its own by their OID.
ALTER FUNCTION pg_catalog.pg_isolation_test_session_is_blocked(integer, integer[]) RENAME TO backend_is_blocked;
CREATE FUNCTION pg_catalog.backends_of_session(integer) RETURNS integer[] LANGUAGE sql AS $$
    SELECT array_agg(a.pid) FROM pg_stat_activity a, pg_stat_activity known
     WHERE known.pid = $1 AND a.application_name = known.application_name $$;
CREATE FUNCTION pg_catalog.pg_isolation_test_session_is_blocked(integer, integer[]) RETURNS boolean LANGUAGE sql AS $$
    WITH others AS (SELECT array_agg(u.p) AS pids FROM unnest($2) AS o, unnest(backends_of_session(o)) AS u(p))
    SELECT coalesce(bool_or(backend_is_blocked(own, others.pids)), false)
      FROM others, unnest(backends_of_session($1)) AS own $$;
SQL
}

run() {  # suite, way: its results come to $out/<suite>/<way>
    local suite=$1 way=$2 port=$segue_port program database
    case $suite in
        regress) database=regression program=("$test_programs/regress/pg_regress" --max-concurrent-tests=20
                 "--schedule=$work/regress/parallel_schedule" "--dlpath=$work/regress") ;;
        isolation) database=isolation_regression program=("$test_programs/isolation/pg_isolation_regress"
                   "--schedule=$work/isolation/isolation_schedule") ;;
        *) echo "unknown suite $suite" >&2; exit 2 ;;
    esac
    [ "$suite" != isolation ] || program+=(prepared-transactions prepared-transactions-cic)
    start_server
    if [ $way != direct ]; then
        make_database $database
        program+=(--use-existing)
    fi
    [ "$suite,$way" != isolation,moves ] || find_blocked_by_name
    case $way in
        direct) port=$server_port ;;
        segue) start_segue $database not_migrated "" ;;
        moves) start_segue $database $database "[development]
move_percent = $percent" ;;
        *) echo "unknown way $way" >&2; exit 2 ;;
    esac
    as_server rm -rf "$work/results"
    as_server mkdir "$work/results"
    (cd "$work/results" && as_server env PGUSER=postgres PGISOLATIONTIMEOUT=$step_wait_max "${program[@]}" "--inputdir=$work/$suite" \
        "--outputdir=$work/results" "--bindir=$bin" --host=127.0.0.1 "--port=$port" >"$out/$suite-$way.log" 2>&1) || true
    stop_all
    rm -rf "${out:?}/$suite/$way"
    mkdir -p "$out/$suite/$way"
    cp -r "$work/results/." "$out/$suite/$way/"
    cp "$work/data/server.log" "$out/$suite/$way/"
    [ "$way" = direct ] || mv "$work/segue.log" "$out/$suite/$way/"
}

explained() {  # suite, test: why it may differ under moves
    sed -n "s/^$1  *$2  *//p" "$here/moves_explained.txt"
}

count_moves() {  # Segue's log: how often a boundary moved the session, and why not
    sed -nE 's/.*development: session [0-9]+ //p' "$1" | sed -E 's/(pinned: [a-z]+ [a-zA-Z]+( HOLD)?).*/\1/' | sort | uniq -c | sort -rn
}

unexplained=0
compare() {  # suite, way
    local result test why equal=0 differ=0
    for result in "$out/$1/direct/results"/*.out; do
        test=$(basename "$result" .out)
        if diff -u "$result" "$out/$1/$2/results/$test.out" >"$out/$1/$2/$test.diff" 2>&1; then
            rm "$out/$1/$2/$test.diff"
            equal=$((equal + 1))
            continue
        fi
        differ=$((differ + 1)) why=
        [ "$2" != moves ] || why=$(explained "$1" "$test")
        [ -n "$why" ] || unexplained=$((unexplained + 1))
        printf '  %-32s %4d lines differ  %s\n' "$test" "$(grep -c '^[-+][^-+]' "$out/$1/$2/$test.diff")" "${why:-UNEXPLAINED}"
    done
    echo "$1, $2: $equal tests equal to the direct run, $differ differ"
    [ "$2" != moves ] || count_moves "$out/$1/moves/segue.log"
}

prepare
for suite in "${suites[@]}"; do
    if [ $keep_direct = no ] || [ ! -d "$out/$suite/direct/results" ]; then run "$suite" direct; fi
    grep -E '^ All | tests failed|of [0-9]+ tests' "$out/$suite-direct.log" | sed "s/^/$suite, direct:/" || true
    for way in "${ways[@]}"; do
        run "$suite" "$way"
        compare "$suite" "$way"
    done
done
[ $unexplained = 0 ] || { echo "$unexplained differences that are not explained; see $out/<suite>/<way>/<test>.diff" >&2; exit 1; }
