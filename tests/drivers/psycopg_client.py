"""psycopg 3: prepared statements, binary results, pipeline mode, COPY, cursors in the server, notifications, cancel."""
import enum

import psycopg
from psycopg import errors
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.json import Jsonb

from client import LARGE, Rounds, cancelling

Mood = enum.Enum("Mood", {"calm": "calm", "busy": "busy", "mad": 'O\'Reilly "mad"'})
rounds = Rounds("psycopg")
with psycopg.connect(autocommit=True) as db:
    db.execute("SET app.tenant = 'three'")
    db.execute("LISTEN psycopg")
    db.prepare_threshold = 0
    register_enum(EnumInfo.fetch(db, "app.mood"), db, Mood)  # Knows the type by its OID from now on.
    heard = []
    db.add_notify_handler(lambda notice: heard.append(notice.payload))
    for n in rounds:
        row = rounds.row() | {"mood": Mood.busy}
        with db.transaction():
            db.execute("INSERT INTO app.kept VALUES (%(client)s, %(number)s, %(mood)s, %(price)s, %(tags)s, %(doc)s, %(raw)s, "
                       "%(moment)s)", row | {"doc": Jsonb(row["doc"])})
            port, = db.execute("UPDATE app.account SET balance = balance + %s WHERE id = 3 RETURNING inet_server_port()",
                               (n,)).fetchone()
            db.execute("UPDATE app.account SET balance = balance - %s WHERE id = 4", (n,))

        for binary in (True, False):
            reader = db.cursor(binary=binary, row_factory=psycopg.rows.dict_row)
            rounds.expect(reader.execute("SELECT * FROM app.kept WHERE client = %s AND number = %s", ("psycopg", n)).fetchone(),
                          row)
        rounds.expect(db.execute("SELECT current_setting('app.tenant')").fetchone(), ("three",))

        with db.pipeline() as pipeline:
            answers = [db.execute("SELECT v FROM app.audited WHERE id = %s", (i,)) for i in range(1, 6)]
            pipeline.sync()
            with db.transaction():
                db.execute("INSERT INTO app.loose VALUES (%s, 'pipeline', 0)", (n,))
                answers.append(db.execute("SELECT 0"))
        rounds.expect([answer.fetchone() for answer in answers], [(0,)] * 6)
        db.cursor().executemany("INSERT INTO app.loose VALUES (%s, 'many', 0)", [(n,)] * 10)
        with db.cursor().copy("COPY app.loose (a, b) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            copy.write_row((n, "binary copy"))
        with db.cursor().copy("COPY app.keyed TO STDOUT") as copy:
            rounds.expect(sum(1 for _ in copy.rows()), LARGE)
        with db.transaction(), db.cursor("in_the_server") as rows:
            rows.itersize = 500
            rounds.expect(sum(1 for _ in rows.execute("SELECT id FROM app.keyed")), LARGE)
        rounds.expect(sum(1 for _ in db.cursor().stream("SELECT id FROM app.keyed")), LARGE)

        with db.transaction():
            try:
                with db.transaction():  # A savepoint.
                    db.execute("SELECT 1 / (id - id) FROM app.account")
                rounds.expect("divided", errors.DivisionByZero)
            except errors.DivisionByZero:
                rounds.expect(db.execute("SELECT 1").fetchone(), (1,))
        try:
            with cancelling(db.cancel):
                db.execute("SELECT pg_sleep(30)")
            rounds.expect("slept", errors.QueryCanceled)
        except errors.QueryCanceled:
            pass

        db.execute("SELECT pg_notify('psycopg', %s)", (str(n),))
        db.execute("SELECT 1")
        rounds.expect(heard, [str(n)])
        heard.clear()
        with psycopg.connect() as other:
            rounds.expect(other.info.parameter_status("server_encoding"), "UTF8")
        rounds.done(port)
