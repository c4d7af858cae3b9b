"""psycopg 3: extended protocol, prepared statements, binary results, pipeline mode, COPY."""
import sys
from decimal import Decimal

import psycopg

from client import Until

until = Until()
with psycopg.connect(sys.argv[1], autocommit=True) as db:
    db.execute("SET app.tenant = 'three'")
    number = 0
    while not until.over:
        number += 1
        port, tenant = db.execute("SELECT inet_server_port(), current_setting('app.tenant')", prepare=True).fetchone()
        assert tenant == "three", tenant
        with db.transaction():
            db.execute("UPDATE app.account SET balance = balance + %s WHERE id = %s", (number, 3), prepare=True)
            db.execute("UPDATE app.account SET balance = balance - %s WHERE id = %s", (number, 4), prepare=True)
        row = db.execute("SELECT id, mood, tags, price, doc, raw, doubled FROM app.hard WHERE id = %s", (7,), binary=True,
                         prepare=True).fetchone()
        assert row[0] == 7 and row[6] == 14 and isinstance(row[3], Decimal), row
        with db.pipeline():
            rows = [db.execute("SELECT v FROM app.audited WHERE id = %s", (i,)) for i in range(1, 6)]
            db.execute("INSERT INTO app.loose VALUES (%s, 'pipeline', 0)", (number,))
        assert [one.fetchone() for one in rows] == [(0,)] * 5
        with db.cursor().copy("COPY app.loose (a, b) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            copy.write_row((number, "binary copy"))
        try:
            db.execute("SELECT 1 / (id - id) FROM app.account")
            raise AssertionError("a division by zero went through")
        except psycopg.errors.DivisionByZero:
            pass
        until.answered_by(port)
