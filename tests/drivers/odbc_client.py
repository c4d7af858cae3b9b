"""ODBC: psqlodbc through pyodbc. Prepared statements in the server, catalog functions, arrays of parameters, cancel."""
import json
import os

import pyodbc

from client import LARGE, Rounds, cancelling

rounds = Rounds("odbc")


def connect(**further):
    words = {"Driver": "PostgreSQL Unicode", "Servername": os.environ["PGHOST"], "Port": os.environ["PGPORT"],
             "Database": os.environ["PGDATABASE"], "UID": os.environ["PGUSER"], "PWD": os.environ["PGPASSWORD"],
             "SSLmode": os.environ["PGSSLMODE"], "UseServerSidePrepare": "1", "ByteaAsLongVarBinary": "1", **further}
    return pyodbc.connect(";".join(f"{word}={value}" for word, value in words.items()))


def expect_state(state, cursor, sql, *parameters):
    try:
        cursor.execute(sql, *parameters)
        rounds.expect("done", state)
    except pyodbc.Error as error:
        rounds.expect(error.args[0], state)


db = connect()
fetching = connect(UseDeclareFetch="1", Fetch="300")  # Results by cursors in the server.
cursor = db.cursor()
cursor.execute("SET app.tenant = 'odbc'")
db.commit()
for n in rounds:
    row = rounds.row()
    cursor.execute("INSERT INTO app.kept VALUES (?, ?, ?::app.mood, ?, ?::text[], ?::jsonb, ?, ?::timestamptz)", row["client"], n,
                   row["mood"], row["price"], '{odbc,"a,b",NULL}', json.dumps(row["doc"]), row["raw"], row["moment"].isoformat())
    cursor.execute("UPDATE app.account SET balance = balance + ? WHERE id = 9", n)
    cursor.execute("UPDATE app.account SET balance = balance - ? WHERE id = 10", n)
    port = cursor.execute("SELECT inet_server_port()").fetchval()
    db.commit()

    found = cursor.execute("SELECT number, mood::text, price, raw, moment AT TIME ZONE 'UTC' FROM app.kept WHERE client = ? AND "
                           "number = ?", "odbc", n).fetchone()
    rounds.expect(tuple(found), (n, "busy", row["price"], row["raw"], row["moment"].replace(tzinfo=None)))
    rounds.expect(cursor.execute("SELECT current_setting('app.tenant')").fetchval(), "odbc")
    cursor.executemany("INSERT INTO app.loose VALUES (?, ?, ?)", [(n, "many", i) for i in range(20)])
    db.commit()

    rows = fetching.cursor().execute("SELECT id, body FROM app.keyed")
    rounds.expect(sum(1 for _ in rows), LARGE)
    rows.close()
    fetching.commit()
    rounds.expect([column.column_name for column in cursor.columns(schema="app", table="account")], ["id", "balance", "touched"])
    rounds.expect([key.column_name for key in cursor.primaryKeys(schema="app", table="kept")], ["client", "number"])
    db.commit()

    expect_state("23505", cursor, "INSERT INTO app.account VALUES (?, 0)", 1)
    db.rollback()
    with cancelling(cursor.cancel):
        expect_state("57014", cursor, "SELECT pg_sleep(30)")
    db.rollback()
    other = connect()
    rounds.expect(other.getinfo(pyodbc.SQL_DBMS_NAME), "PostgreSQL")
    other.close()
    rounds.done(port)
db.close()
fetching.close()
