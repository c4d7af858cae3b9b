#!/bin/bash
# Segue in three minutes: moves a live database between two throwaway servers, there, back and there again, while
# two applications go on writing, and proves that nothing was lost.
#
#   configs/demo.sh           cleans up after itself
#   configs/demo.sh --keep    stops before `finish`, leaves everything running and prints the addresses
set -euo pipefail
cd "$(dirname "$0")/.."

keep=no
case ${1:-} in
    '') ;;
    --keep) keep=yes ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; [ "$1" = --help ] && exit 0; exit 2 ;;
esac

bold= dim= red= green= plain=
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
fi
step=0
title() { step=$((step + 1)); printf '\n%s%2d  %s%s\n' "$bold" $step "$*" "$plain"; }
say() { printf '     %s\n' "$*"; }

# --- build --------------------------------------------------------------------------------------------------
configs/install_packages.sh
printf '%sBuilding build/segue%s (the first time takes minutes)\n' "$dim" "$plain"
build_log=$(mktemp)
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
{ cmake -S . -B build -G Ninja && ninja -C build segue; } >"$build_log" 2>&1 || { tail -40 "$build_log" >&2; exit 1; }
rm -f "$build_log"
began=$SECONDS

# --- two servers --------------------------------------------------------------------------------------------
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
export PATH=$bin:$PATH PYTHONDONTWRITEBYTECODE=1
work=$(mktemp -d /tmp/segue-demo-XXXXXX)
chmod 755 "$work"
support=configs/demo_support.py
python() { /usr/bin/python3 "$support" "$@"; }
server_user() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }

segue_pid= pgbench_pid= application_pid=
stop_all() {
    local pid
    for pid in $pgbench_pid $application_pid $segue_pid; do kill -CONT "$pid" 2>/dev/null || true; kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for side in source target; do
        [ -d "$work/$side" ] && server_user pg_ctl -D "$work/$side" -m immediate -s stop >/dev/null 2>&1 || true
    done
    rm -rf "$work"
}
ended() {
    local code=$?
    trap - EXIT INT TERM
    set +e
    if [ $code != 0 ]; then
        printf '\n%sThe demo failed.%s' "$red" "$plain"
        [ -s "$work/segue.log" ] && { printf ' The end of the log of segue run:\n'; tail -25 "$work/segue.log"; }
        [ -s "$work/pgbench.err" ] && grep -v '^progress' "$work/pgbench.err" | head -5
    fi
    stop_all
    exit $code
}
trap ended EXIT
trap 'exit 130' INT TERM

read -r source_port target_port listen_port admin_port < <(python ports 4)
admin=127.0.0.1:$admin_port
owner() { echo "postgresql://postgres:owner@127.0.0.1:$1/shop"; }
through=postgresql://shop:secret@127.0.0.1:$listen_port/shop

start_server() {  # side, port
    local data=$work/$1
    mkdir "$data"
    [ "$(id -u)" != 0 ] || chown postgres "$data"
    server_user initdb -D "$data" -U postgres -A scram-sha-256 --pwfile="$work/password" -E UTF8 --locale=C.UTF-8 >/dev/null
    cat >>"$data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $2
unix_socket_directories = ''
wal_level = logical
max_connections = 100
shared_buffers = 128MB
max_wal_size = 2GB
CONF
    server_user pg_ctl -D "$data" -w -s -l "$data/log" start
}
server_sql() { PGPASSWORD=owner psql -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$1" -U postgres "${@:2}"; }

title "Two throwaway PostgreSQL servers"
echo owner >"$work/password"
chmod 644 "$work/password"
start_server source "$source_port" &
start_server target "$target_port" &
wait -n && wait -n
for port in $source_port $target_port; do
    server_sql "$port" -c "CREATE ROLE segue SUPERUSER REPLICATION LOGIN PASSWORD 'mover'" -c "CREATE DATABASE shop"
done
server_sql "$source_port" -c "CREATE ROLE shop LOGIN PASSWORD 'secret'" -c "ALTER DATABASE shop OWNER TO shop"
{ echo "SET client_min_messages = warning;"; cat configs/demo.sql; } | PGPASSWORD=secret psql -X -q -v ON_ERROR_STOP=1 -U shop -h 127.0.0.1 -p "$source_port" shop
PGPASSWORD=secret pgbench -i -q -s 10 -U shop -h 127.0.0.1 -p "$source_port" shop >/dev/null 2>&1
size=$(server_sql "$source_port" -At -d shop -c "SELECT pg_size_pretty(pg_database_size('shop'))")
version=$(server_sql "$source_port" -At -c "SHOW server_version")
say "source  127.0.0.1:$source_port   PostgreSQL $version, $size"
say "target  127.0.0.1:$target_port   empty"

cat >"$work/segue.toml" <<CONF
[listen]
address = "127.0.0.1:$listen_port"
[admin]
address = "$admin"
[source]
url = "postgresql://segue:mover@127.0.0.1:$source_port/shop"
[target]
url = "postgresql://segue:mover@127.0.0.1:$target_port/shop"
CONF

# Runs a verb as the operator would, indented, and gives up when it fails or hangs.
verb() {
    printf '     %s$ segue %s%s\n' "$bold" "$*" "$plain"
    timeout 150 build/segue --config "$work/segue.toml" "$@" >"$work/verb.out" 2>&1 || {
        sed 's/^/     /' "$work/verb.out"
        printf '     %ssegue %s failed%s\n' "$red" "$*" "$plain"
        exit 1
    }
    sed 's/^/     /' "$work/verb.out"
}
changes=()
change() {  # verb; remembers how long Segue had a client wait, and when it was, for the slowest transaction meanwhile
    local from to
    from=$(date +%s.%N)
    verb "$1"
    to=$(date +%s.%N)
    changes+=("$1 $from $to $(show last_change.longest_wait_ms)")
}
# Lets the applications work; `wait` returns early when one of them is gone.
work_for() {
    sleep "$1"
    kill -0 "$pgbench_pid" 2>/dev/null || { say "pgbench ended:"; cat "$work/pgbench.err"; exit 1; }
}
show() { python field "$admin" "$@" | paste -sd' '; }

# --- the move -----------------------------------------------------------------------------------------------
title "The applications connect to Segue instead of the source"
build/segue --config "$work/segue.toml" run >"$work/segue.log" 2>&1 &
segue_pid=$!
for _ in $(seq 100); do show epoch >/dev/null 2>&1 && break; sleep 0.1; done
cat >"$work/mixed.sql" <<'SQL'
\set customer random(1, 20000)
SELECT name, mood, address FROM shop.customers WHERE id = :customer;
SELECT count(*), sum(total) FROM shop.orders WHERE customer = :customer;
UPDATE shop.customers SET visits = visits + int4range(:customer, :customer + 9) WHERE id = :customer;
SQL
(cd "$work" && PGPASSWORD=secret exec pgbench -n -h 127.0.0.1 -p "$listen_port" -U shop -c 6 -j 2 -M prepared -R 300 -T 3600 \
    -P 1 -l -b tpcb-like@2 -f mixed.sql@1 shop >"$work/pgbench.out" 2>"$work/pgbench.err") &
pgbench_pid=$!
/usr/bin/python3 "$support" application "$through" "$work/application.json" &
application_pid=$!
say "6 pgbench clients (prepared, TPC-B and a mixed script, 300 transactions/s)"
say "4 psycopg sessions (settings, LISTEN/NOTIFY, COPY, jsonb, arrays, large text, no key, partitions)"
work_for 2

title "Check, then copy while they write"
verb check
verb start
python progress "$admin" "$work/pgbench.err" 120
verb mirror sync
say "from here on an acknowledged commit is on both servers"

title "Compare reads, answer reads from the target, prove equality"
verb shadow 100
work_for 3
say "reads compared, equal, different: $(show shadow.compared shadow.equal shadow.different)"
verb shift 50
work_for 3
say "reads answered by the target, fallbacks: $(show shift.served_by_follower shift.fallbacks)"
verb verify
verb rehearse

title "Cut over: the target answers"
change cutover
work_for 4

title "Something looks bad: back, with every write made meanwhile"
change rollback
work_for 4

title "All is well: cut over for good"
change cutover
work_for 3

# --- the proof ----------------------------------------------------------------------------------------------
title "The proof: both servers, every row (the clients are frozen for this, their sessions stay)"
kill -STOP "$pgbench_pid" "$application_pid"
python quiet "$admin" 20
read -r tables rows differences < <(python compare "$(owner "$source_port")" "$(owner "$target_port")" | tee "$work/compared" | tail -1)
sed '$d' "$work/compared"
kill -CONT "$pgbench_pid" "$application_pid"

if [ $keep = yes ]; then
    trap - EXIT INT TERM
    {
        echo "kill $pgbench_pid $application_pid $segue_pid"
        for side in source target; do
            prefix=
            [ "$(id -u)" != 0 ] || prefix='runuser -u postgres -- '
            echo "${prefix}$bin/pg_ctl -D $work/$side -m immediate stop"
        done
        echo "rm -rf $work"
    } >"$work/stop.sh"
    say "$rows rows in $tables tables compared, $differences differences"
    title "Everything keeps running"
    say "clients:   psql '$through'"
    say "operator:  build/segue --config $work/segue.toml status --watch"
    say "source:    psql '$(owner "$source_port")'"
    say "target:    psql '$(owner "$target_port")'"
    say "load:      tail -f $work/pgbench.err"
    say "log:       tail -f $work/segue.log"
    say "the end:   sh $work/stop.sh"
    exit 0
fi

verb finish
work_for 2
# pgbench ends by its alarm, as if its time were over: it finishes its transactions and sums up.
kill -ALRM "$pgbench_pid"
kill -TERM "$application_pid"
pgbench_code=0
wait "$pgbench_pid" || pgbench_code=$?
wait "$application_pid" || true
pgbench_done=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$work/pgbench.out")
pgbench_failed=$(sed -n 's/^number of failed transactions: \([0-9]*\).*/\1/p' "$work/pgbench.out")
pgbench_aborted=$(grep -c 'aborted' "$work/pgbench.err" || true)
read -r app_done app_errors sent received < <(python summary "$work")
errors=$((${pgbench_failed:-1} + pgbench_aborted + app_errors + (pgbench_code != 0)))
sums=$(server_sql "$target_port" -At -d shop -c "SELECT (SELECT sum(abalance) FROM shop.pgbench_accounts) = (SELECT sum(bbalance)
    FROM shop.pgbench_branches) AND (SELECT sum(bbalance) FROM shop.pgbench_branches) = (SELECT coalesce(sum(delta), 0) FROM shop.pgbench_history)
    AND (SELECT sum(tbalance) FROM shop.pgbench_tellers) = (SELECT sum(bbalance) FROM shop.pgbench_branches)")
balanced=no
[ "$sums" = t ] && balanced=yes

printf '\n'
line() { printf '     %-46s %s\n' "$1" "$2"; }
line "transactions done" "$((${pgbench_done:-0} + app_done))"
line "errors seen by clients" "$errors"
for entry in "${changes[@]}"; do
    read -r name from to waited <<<"$entry"
    line "longest wait of a client, $name" "$waited ms"
    line "  slowest transaction meanwhile, from its begin" "$(python longest "$work" "$from" "$to") ms"
done
line "notifications sent, heard" "$sent, $received"
line "rows compared, tables" "$rows, $tables"
line "differences" "$differences"
line "balances on the target agree" "$balanced"
line "time of the demo" "$((SECONDS - began)) s"
if [ "$errors" = 0 ] && [ "$differences" = 0 ] && [ "$balanced" = yes ] && [ "$sent" = "$received" ]; then
    printf '\n     %sNothing was lost.%s\n\n' "$green$bold" "$plain"
else
    exit 1
fi
