"""asyncpg with types of the application's own: it asks the catalog for each when it meets it first, and keeps what it learned."""
import asyncio
import signal
import sys

import asyncpg


async def main():
    over = []
    signal.signal(signal.SIGTERM, lambda *_: over.append(True))
    db = await asyncpg.connect(sys.argv[1])
    read = await db.prepare("SELECT mood, moods, pair, pairs, span, level, ROW(mood, 1) AS both FROM kinds.thing WHERE id = $1")
    write = await db.prepare("INSERT INTO kinds.thing (id, mood, moods, pair, pairs, span) VALUES ($1, $2, $3, $4, $5, $6) "
                             "ON CONFLICT (id) DO UPDATE SET pairs = excluded.pairs")
    pair = ("ok", 7, ["sad", "happy"])
    number, later, answered_by = 0, 0, None
    while not over:
        number += 1
        port = await db.fetchval("SELECT inet_server_port()")
        row, = await read.fetch(1)  # All rows: a limit would keep it from being shadowed.
        assert tuple(row["pair"]) == pair and [tuple(one) for one in row["pairs"]] == [pair, pair], row
        assert row["mood"] == "ok" and row["moods"] == ["sad", "ok"] and row["level"] == ["happy"], row
        assert (row["span"].lower, row["span"].upper) == ("sad", "happy") and tuple(row["both"]) == ("ok", 1), row
        if sys.argv[2:] == ["read"]:
            print(f"round {number} port {port}", flush=True)
            continue
        await write.fetch(2000 + number % 50, "happy", ["ok"], pair, [pair, pair], asyncpg.Range("sad", "ok"))
        assert await db.fetchval("SELECT pairs FROM kinds.thing WHERE id = $1", 2000 + number % 50) == [pair, pair]
        if answered_by not in (None, port) and later < 2:
            # Types that it meets here first, on a server that it did not log in to.
            later += 1
            value = await db.fetchval(f"SELECT $1::kinds.late_{later}[]", ["a", "b"])
            assert value == ["a", "b"], value
            row = await db.fetchrow(f"SELECT ROW('b', ARRAY['a'])::kinds.later_{later} AS late")
            assert tuple(row["late"]) == ("b", ["a"]), row
        answered_by = port
        print(f"round {number} port {port}", flush=True)
    await db.close()


asyncio.run(main())
