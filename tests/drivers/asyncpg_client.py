"""asyncpg: binary everything, its own statement cache, cached type OIDs (the enum, the domain, arrays), cursors, a pool."""
import asyncio
import json

import asyncpg

from client import LARGE, Rounds

rounds = Rounds("asyncpg")


async def hard_types(db):
    rows = await db.fetch("SELECT id, mood, level, tags, grid, span, moment, wait, id2, price, big, raw FROM app.hard WHERE "
                          "id = ANY($1::int[]) ORDER BY id", [1, 2, 3])
    rounds.expect([row["id"] for row in rows], [1, 2, 3])
    rounds.expect(rows[0]["tags"][0], "a,b")
    moods = await db.fetchval("SELECT $1::app.mood[]", ["calm", "busy"])
    rounds.expect(moods, ["calm", "busy"])


async def one_round(db, pool, heard):
    row, n = rounds.row(), rounds.number
    async with db.transaction():
        await db.execute("INSERT INTO app.kept VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", *row.values())
        port = await db.fetchval("SELECT inet_server_port()")
        seen = 0
        async for _ in db.cursor("SELECT id FROM app.keyed", prefetch=500):
            seen += 1
        rounds.expect(seen, LARGE)
    rounds.expect(dict(await db.fetchrow("SELECT * FROM app.kept WHERE client = 'asyncpg' AND number = $1", n)), row)
    rounds.expect(await db.fetchval("SELECT current_setting('app.tenant')"), "async")
    await hard_types(db)

    await db.executemany("INSERT INTO app.loose (a, b) VALUES ($1, $2)", [(n, "many")] * 10)
    await db.copy_records_to_table("loose", schema_name="app", columns=["a", "b"], records=[(n, "records")])
    copied = []

    async def take(data):
        copied.append(data)

    await db.copy_from_query("SELECT id FROM app.keyed", output=take)
    rounds.expect(b"".join(copied).count(b"\n"), LARGE)

    async with db.transaction():
        try:
            async with db.transaction():  # A savepoint.
                await db.execute("SELECT 1 / (id - id) FROM app.account")
            rounds.expect("divided", asyncpg.DivisionByZeroError)
        except asyncpg.DivisionByZeroError:
            rounds.expect(await db.fetchval("SELECT 1"), 1)
    try:
        await db.execute("SELECT pg_sleep(30)", timeout=0.02)  # Cancels.
        rounds.expect("slept", asyncio.TimeoutError)
    except asyncio.TimeoutError:
        pass

    await db.execute("SELECT pg_notify('asyncpg', $1)", str(n))
    rounds.expect(await asyncio.wait_for(heard.get(), 20), str(n))
    # Three at once of the pool, whose connections are reset at each release.
    values = await asyncio.gather(*(pool.fetchval("SELECT $1::app.mood", "calm") for _ in range(3)))
    rounds.expect(values, ["calm"] * 3)
    rounds.done(port)


async def main():
    async def as_json(db):
        await db.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")

    no_jit = {"jit": "off"}  # asyncpg asks the catalog for types by a query that takes PostgreSQL long to compile.
    db = await asyncpg.connect(server_settings=no_jit)
    await as_json(db)
    heard = asyncio.Queue()
    await db.execute("SET app.tenant = 'async'")
    await db.add_listener("asyncpg", lambda *notice: heard.put_nowait(notice[-1]))
    async with asyncpg.create_pool(min_size=1, max_size=3, max_queries=50, init=as_json, server_settings=no_jit) as pool:
        for _ in rounds:
            await one_round(db, pool, heard)
    await db.close()


asyncio.run(main())
