#!/bin/bash
# Segue beside PgBouncer and, where it is installed, HAProxy on this machine: throughput and CPU time of the proxy's process,
# latency of one client, a large COPY (in turns, medians of their ratios); memory per idle session; longest client wait
# of a change of authority. Needs build/segue; prints tables. About half an hour with three rounds.
#
#   tests/bench/bench.sh [--rounds N] [--seconds S] [--only throughput|latency|copy|memory|change]
#                        [--clients 8,64] [--modes simple,extended,prepared] [--tls 0,1] [--copy-mb 1000] [--look-us 100]
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=3 seconds=12 only= idle=500 changes=3 clients=8,64 modes=simple,extended,prepared tls=0,1 copy_mb=1000 look_us=100
while [ $# -gt 0 ]; do
    case $1 in
        --rounds) rounds=${2:?}; shift ;;
        --seconds) seconds=${2:?}; shift ;;
        --only) only=${2:?}; shift ;;
        --clients) clients=${2:?}; shift ;;
        --modes) modes=${2:?}; shift ;;
        --tls) tls=${2:?}; shift ;;
        --copy-mb) copy_mb=${2:?}; shift ;;
        --look-us) look_us=${2:?}; shift ;;
        *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
    esac
    shift
done
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
export PATH=$bin:$PATH PGPASSWORD=bench
work=$(mktemp -d /tmp/segue-bench-XXXXXX)
chmod 777 "$work"
as_server() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
segue_pid= bouncer_pid= haproxy_pid=
# With it each backend is a group of its own, and on few and busy cores the kernel leaves single ones without any for up to a second.
autogroup=/proc/sys/kernel/sched_autogroup_enabled grouped=
if [ -w $autogroup ] && [ "$(cat $autogroup)" = 1 ]; then grouped=yes; echo 0 >$autogroup; fi
ended() {
    set +e
    [ -z "$grouped" ] || echo 1 >$autogroup
    kill $segue_pid $bouncer_pid $haproxy_pid 2>/dev/null
    wait 2>/dev/null
    for side in source target; do as_server pg_ctl -D "$work/$side" -m immediate -s stop >/dev/null 2>&1; done
    rm -rf "$work"
}
trap ended EXIT
trap 'exit 130' INT TERM

read -r source_port target_port segue_port admin_port bouncer_port haproxy_port < <(/usr/bin/python3 configs/demo_support.py ports 6)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -keyout "$work/key.pem" -out "$work/certificate.pem" 2>/dev/null
chmod 644 "$work/key.pem"

start_server() {
    as_server initdb -D "$work/$1" -U bench -A trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
    as_server tee -a "$work/$1/postgresql.conf" >/dev/null <<CONF
listen_addresses = '127.0.0.1'
port = $2
unix_socket_directories = ''
wal_level = logical
fsync = off
max_connections = 1200
shared_buffers = 256MB
max_wal_size = 4GB
CONF
    as_server pg_ctl -D "$work/$1" -w -s -l "$work/$1/log" start
    psql -X -q -h 127.0.0.1 -p "$2" -U bench -d postgres -c "ALTER ROLE bench PASSWORD 'bench'" -c 'CREATE DATABASE shop'
    sed -i 's/trust/scram-sha-256/' "$work/$1/pg_hba.conf"
    as_server pg_ctl -D "$work/$1" -s reload
}
start_server source "$source_port"
start_server target "$target_port"
fill() { pgbench -i -q -s "$1" -h 127.0.0.1 -p "$source_port" -U bench shop >/dev/null 2>&1; }  # scale
fill 1

cat >"$work/segue.toml" <<CONF
[listen]
address = "127.0.0.1:$segue_port"
tls_certificate = "$work/certificate.pem"
tls_key = "$work/key.pem"
[admin]
address = "127.0.0.1:$admin_port"
[limits]
look_us = $look_us
[source]
url = "postgresql://bench:bench@127.0.0.1:$source_port/shop?sslmode=disable"
[target]
url = "postgresql://bench:bench@127.0.0.1:$target_port/shop?sslmode=disable"
CONF
echo '"bench" "bench"' >"$work/users.txt"
cat >"$work/pgbouncer.ini" <<CONF
[databases]
shop = host=127.0.0.1 port=$source_port
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $bouncer_port
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $work/users.txt
pool_mode = session
max_client_conn = 1000
default_pool_size = 1000
client_tls_sslmode = allow
client_tls_key_file = $work/key.pem
client_tls_cert_file = $work/certificate.pem
pidfile = $work/bouncer.pid
CONF
chmod 644 "$work/users.txt" "$work/pgbouncer.ini"
segue() { build/segue --config "$work/segue.toml" "$@"; }
start_segue() {
    build/segue --config "$work/segue.toml" run 2>>"$work/segue.log" &
    segue_pid=$!
    until /usr/bin/python3 configs/demo_support.py field "127.0.0.1:$admin_port" epoch >/dev/null 2>&1; do kill -0 $segue_pid; done
}
start_segue
if [ "$(id -u)" = 0 ]; then
    runuser -u postgres -- pgbouncer -q "$work/pgbouncer.ini" >/dev/null 2>&1 &
else
    pgbouncer -q "$work/pgbouncer.ini" >/dev/null 2>&1 &
fi
until [ -s "$work/bouncer.pid" ]; do kill -0 $!; done
bouncer_pid=$(cat "$work/bouncer.pid")
haproxy=
if command -v haproxy >/dev/null; then
    cat >"$work/haproxy.cfg" <<CONF
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen postgres
  bind 127.0.0.1:$haproxy_port
  server source 127.0.0.1:$source_port
CONF
    haproxy -db -f "$work/haproxy.cfg" >/dev/null 2>&1 &
    haproxy_pid=$!
    haproxy=HAProxy:$haproxy_port:$haproxy_pid
fi

row() { printf '%-44s %12s %12s %8s\n' "$@"; }
relay_bench() {  # part, proxies
    local part=$1
    shift
    # shellcheck disable=SC2086
    /usr/bin/python3 tests/bench/relay_bench.py "$part" "$@" $haproxy --plain HAProxy,direct --rounds "$rounds" --seconds "$seconds" \
        --clients "$clients" --modes "$modes" --tls "$tls" --copy-mb "$copy_mb"
}
bouncer=PgBouncer:$bouncer_port:$bouncer_pid direct=direct:$source_port
through_segue() { echo "Segue:$segue_port:$segue_pid"; }
throughput() { relay_bench throughput "$bouncer" "$(through_segue)"; }
latency() { relay_bench latency "$direct" "$bouncer" "$(through_segue)"; }
copy() { relay_bench copy "$direct" "$bouncer" "$(through_segue)"; }

# Proportional share of the process's memory, in kB.
memory_of() { awk '/^Pss:/ {print $2}' "/proc/$1/smaps_rollup"; }
memory() {
    row "memory per idle session ($idle sessions)" "" "kB" ""
    local mode before after
    for mode in disable require; do
        kill $segue_pid; wait $segue_pid 2>/dev/null || true
        start_segue
        before=$(memory_of $segue_pid)
        after=$(/usr/bin/python3 - "$segue_pid" "host=127.0.0.1 port=$segue_port user=bench dbname=shop sslmode=$mode" "$idle" <<'PY'
import sys
import psycopg2
sessions = [psycopg2.connect(sys.argv[2]) for _ in range(int(sys.argv[3]))]
for session in sessions:
    session.autocommit = True
    session.cursor().execute("SELECT 1")
with open(f"/proc/{sys.argv[1]}/smaps_rollup") as file:
    print(next(line.split()[1] for line in file if line.startswith("Pss:")))
PY
        )
        row "  $([ $mode = require ] && echo with || echo without) TLS from the client" "" "$(awk "BEGIN {printf \"%.1f\", ($after - $before) / $idle}")" ""
    done
}

change() {
    fill 20  # Sixteen clients shall not wait for each other's branch.
    segue start >/dev/null
    /usr/bin/python3 configs/demo_support.py progress "127.0.0.1:$admin_port" /dev/null 300 >/dev/null
    psql -X -q -h 127.0.0.1 -p "$source_port" -U bench -d shop -c CHECKPOINT
    psql -X -q -h 127.0.0.1 -p "$target_port" -U bench -d shop -c CHECKPOINT
    row "change of authority, 16 clients TPC-B" "" "longest" "hold"
    local number verb from to
    (cd "$work" && exec pgbench -n -c 16 -j 2 -T 600 -M prepared -l -h 127.0.0.1 -p "$segue_port" -U bench shop) >"$work/tpcb.out" 2>&1 &
    local bench_pid=$!
    sleep 5
    for number in $(seq $changes); do
        for verb in cutover rollback; do
            from=$(date +%s.%N)
            segue $verb >"$work/verb.out" 2>&1 || cat "$work/verb.out"
            to=$(date +%s.%N)
            echo "$verb $from $to $(/usr/bin/python3 configs/demo_support.py field "127.0.0.1:$admin_port" last_change.hold_ms)" >>"$work/changes"
            sleep 3
        done
    done
    kill -ALRM $bench_pid
    wait $bench_pid || true
    grep -E 'failed|aborted' "$work/tpcb.out" | grep -v ': 0 ' || true
    while read -r verb from to hold; do
        row "  $verb" "" "$(awk -v from="$from" -v to="$to" '{end = $5 + $6 / 1e6; took = $3 / 1e6
            if (end >= from && end - took <= to && took > worst) worst = took} END {printf "%.0f ms", worst * 1000}' "$work"/pgbench_log.*)" "$hold ms"
    done <"$work/changes"
    sed -n 's/^tps = \([0-9]*\).*/  \1 transactions\/s on average, the changes included/p' "$work/tpcb.out"
}

echo "$(nproc) cores, $(awk '/MemTotal/ {printf "%d GB", $2 / 1e6}' /proc/meminfo), PostgreSQL $(postgres --version | awk '{print $3}'), $(pgbouncer --version | head -1), load $(cut -d' ' -f1 /proc/loadavg)"
for part in throughput latency copy memory change; do
    [ -z "$only" ] || [ "$only" = $part ] || continue
    $part
done
