"""SQLAlchemy over psycopg2: the ORM with its pool, reflection, streamed results, savepoints, upserts, Core in autocommit, a schema
made and dropped."""
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql as pg

from client import LARGE, Rounds

Base = orm.declarative_base(metadata=sa.MetaData(schema="app"))


class Kept(Base):
    __tablename__ = "kept"
    client = sa.Column(sa.Text, primary_key=True)
    number = sa.Column(sa.Integer, primary_key=True)
    mood = sa.Column(pg.ENUM("calm", "busy", 'O\'Reilly "mad"', name="mood", create_type=False))
    price = sa.Column(sa.Numeric)
    tags = sa.Column(pg.ARRAY(sa.Text))
    doc = sa.Column(pg.JSONB)
    raw = sa.Column(sa.LargeBinary)
    moment = sa.Column(sa.DateTime(timezone=True))


class Account(Base):
    __tablename__ = "account"
    id = sa.Column(sa.Integer, primary_key=True)
    balance = sa.Column(sa.BigInteger)


rounds = Rounds("sqlalchemy")
engine = sa.create_engine("postgresql+psycopg2://", future=True, pool_size=2, pool_pre_ping=True)
autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
keyed = sa.Table("keyed", Base.metadata, autoload_with=engine)
loose = sa.Table("loose", Base.metadata, autoload_with=engine)


@sa.event.listens_for(engine, "connect")
def set_tenant(connection, _):
    with connection.cursor() as cursor:
        cursor.execute("SET app.tenant = 'alchemy'")
    connection.commit()


engine.dispose()  # Reflection came before the listener.


def change_schema():
    made = sa.MetaData(schema="app")
    state = pg.ENUM("new", "seen", name="note_state", metadata=made, schema="app")
    note = sa.Table("note", made, sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
                    sa.Column("state", state, nullable=False, server_default="new"), sa.Column("body", sa.Text, index=True))
    sa.Table("reply", made, sa.Column("id", sa.Integer, primary_key=True), sa.Column("note", sa.ForeignKey(note.c.id)))
    made.create_all(engine)
    with engine.begin() as connection:  # As Alembic writes it.
        connection.execute(sa.text("ALTER TABLE app.note ADD COLUMN at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL"))
        connection.execute(sa.text("ALTER TABLE app.note ALTER COLUMN body TYPE VARCHAR(200)"))
        connection.execute(note.insert(), [{"body": f"note {i}"} for i in range(3)])
    with autocommit.connect() as connection:
        connection.execute(sa.text("CREATE INDEX CONCURRENTLY ix_note_state ON app.note (state)"))
        rounds.expect(connection.scalar(sa.select(sa.func.count()).select_from(note).where(note.c.state == "new")), 3)
    made.drop_all(engine)


for n in rounds:
    with orm.Session(engine) as session, session.begin():
        session.add(Kept(**rounds.row()))
        giver, taker = (session.get(Account, i, with_for_update=True) for i in (5, 6))
        giver.balance, taker.balance = giver.balance - 1, taker.balance + 1
        port = session.scalar(sa.select(sa.func.inet_server_port()))
        with session.begin_nested() as savepoint:
            session.add(Account(id=1, balance=0))
            try:
                session.flush()
                rounds.expect("inserted", sa.exc.IntegrityError)
            except sa.exc.IntegrityError:
                savepoint.rollback()
    if rounds.now_and_then():
        change_schema()
    with orm.Session(engine) as session:
        kept = session.scalars(sa.select(Kept).where(Kept.client == "sqlalchemy").order_by(Kept.number.desc())).first()
        rounds.expect({name: getattr(kept, name) for name in rounds.row()}, rounds.row())
        rounds.expect(session.scalar(sa.text("SELECT current_setting('app.tenant')")), "alchemy")
    with engine.begin() as connection:
        connection.execute(loose.insert(), [{"a": n, "b": "many", "c": i} for i in range(20)])
        connection.execute(pg.insert(keyed).values(id=1, body="row 1", revision=0).on_conflict_do_update(
            index_elements=["id"], set_={"revision": keyed.c.revision + 1}))
        streamed = connection.execution_options(stream_results=True).execute(sa.select(keyed.c.id))
        rounds.expect(sum(len(part) for part in streamed.partitions(300)), LARGE)
    with autocommit.connect() as connection:
        connection.execute(sa.text("SET statement_timeout = 20"))
        try:
            connection.execute(sa.text("SELECT pg_sleep(30)"))
            rounds.expect("slept", "57014")
        except sa.exc.OperationalError as error:
            rounds.expect(error.orig.pgcode, "57014")
        connection.execute(sa.text("RESET statement_timeout"))
    if n % 10 == 0:
        engine.dispose()  # Connects again.
        rounds.expect("mood" in [column["name"] for column in sa.inspect(engine).get_columns("hard", schema="app")], True)
    rounds.done(port)
engine.dispose()
