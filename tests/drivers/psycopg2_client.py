"""psycopg2: simple protocol, server-side cursors, COPY, notifications."""
import io
import sys

import psycopg2

from client import Until

until = Until()
db = psycopg2.connect(sys.argv[1])
cursor = db.cursor()
cursor.execute("SET app.tenant = 'two'; LISTEN two")
db.commit()
number = 0
while not until.over:
    number += 1
    cursor.execute("SELECT inet_server_port(), current_setting('app.tenant')")
    port, tenant = cursor.fetchone()
    assert tenant == "two", tenant
    cursor.execute("UPDATE app.account SET balance = balance + %s WHERE id = %s RETURNING balance", (1, 1))
    cursor.execute("UPDATE app.account SET balance = balance - %s WHERE id = %s", (1, 2))
    cursor.copy_expert("COPY app.loose FROM STDIN", io.StringIO(f"{number}\tpsycopg2\t1.5\n"))
    db.commit()
    with db.cursor("in_the_server") as rows:
        rows.itersize = 20
        rows.execute("SELECT id FROM app.keyed ORDER BY id LIMIT 100")
        assert len(rows.fetchall()) == 100
    db.rollback()
    cursor.execute("NOTIFY two, %s", (str(number),))
    db.commit()
    db.poll()
    until.answered_by(port)
db.close()
