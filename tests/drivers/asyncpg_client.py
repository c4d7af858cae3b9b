"""asyncpg: binary everything, its own statement cache, cached type OIDs (the enum, the domain, arrays), cursors."""
import asyncio
import sys

import asyncpg

from client import Until


async def main():
    until = Until()
    db = await asyncpg.connect(sys.argv[1])
    await db.execute("SET app.tenant = 'async'")
    by_id = await db.prepare("SELECT id, mood, level, tags, grid, span, moment, wait, id2, price, big, raw FROM app.hard WHERE "
                             "id = ANY($1::int[]) ORDER BY id")
    number = 0
    while not until.over:
        number += 1
        port, tenant = await db.fetchrow("SELECT inet_server_port(), current_setting('app.tenant')")
        assert tenant == "async", tenant
        rows = await by_id.fetch([1, 2, 3])
        assert [row["id"] for row in rows] == [1, 2, 3] and rows[0]["tags"][0] == "a,b", rows
        async with db.transaction():
            await db.execute("UPDATE app.hard SET mood = $1::app.mood WHERE id = $2", "busy", 5)
            assert await db.fetchval("SELECT mood FROM app.hard WHERE id = 5") == "busy"
            seen = 0
            async for _ in db.cursor("SELECT id FROM app.keyed ORDER BY id LIMIT 60", prefetch=20):
                seen += 1
            assert seen == 60
        await db.executemany("INSERT INTO app.loose (a, b) VALUES ($1, $2)", [(number, "many")] * 3)
        await db.copy_records_to_table("loose", schema_name="app", columns=["a", "b"], records=[(number, "records")])
        until.answered_by(port)
    await db.close()


asyncio.run(main())
