"""psycopg2: simple protocol, cursors in the server, COPY, notifications, savepoints, cancel. Connects by PG* variables."""
import io

import psycopg2
from psycopg2 import errors
from psycopg2.extras import Json, execute_values

from client import LARGE, Rounds, cancelling

rounds = Rounds("psycopg2")
db = psycopg2.connect("")
cursor = db.cursor()
cursor.execute("SET app.tenant = 'two'; LISTEN psycopg2")
db.commit()
for n in rounds:
    row = rounds.row()
    cursor.execute("INSERT INTO app.kept VALUES (%(client)s, %(number)s, %(mood)s, %(price)s, %(tags)s, %(doc)s, %(raw)s, "
                   "%(moment)s)", row | {"doc": Json(row["doc"])})
    cursor.execute("UPDATE app.account SET balance = balance + 1 WHERE id = 1 RETURNING inet_server_port()")
    port, = cursor.fetchone()
    cursor.execute("UPDATE app.account SET balance = balance - 1 WHERE id = 2")
    db.commit()

    cursor.execute("SELECT * FROM app.kept WHERE client = %s AND number = %s", ("psycopg2", n))
    found = dict(zip([column.name for column in cursor.description], cursor.fetchone()))
    rounds.expect(found | {"raw": bytes(found["raw"])}, row)
    cursor.execute("SELECT current_setting('app.tenant'), id2 FROM app.hard WHERE id = 7")
    rounds.expect(cursor.fetchone()[0], "two")
    db.commit()

    execute_values(cursor, "INSERT INTO app.loose VALUES %s", [(n, "values", i) for i in range(20)])
    cursor.copy_expert("COPY app.loose FROM STDIN", io.StringIO(f"{n}\tpsycopg2\t1.5\n"))
    db.commit()
    copied = io.StringIO()
    cursor.copy_expert("COPY (SELECT id FROM app.keyed) TO STDOUT", copied)
    rounds.expect(copied.getvalue().count("\n"), LARGE)
    with db.cursor("in_the_server") as rows:
        rows.itersize = 500
        rows.execute("SELECT id FROM app.keyed")
        rounds.expect(sum(1 for _ in rows), LARGE)
    db.rollback()

    cursor.execute("SAVEPOINT before")
    try:
        cursor.execute("INSERT INTO app.account (id) VALUES (1)")
        rounds.expect("inserted", errors.NotNullViolation)
    except errors.NotNullViolation:
        cursor.execute("ROLLBACK TO before")
    cursor.execute("SELECT 1")
    db.commit()
    try:
        with cancelling(db.cancel):
            cursor.execute("SELECT pg_sleep(30)")
        rounds.expect("slept", errors.QueryCanceled)
    except errors.QueryCanceled:
        db.rollback()

    cursor.execute("NOTIFY psycopg2, %s", (str(n),))
    db.commit()
    db.poll()
    rounds.expect([notice.payload for notice in db.notifies], [str(n)])
    db.notifies.clear()
    other = psycopg2.connect("")
    rounds.expect(other.get_parameter_status("server_encoding"), "UTF8")
    other.close()
    rounds.done(port)
db.close()
