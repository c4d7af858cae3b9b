"""psycopg 3 with types of the application's own, registered once: enum, composite, range and their arrays, binary both ways."""
import enum
import signal
import sys

import psycopg
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.multirange import Multirange, MultirangeInfo, register_multirange
from psycopg.types.range import Range, RangeInfo, register_range


class Mood(enum.Enum):
    sad = 1
    ok = 2
    happy = 3


over = []
signal.signal(signal.SIGTERM, lambda *_: over.append(True))
with psycopg.connect(sys.argv[1], autocommit=True) as db:
    mood = EnumInfo.fetch(db, "kinds.mood")
    register_enum(mood, db, Mood)
    pair = CompositeInfo.fetch(db, "kinds.pair")
    register_composite(pair, db)
    Pair = pair.python_type
    span = RangeInfo.fetch(db, "kinds.span")
    register_range(span, db)
    register_multirange(MultirangeInfo.fetch(db, "kinds.spans"), db)
    value = Pair(Mood.ok, 7, [Mood.sad, Mood.happy])
    number = 0
    while not over:
        number += 1
        cursor = db.cursor(binary=True)
        port, = cursor.execute("SELECT inet_server_port()", prepare=True).fetchone()
        row = cursor.execute("SELECT mood, moods, pair, pairs, span, spans, level, ROW(mood, 1) FROM kinds.thing WHERE id = 1",
                             prepare=True).fetchone()
        assert row == (Mood.ok, [Mood.sad, Mood.ok], value, [value, value], Range(Mood.sad, Mood.happy),
                       Multirange([Range(Mood.sad, Mood.ok)]), [Mood.happy], (Mood.ok, 1)), row
        many = [Mood.ok, Mood.sad] * 20000
        assert cursor.execute("SELECT %b::kinds.mood[]", (many,)).fetchone()[0] == many
        if sys.argv[2:] == ["read"]:
            print(f"round {number} port {port}", flush=True)
            continue
        # %b: binary, whose arrays and composites name the types that are within.
        cursor.execute("INSERT INTO kinds.thing (id, mood, moods, pair, pairs) VALUES (%b, %b, %b, %b, %b) "
                       "ON CONFLICT (id) DO UPDATE SET moods = excluded.moods",
                       (1000 + number % 50, Mood.happy, [Mood.ok, Mood.sad], value, [value, value]), prepare=True)
        # What it learns now must fit to what it has learned before.
        assert EnumInfo.fetch(db, "kinds.mood").oid == mood.oid
        assert CompositeInfo.fetch(db, "kinds.pair").field_types == pair.field_types
        print(f"round {number} port {port}", flush=True)
