"""Django's ORM with a persistent connection: models, transactions, bulk operations, iterators, introspection, advisory locks,
migrations there and back."""
import os

import django
from django.conf import settings

tenant = "-c app.tenant=django"
settings.configure(USE_TZ=True, DATABASES={"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"], "USER": os.environ["PGUSER"],
    "PASSWORD": os.environ["PGPASSWORD"], "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"],
    "CONN_MAX_AGE": None, "OPTIONS": {"options": f"-c search_path=app {tenant}"}}})
django.setup()

from django.contrib.postgres.fields import ArrayField  # noqa: E402: needs the settings.
from django.db import connection, migrations, models, transaction  # noqa: E402
from django.db.migrations.state import ProjectState  # noqa: E402
from django.db.utils import IntegrityError, OperationalError  # noqa: E402

from client import LARGE, Rounds  # noqa: E402


class Kept(models.Model):
    client = models.TextField(primary_key=True)  # Of a key of two columns Django knows one.
    number = models.IntegerField()
    mood = models.TextField()
    price = models.DecimalField(max_digits=20, decimal_places=2)
    tags = ArrayField(models.TextField(null=True))
    doc = models.JSONField()
    raw = models.BinaryField()
    moment = models.DateTimeField()

    class Meta:
        app_label, db_table, managed = "app", "kept", False


class Account(models.Model):
    id = models.IntegerField(primary_key=True)
    balance = models.BigIntegerField()

    class Meta:
        app_label, db_table, managed = "app", "account", False


class Scratch(models.Model):
    id = models.BigAutoField(primary_key=True)
    worker = models.IntegerField()
    v = models.TextField()

    class Meta:
        app_label, db_table, managed = "app", "scratch", False


class Keyed(models.Model):
    id = models.BigIntegerField(primary_key=True)
    body = models.TextField()

    class Meta:
        app_label, db_table, managed = "app", "keyed", False


class Notes(migrations.Migration):
    operations = [
        migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True)), ("body", models.TextField(db_index=True))]),
        migrations.AddField("note", "seen", models.BooleanField(default=False)),
        migrations.AddField("note", "at", models.DateTimeField(auto_now_add=True, null=True)),
        migrations.AddIndex("note", models.Index(fields=["seen"], name="note_seen")),
        migrations.RenameField("note", "body", "text"),
        migrations.AlterField("note", "text", models.CharField(max_length=200)),
        migrations.CreateModel("Reply", [("id", models.AutoField(primary_key=True)),
                                         ("note", models.ForeignKey("app.Note", on_delete=models.CASCADE))]),
        migrations.AlterModelTable("note", "renamed_note"),
        migrations.RemoveField("note", "at"),
    ]


rounds = Rounds("django")


def ask(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def transfer():
    with transaction.atomic():
        Kept(**rounds.row()).save(force_insert=True)
        giver = Account.objects.select_for_update().get(id=7)
        giver.balance -= 1
        giver.save()
        Account.objects.filter(id=8).update(balance=models.F("balance") + 1)
        try:
            with transaction.atomic():  # A savepoint.
                Account.objects.create(id=1, balance=0)
            rounds.expect("inserted", IntegrityError)
        except IntegrityError:
            pass
        return ask("SELECT inet_server_port()")


def migrate():
    notes = Notes("notes", "app")
    with connection.schema_editor() as editor:
        models_made = notes.apply(ProjectState(), editor).apps
    note, reply = models_made.get_model("app", "Note"), models_made.get_model("app", "Reply")
    with transaction.atomic():
        for i in range(3):
            reply.objects.create(note=note.objects.create(text=f"note {i}"))
    rounds.expect(note.objects.filter(seen=False).delete()[0], 6)
    note.objects.create(text="left")
    with connection.schema_editor() as editor:
        notes.unapply(ProjectState(), editor)


for n in rounds:
    port = transfer()
    if rounds.now_and_then():
        migrate()
    kept = Kept.objects.filter(client="django", doc__n=n, tags__contains=["a,b"]).values().get()
    rounds.expect(kept | {"raw": bytes(kept["raw"])}, rounds.row())
    rounds.expect(ask("SELECT current_setting('app.tenant')"), "django")
    made = Scratch.objects.bulk_create([Scratch(worker=8, v=f"{n} {i}") for i in range(20)])
    rounds.expect(Scratch.objects.filter(pk__in=[one.pk for one in made]).delete()[0], 20)
    with transaction.atomic():  # A cursor WITH HOLD outside a transaction would pin the session.
        rounds.expect(sum(1 for _ in Keyed.objects.iterator(chunk_size=500)), LARGE)
    with transaction.atomic():
        ask("SELECT pg_advisory_xact_lock(8)::text")
    ask("SET statement_timeout = 20; SELECT 1")
    try:
        ask("SELECT pg_sleep(30)::text")
        rounds.expect("slept", OperationalError)
    except OperationalError as error:
        rounds.expect(error.__cause__.pgcode, "57014")
    ask("RESET statement_timeout; SELECT 1")
    if n % 10 == 0:
        with connection.cursor() as cursor:
            columns = connection.introspection.get_table_description(cursor, "hard")
            rounds.expect("mood" in [column.name for column in columns], True)
        connection.close()  # The next statement connects again.
    rounds.done(port)
connection.close()
