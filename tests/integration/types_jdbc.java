// pgjdbc with types of the application's own: names of types by OID, from its cache or the catalog, arrays and objects of them.
// Types that it meets first on a server that it did not log in to are looked up there.

import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.util.Arrays;

class Types {
    static volatile boolean over = false;

    static void expect(Object found, Object wanted) {
        if (!wanted.equals(found)) throw new IllegalStateException(found + " instead of " + wanted);
    }

    public static void main(String[] arguments) throws Exception {
        sun.misc.Signal.handle(new sun.misc.Signal("TERM"), signal -> over = true);
        try (Connection db = DriverManager.getConnection(arguments[0])) {
            PreparedStatement read = db.prepareStatement("SELECT mood, moods, pair, pairs, span, inet_server_port() FROM kinds.thing WHERE id = ?");
            int later = 0, answeredBy = 0;
            for (int number = 1; !over; ++number) {
                read.setInt(1, 1);
                int port;
                try (ResultSet row = read.executeQuery()) {
                    row.next();
                    expect(row.getMetaData().getColumnTypeName(1), "\"kinds\".\"mood\"");
                    expect(row.getMetaData().getColumnTypeName(3), "\"kinds\".\"pair\"");
                    expect(row.getMetaData().getColumnTypeName(4), "\"kinds\".\"_pair\"");
                    expect(row.getString(1), "ok");
                    expect(Arrays.toString((Object[]) row.getArray(2).getArray()), "[sad, ok]");
                    expect(row.getArray(2).getBaseTypeName(), "\"kinds\".\"mood\"");
                    expect(row.getObject(3).toString(), "(ok,7,\"{sad,happy}\")");
                    expect(row.getString(5), "[sad,happy)");
                    port = row.getInt(6);
                }
                Array moods = db.createArrayOf("kinds.mood", new String[] {"happy", "ok"});
                try (PreparedStatement write = db.prepareStatement(
                         "INSERT INTO kinds.thing (id, moods) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET moods = excluded.moods RETURNING moods")) {
                    write.setInt(1, 3000 + number % 50);
                    write.setArray(2, moods);
                    try (ResultSet row = write.executeQuery()) {
                        row.next();
                        expect(row.getArray(1).toString(), "{happy,ok}");
                    }
                }
                if (answeredBy != 0 && port != answeredBy && later < 2) {
                    ++later;
                    try (ResultSet row = db.createStatement().executeQuery(
                             "SELECT 'a'::kinds.late_" + later + ", ARRAY['b']::kinds.late_" + later + "[]")) {
                        row.next();
                        expect(row.getMetaData().getColumnTypeName(1), "\"kinds\".\"late_" + later + "\"");
                        expect(row.getArray(2).getBaseTypeName(), "\"kinds\".\"late_" + later + "\"");
                    }
                }
                answeredBy = port;
                System.out.println("round " + number + " port " + port);
            }
        }
    }
}
