#!/usr/bin/python3
"""The relay beside other proxies: throughput, CPU time of the proxy's process, latency of one client, a large COPY.

Knows only ports and process ids. Latency and COPY are measured in interleaved rounds. For the throughput the loads of all
proxies stand ready at once and run in short turns, all others stopped: a machine whose speed changes from second to second
slows all of them alike. What is printed is the median of the rounds and the median of the rounds' ratios to the first proxy
that is named.
"""
import argparse
import glob
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

MODES = ("simple", "extended", "prepared")
COPY_ROW = 1000  # Bytes a row, about.
WARM_UP = 2  # Seconds of a run for latency before those that count: server connections begin with empty caches.
TURN = 0.4  # Seconds.
LOGIN = 1  # Seconds of a load's own, first, for all its logins.


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


def pgbench(args, proxy, seconds, *options):
    return ["pgbench", "-n", "-S", "-h", "127.0.0.1", "-p", str(proxy.port), "-U", args.user, "-T", str(seconds), *options, args.database]


class Load:
    """A pgbench that is stopped but for its turns."""

    def __init__(self, args, proxy, tls, *options):
        self.proxy, self.ran, self.cpu = proxy, 0.0, 0.0
        at_most = 60 + 2 * args.seconds * len(args.proxies)  # It ends when it is told to.
        self.process = subprocess.Popen(pgbench(args, proxy, at_most, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=environment(tls))
        self.turn(LOGIN, stopped=False)

    def turn(self, seconds, stopped=True):
        before, began = self.proxy.cpu_seconds(), time.monotonic()
        if stopped:
            self.process.send_signal(signal.SIGCONT)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGSTOP)
        self.ran += time.monotonic() - began
        time.sleep(0.003)  # The last answers are still on their way.
        self.cpu += self.proxy.cpu_seconds() - before

    def end(self):
        """Transactions a second, and seconds of the proxy's processor time for 100,000 of them."""
        self.process.send_signal(signal.SIGALRM)
        self.process.send_signal(signal.SIGCONT)
        output, errors = self.process.communicate()
        found = re.search(r"actually processed: (\d+)", output)
        if self.process.returncode != 0 or found is None:
            sys.exit(f"pgbench through {self.proxy.name}: {errors.strip() or output.strip()}")
        count = int(found.group(1))
        return count / self.ran, self.cpu / count * 1e5


def in_turns(args, proxies, tls, *options):
    """{proxy: [(transactions a second, processor time) of each round]}."""
    results = {proxy: [] for proxy in proxies}
    for number in range(args.rounds):
        loads = []
        try:
            for proxy in proxies if number % 2 == 0 else reversed(proxies):
                loads.append(Load(args, proxy, tls, *options))
            for _ in range(round(args.seconds / TURN)):
                for load in loads:
                    load.turn(TURN)
            for load in loads:
                results[load.proxy].append(load.end())
        finally:
            for load in loads:
                load.process.kill()
    return results


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
                results = in_turns(args, able, tls, "-M", mode, "-c", str(clients), "-j", str(min(2, clients)))
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
                command = pgbench(args, proxy, WARM_UP + args.seconds, "-M", "prepared", "-c", "1", "-l", f"--log-prefix={prefix}")
                subprocess.run(command, check=True, capture_output=True, env=environment(tls))
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
    parser.add_argument("--seconds", type=int, default=12)
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
