#!/usr/bin/python3
"""The relay beside other proxies: throughput, CPU time of the proxy's process, latency of one client, a large COPY.

Knows only ports and process ids. Every comparison is made in interleaved rounds; what is printed is the median of the
rounds and the median of the rounds' ratios to the first proxy that is named. The first seconds of a run do not count:
a pooler's server connections are warm already, those of the others begin with empty caches and page tables.
"""
import argparse
import glob
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

MODES = ("simple", "extended", "prepared")
COPY_ROW = 1000  # Bytes a row, about.
WARM_UP = 2  # Seconds of each run before those that count.


class Proxy:
    def __init__(self, text):  # name:port[:pid]
        self.name, port, *pid = text.split(":")
        self.port, self.pid = int(port), int(pid[0]) if pid else None

    def cpu_seconds(self):
        """Of all threads, to the nanosecond. Threads that end take theirs with them: none does while we measure."""
        if self.pid is None:
            return 0.0
        total = 0
        for path in glob.glob(f"/proc/{self.pid}/task/*/schedstat"):
            with open(path) as file:
                total += int(file.read().split()[0])
        return total / 1e9


def environment(tls):
    return dict(os.environ, PGSSLMODE="require" if tls else "disable", PGGSSENCMODE="disable")


def pgbench(args, proxy, tls, *options):
    command = ["pgbench", "-n", "-S", "-h", "127.0.0.1", "-p", str(proxy.port), "-U", args.user, "-P", "1",
               "-T", str(WARM_UP + args.seconds), *options, args.database]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(tls), check=False)
    found = re.search(r"actually processed: (\d+)", done.stdout)
    if done.returncode != 0 or found is None:
        sys.exit(f"pgbench through {proxy.name}: {done.stderr.strip() or done.stdout.strip()}")
    seconds = [float(tps) for tps in re.findall(r"^progress: [\d.]+ s, ([\d.]+) tps", done.stderr, re.M)]
    return int(found.group(1)), statistics.fmean(seconds[WARM_UP:])


def interleaved(proxies, rounds, measure):
    """{proxy: [what `measure` returned in each round]}; every second round runs backwards."""
    results = {proxy: [] for proxy in proxies}
    for number in range(rounds):
        for proxy in proxies if number % 2 == 0 else reversed(proxies):
            results[proxy].append(measure(proxy))
    return results


def ratio(results, proxy, value):
    """The median of the rounds' ratios to the first proxy."""
    first = next(iter(results))
    return statistics.median(value(a) / value(b) for a, b in zip(results[proxy], results[first]))


def throughput(args, proxies):
    print(f"{'select-only, median of ' + str(args.rounds):34} {'proxy':10} {'tps':>8} {'ratio':>6} {'CPU s / 100k':>13} {'ratio':>6}")
    for tls in args.tls:
        able = [proxy for proxy in proxies if proxy.pid and not (tls and proxy.name in args.plain)]
        for mode in args.modes:
            for clients in args.clients:
                def measure(proxy):
                    before = proxy.cpu_seconds()
                    count, tps = pgbench(args, proxy, tls, "-M", mode, "-c", str(clients), "-j", str(min(2, clients)))
                    return tps, (proxy.cpu_seconds() - before) / count * 1e5
                results = interleaved(able, args.rounds, measure)
                for proxy in able:
                    tps, cpu = (statistics.median(one[i] for one in results[proxy]) for i in (0, 1))
                    label = f"{mode}, {clients} clients, TLS {'on' if tls else 'off'}" if proxy is able[0] else ""
                    print(f"  {label:32} {proxy.name:10} {tps:8.0f} {ratio(results, proxy, lambda one: one[0]):6.3f} "
                          f"{cpu:13.2f} {ratio(results, proxy, lambda one: one[1]):6.3f}", flush=True)


def latency(args, proxies):
    print(f"{'latency of one client, ms':34} {'proxy':10} {'mean':>8} {'p50':>8} {'p99':>8}")
    for tls in args.tls:
        able = [proxy for proxy in proxies if not (tls and proxy.name in args.plain)]

        def measure(proxy):
            with tempfile.TemporaryDirectory() as folder:
                prefix = os.path.join(folder, "log")
                pgbench(args, proxy, tls, "-M", "prepared", "-c", "1", "-l", f"--log-prefix={prefix}")
                with open(glob.glob(prefix + "*")[0]) as file:
                    entries = [line.split() for line in file]
                began = int(entries[0][4]) + WARM_UP
                times = sorted(int(entry[2]) / 1000 for entry in entries if int(entry[4]) >= began)
            return statistics.fmean(times), times[len(times) // 2], times[len(times) * 99 // 100]
        results = interleaved(able, args.rounds, measure)
        for proxy in able:
            mean, p50, p99 = (statistics.median(one[i] for one in results[proxy]) for i in (0, 1, 2))
            label = f"TLS {'on' if tls else 'off'}" if proxy is able[0] else ""
            print(f"  {label:32} {proxy.name:10} {mean:8.4f} {p50:8.4f} {p99:8.4f}", flush=True)


def copy(args, proxies):
    rows = args.copy_mb * 1_000_000 // COPY_ROW
    row = "x" * (COPY_ROW - 1)
    print(f"{'COPY of ' + str(args.copy_mb) + ' MB, seconds':34} {'proxy':10} {'out':>8} {'ratio':>6} {'in':>8} {'ratio':>6}")

    def psql(proxy, tls, statement, **streams):
        command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(proxy.port), "-U", args.user,
                   "-d", args.database, "-c", statement]
        subprocess.run(command, env=environment(tls), check=True, **streams)

    for tls in args.tls:
        able = [proxy for proxy in proxies if not (tls and proxy.name in args.plain)]

        def measure(proxy):
            began = time.monotonic()
            psql(proxy, tls, f"COPY (SELECT repeat('x', {COPY_ROW - 1}) FROM generate_series(1, {rows})) TO STDOUT", stdout=subprocess.DEVNULL)
            between = time.monotonic()
            psql(proxy, tls, "SET client_min_messages = warning; CREATE UNLOGGED TABLE IF NOT EXISTS bench_copy (line text); TRUNCATE bench_copy")
            started = time.monotonic()
            feed = subprocess.Popen(f"yes {row} | head -n {rows}", shell=True, stdout=subprocess.PIPE)
            psql(proxy, tls, "COPY bench_copy FROM STDIN", stdin=feed.stdout)
            feed.wait()
            return between - began, time.monotonic() - started
        results = interleaved(able, args.rounds, measure)
        for proxy in able:
            out, into = (statistics.median(one[i] for one in results[proxy]) for i in (0, 1))
            label = f"TLS {'on' if tls else 'off'}" if proxy is able[0] else ""
            print(f"  {label:32} {proxy.name:10} {out:8.2f} {ratio(results, proxy, lambda one: one[0]):6.3f} "
                  f"{into:8.2f} {ratio(results, proxy, lambda one: one[1]):6.3f}", flush=True)
        psql(able[0], tls, "DROP TABLE IF EXISTS bench_copy")


def main():
    numbers = lambda text: [int(one) for one in text.split(",")]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("throughput", "latency", "copy"))
    parser.add_argument("proxies", nargs="+", type=Proxy, metavar="name:port[:pid]", help="without a pid: the server itself")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--clients", type=numbers, default=[8, 64])
    parser.add_argument("--modes", type=lambda text: text.split(","), default=list(MODES))
    parser.add_argument("--tls", type=numbers, default=[0, 1], help="0, 1 or 0,1")
    parser.add_argument("--plain", type=lambda text: text.split(","), default=[], help="proxies that have no TLS here")
    parser.add_argument("--copy-mb", type=int, default=1000)
    parser.add_argument("--user", default="bench")
    parser.add_argument("--database", default="shop")
    args = parser.parse_args()
    {"throughput": throughput, "latency": latency, "copy": copy}[args.part](args, args.proxies)


if __name__ == "__main__":
    main()
