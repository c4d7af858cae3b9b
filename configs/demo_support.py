#!/usr/bin/python3
"""What configs/demo.sh needs beyond a shell: a psycopg application, the progress display, the sums of the proof.

Knows nothing of Segue but INTERFACE: the address that clients use and GET /status.
"""
import glob
import json
import os
import random
import signal
import sys
import threading
import time
import urllib.request

TTY = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
SESSIONS = 3
NOTIFY_EVERY = 10


class Application:
    """Sessions with settings, prepared statements, listeners and every hard type; each notes how long it waited."""

    def __init__(self, url):
        import psycopg

        self.psycopg, self.url = psycopg, url
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.samples, self.errors = [], []  # (end, seconds); texts
        self.committed = self.sent = self.received = 0

    def note(self, began, error=None):
        with self.lock:
            self.samples.append((time.time(), time.time() - began))
            if error is None:
                self.committed += 1
            else:
                self.errors.append(error)

    def transaction(self, db, number, session):
        tenant = f"tenant {session}"
        customer = random.randint(1, 2000)
        with db.transaction():
            row = db.execute("SELECT current_setting('app.tenant'), current_setting('statement_timeout')").fetchone()
            if row != (tenant, "55s"):
                raise RuntimeError(f"the session lost its settings: {row}")
            db.execute(
                "INSERT INTO shop.orders (customer, number, total, items, extra, receipt) VALUES (%s, %s, %s, %s, %s, %s)",
                (customer, session * 10_000_000 + number, "19.990", ["book", 'a "quoted" one', None],
                 json.dumps({"n": number, "note": None}), os.urandom(20)), prepare=True)
            kind = number % 6
            if kind == 0:
                db.execute("UPDATE shop.customers SET address = address || %s, mood = 'busy' WHERE id = %s",
                           (json.dumps({"seen": number}), customer), prepare=True)
            elif kind == 1:
                db.execute("UPDATE shop.documents SET views = views + 1 WHERE id = %s", (random.randint(1, 200),), prepare=True)
            elif kind == 2:
                db.execute("INSERT INTO shop.notes VALUES (%s, 'same'), (%s, 'same')", (session, session), prepare=True)
                db.execute("DELETE FROM shop.notes WHERE ctid = (SELECT ctid FROM shop.notes WHERE a = %s LIMIT 1)", (session,))
            elif kind == 3:
                event = db.execute("INSERT INTO shop.events (region, at, what) VALUES (%s, now(), 'clicked') RETURNING id",
                                   (random.choice(["north", "south", "west"]),), prepare=True).fetchone()[0]
                db.execute("UPDATE shop.events SET region = 'south' WHERE id = %s", (event,), prepare=True)
            elif kind == 4:
                db.execute("UPDATE shop.orders SET number = -number WHERE customer = %s AND number = %s",
                           (customer, session * 10_000_000 + number), prepare=True)
            else:
                with db.cursor().copy("COPY shop.imported FROM STDIN") as copy:
                    for i in range(10):
                        copy.write_row((f"{session}-{number}-{i}", "x" * 50))
            if number % NOTIFY_EVERY == 0:
                db.execute("SELECT pg_notify('orders', %s)", (f"{session} {number}",))

    def session(self, session):
        db = None
        number = 0
        while not self.stopping.is_set():
            number += 1
            began = time.time()
            try:
                if db is None or db.closed:
                    db = self.psycopg.connect(self.url, autocommit=True, application_name=f"shop {session}")
                    db.execute(f"SET app.tenant = 'tenant {session}'; SET statement_timeout = '55s'")
                    began = time.time()
                self.transaction(db, number, session)
                self.note(began)
                if number % NOTIFY_EVERY == 0:
                    with self.lock:
                        self.sent += 1
            except Exception as error:  # Whatever a client sees is counted.
                self.note(began, f"session {session}: {type(error).__name__}: {error}")
            self.stopping.wait(0.02)

    def listener(self, ready):
        def heard(_):
            with self.lock:
                self.received += 1

        try:
            with self.psycopg.connect(self.url, autocommit=True, application_name="shop listener") as db:
                db.add_notify_handler(heard)
                db.execute("LISTEN orders")
                ready.set()
                silent = 0
                while not (self.stopping.is_set() and (self.received >= self.sent or silent > 20)):
                    began = time.time()
                    db.execute("SELECT count(*) FROM shop.customers WHERE id < 100")
                    self.note(began)
                    silent += self.stopping.is_set()
                    time.sleep(0.05)
        except Exception as error:
            self.note(time.time(), f"listener: {type(error).__name__}: {error}")
            ready.set()

    def run(self, output):
        signal.signal(signal.SIGTERM, lambda *_: self.stopping.set())
        ready = threading.Event()
        threads = [threading.Thread(target=self.listener, args=(ready,))]
        threads[0].start()
        ready.wait(30)
        threads += [threading.Thread(target=self.session, args=(n,)) for n in range(1, SESSIONS + 1)]
        for thread in threads[1:]:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(0.2)
        with open(output, "w") as file:
            json.dump({"committed": self.committed, "errors": self.errors, "samples": self.samples,
                       "sent": self.sent, "received": self.received}, file)


def status(admin):
    with urllib.request.urlopen(f"http://{admin}/status", timeout=10) as answer:
        return json.load(answer)


def number(value):
    return "?" if value is None else f"{value:,.0f}"


def load_rate(path):
    """The newest rate of pgbench's own progress lines."""
    try:
        with open(path) as file:
            lines = [line for line in file if line.startswith("progress:")]
        return lines[-1].split(",")[1].strip() if lines else ""
    except OSError:
        return ""


def progress(admin, load, limit):
    """Draws until backfill.state is consistent."""
    began = shown = time.time()
    while time.time() - began < float(limit):
        now = status(admin)
        backfill = now["backfill"]
        done = backfill["state"] == "consistent"
        copied, total = backfill["rows_copied"] or 0, backfill["rows_total_estimate"] or 0
        share = 1.0 if done else min(1.0, copied / total) if total else 0.0
        tables = backfill["tables"] or []
        filled = int(share * 30)
        eta = backfill["eta_seconds"]
        line = (f"     [{'█' * filled}{'·' * (30 - filled)}] {share:4.0%}  {number(copied)} rows, "
                f"{(backfill['bytes_copied'] or 0) / 1e6:,.0f} MB, {len(tables)} tables"
                f"{'' if done or eta is None else f', {eta:.0f} s left'}   application: {load_rate(load)}")
        if TTY:
            print(f"\r\033[K{line}", end="", flush=True)
        elif done or time.time() - shown > 2:
            print(line.replace("█", "#").replace("·", "."), flush=True)
            shown = time.time()
        if done:
            if TTY:
                print()
            print(f"     consistent after {time.time() - began:.1f} s")
            return 0
        time.sleep(0.1)
    print(f"\n     not consistent after {limit} s: {json.dumps(status(admin))}", file=sys.stderr)
    return 1


def field(admin, *paths):
    now = status(admin)
    for path in paths:
        value = now
        for part in path.split("."):
            value = value[part] if value is not None else None
        print(value if not isinstance(value, float) else f"{value:.1f}")
    return 0


def quiet(admin, limit):
    """Waits until the follower has everything: clients are frozen."""
    began = time.time()
    while time.time() - began < float(limit):
        if status(admin)["mirror"]["lag_bytes"] == 0:
            return 0
        time.sleep(0.05)
    print("the follower does not reach the authority: " + json.dumps(status(admin)["mirror"]), file=sys.stderr)
    return 1


def compare(source, target):
    """Every row of every user table, on both servers, by PostgreSQL's own hash of the row's text."""
    import psycopg

    tables_sql = ("SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = "
                  "c.relnamespace WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname NOT IN "
                  "('information_schema', 'segue') ORDER BY 1")
    rows = differences = 0
    with psycopg.connect(source) as a, psycopg.connect(target) as b:
        for db in (a, b):
            db.execute("SET search_path = ''; SET timezone = 'UTC'; SET extra_float_digits = 3")
        tables = [[row[0] for row in db.execute(tables_sql)] for db in (a, b)]
        for table in sorted(set(tables[0]) ^ set(tables[1])):
            differences += 1
            print(f"     {table} is on one side only")
        for table in sorted(set(tables[0]) & set(tables[1])):
            sql = f"SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM ONLY {table} t"
            there, here = (db.execute(sql).fetchone() for db in (a, b))
            rows += here[0]
            if there != here:
                differences += max(1, abs(there[0] - here[0]))
                print(f"     {table} differs: {there[0]} rows and {here[0]} rows")
    print(f"{len(tables[0])} {rows} {differences}")
    return 0


def longest(folder, start, end):
    """The slowest of all whole transactions that were under way between two instants, in milliseconds."""
    start, end = float(start), float(end)
    worst = 0.0
    for path in glob.glob(f"{folder}/pgbench_log.*"):
        with open(path) as file:
            for line in file:
                part = line.split()
                if len(part) < 6 or not part[2].isdigit():
                    continue
                # Without the time for which pgbench itself was behind its schedule.
                lag = int(part[6]) if len(part) > 6 else 0
                ended, took = int(part[4]) + int(part[5]) / 1e6, (int(part[2]) - lag) / 1e6
                if ended >= start and ended - took <= end:
                    worst = max(worst, took)
    with open(f"{folder}/application.json") as file:
        for ended, took in json.load(file)["samples"]:
            if ended >= start and ended - took <= end:
                worst = max(worst, took)
    print(f"{worst * 1000:.0f}")
    return 0


def summary(folder):
    """Transactions, errors, notifications sent and received by the psycopg application; its first errors to stderr."""
    with open(f"{folder}/application.json") as file:
        told = json.load(file)
    for error in told["errors"][:5]:
        print(f"     {error}", file=sys.stderr)
    print(told["committed"], len(told["errors"]), told["sent"], told["received"])
    return 0


def ports(count):
    import socket

    taken = []
    for _ in range(int(count)):
        taken.append(socket.socket())
        taken[-1].bind(("127.0.0.1", 0))
    print(*(s.getsockname()[1] for s in taken))
    return 0


if __name__ == "__main__":
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "application":
        Application(arguments[0]).run(arguments[1])
        sys.exit(0)
    sys.exit({"progress": progress, "field": field, "quiet": quiet, "compare": compare, "longest": longest,
              "summary": summary, "ports": ports}[command](*arguments))
