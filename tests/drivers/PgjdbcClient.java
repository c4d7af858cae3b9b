// pgjdbc: statements that become server-side ones, batches, fetch sizes, arrays, COPY, notifications, large objects' fastpath aside,
// savepoints, cancel and query timeouts, catalog methods. Connects by PG* variables.

import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.*;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import org.postgresql.PGConnection;

public class PgjdbcClient {
    static final int LARGE = 2000;  // Rows of app.keyed.
    static volatile boolean over = false;
    static int n = 0;

    interface Step { void run() throws Exception; }

    static void expect(Object found, Object wanted) {
        if (!found.equals(wanted)) throw new AssertionError("round " + n + ": " + found + " instead of " + wanted);
    }

    static void expectState(String state, Step step) throws Exception {
        try {
            step.run();
        } catch (SQLException error) {
            expect(error.getSQLState(), state);
            return;
        }
        expect("done", state);
    }

    static Connection connect() throws SQLException {
        Properties words = new Properties();
        words.put("user", System.getenv("PGUSER"));
        words.put("password", System.getenv("PGPASSWORD"));
        words.put("sslmode", System.getenv("PGSSLMODE"));
        words.put("sslrootcert", System.getenv("PGSSLROOTCERT"));
        words.put("options", "-c app.tenant=jdbc");
        words.put("prepareThreshold", "2");
        return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/"
                + System.getenv("PGDATABASE"), words);
    }

    static String one(Connection db, String sql) throws SQLException {
        try (Statement statement = db.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getString(1);
        }
    }

    static int count(ResultSet rows) throws SQLException {
        int seen = 0;
        while (rows.next()) ++seen;
        return seen;
    }

    static String keep(Connection db, PreparedStatement keep, PreparedStatement kept) throws Exception {
        OffsetDateTime moment = OffsetDateTime.of(2026, 1, 1, 0, 0, 0, 0, ZoneOffset.UTC).plusHours(n);
        byte[] raw = {0, (byte) n, (byte) 255};
        db.setAutoCommit(false);
        keep.setString(1, "jdbc");
        keep.setInt(2, n);
        keep.setObject(3, "busy", Types.OTHER);
        keep.setBigDecimal(4, new BigDecimal(n + ".25"));
        keep.setArray(5, db.createArrayOf("text", new String[] {"jdbc", "a,b", null}));
        keep.setObject(6, "{\"n\": " + n + "}", Types.OTHER);
        keep.setBytes(7, raw);
        keep.setObject(8, moment);
        keep.executeUpdate();
        String port = one(db, "SELECT inet_server_port()");
        db.commit();
        kept.setString(1, "jdbc");
        kept.setInt(2, n);
        try (ResultSet row = kept.executeQuery()) {
            row.next();
            expect(row.getString("mood"), "busy");
            expect(row.getBigDecimal("price"), new BigDecimal(n + ".25"));
            expect(Arrays.asList((String[]) row.getArray("tags").getArray()), Arrays.asList("jdbc", "a,b", null));
            expect(row.getString("doc"), "{\"n\": " + n + "}");
            expect(Arrays.toString(row.getBytes("raw")), Arrays.toString(raw));
            expect(row.getObject("moment", OffsetDateTime.class), moment);
            expect(row.getMetaData().getColumnTypeName(3).contains("mood"), true);
        }
        db.rollback();
        return port;
    }

    static void transfer(Connection db, PreparedStatement give) throws Exception {
        for (int[] of : new int[][] {{n, 17}, {-n, 18}}) {
            give.setInt(1, of[0]);
            give.setInt(2, of[1]);
            give.addBatch();
        }
        expect(Arrays.toString(give.executeBatch()), "[1, 1]");
        Savepoint before = db.setSavepoint();
        expectState("22012", () -> one(db, "SELECT 1 / (id - id) FROM app.account"));
        db.rollback(before);
        db.commit();
        try (PreparedStatement made = db.prepareStatement("INSERT INTO app.scratch (worker, v) VALUES (18, ?)",
                 Statement.RETURN_GENERATED_KEYS)) {
            for (int i = 0; i < 20; ++i) {
                made.setString(1, "batch " + i);
                made.addBatch();
            }
            made.executeBatch();
            expect(count(made.getGeneratedKeys()), 20);
        }
        try (PreparedStatement large = db.prepareStatement("SELECT id, body FROM app.keyed WHERE id > ?")) {
            large.setFetchSize(300);  // A portal that is fetched from.
            large.setLong(1, 0);
            expect(count(large.executeQuery()), LARGE);
        }
        db.commit();
    }

    static void withoutTransaction(Connection db) throws Exception {
        PGConnection pg = db.unwrap(PGConnection.class);
        expect(pg.getCopyAPI().copyIn("COPY app.loose FROM STDIN", new StringReader(n + "\tcopy\t1.5\n")), 1L);
        expect(pg.getCopyAPI().copyOut("COPY app.keyed TO STDOUT", new StringWriter()), (long) LARGE);
        expectState("23514", () -> pg.getCopyAPI().copyIn("COPY app.child (parent, note) FROM STDIN",
                new StringReader("1\tforbidden\n")));
        try (Statement notify = db.createStatement()) {
            notify.execute("NOTIFY jdbc, '" + n + "'");
        }
        var heard = pg.getNotifications();
        expect(heard == null ? "nothing" : heard[0].getParameter() + " of " + heard.length, n + " of 1");
        try (ResultSet columns = db.getMetaData().getColumns(null, "app", "account", null)) {
            expect(count(columns), 3);
        }
        try (ResultSet keys = db.getMetaData().getPrimaryKeys(null, "app", "kept")) {
            expect(count(keys), 2);
        }
        cancel(db);
        if (n % 10 == 0) {
            try (Statement sleeper = db.createStatement()) {
                sleeper.setQueryTimeout(1);
                expectState("57014", () -> sleeper.execute("SELECT pg_sleep(30)"));
            }
        }
        try (Connection other = connect()) {
            expect(other.isValid(5), true);
            expect(one(other, "SHOW app.tenant"), "jdbc");
        }
    }

    // pgjdbc cancels a statement once, which may come before the server has begun.
    static void cancel(Connection db) throws Exception {
        try (Statement sleeper = db.createStatement()) {
            CompletableFuture<Void> cancelled = CompletableFuture.runAsync(() -> {
                try {
                    sleeper.cancel();
                } catch (SQLException error) {
                    throw new IllegalStateException(error);
                }
            });
            try {
                sleeper.execute("SELECT pg_sleep(0.5)");
            } catch (SQLException error) {
                expect(error.getSQLState(), "57014");
            }
            cancelled.get();
        }
    }

    public static void main(String[] arguments) throws Exception {
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {  // SIGTERM ends the program when its hooks end.
            over = true;
            try {
                main.join();
            } catch (InterruptedException ignored) {
            }
        }));
        try (Connection db = connect(); Statement listen = db.createStatement()) {
            listen.execute("LISTEN jdbc");
            PreparedStatement keep = db.prepareStatement("INSERT INTO app.kept VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
            PreparedStatement kept = db.prepareStatement("SELECT * FROM app.kept WHERE client = ? AND number = ?");
            PreparedStatement give = db.prepareStatement("UPDATE app.account SET balance = balance + ? WHERE id = ?");
            while (!over) {
                ++n;
                String port = keep(db, keep, kept);
                transfer(db, give);
                db.setAutoCommit(true);
                expect(one(db, "SHOW app.tenant"), "jdbc");
                withoutTransaction(db);
                System.out.println("round " + n + " port " + port);
            }
        } catch (Throwable error) {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
        System.out.flush();
        Runtime.getRuntime().halt(0);  // Not the 143 of a signal.
    }
}
