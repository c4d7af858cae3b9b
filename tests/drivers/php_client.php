<?php
// PHP: the pgsql extension and PDO. Prepared statements of both kinds, COPY, notifications, cancel, catalog functions.
// Connects by PG* variables.

const LARGE = 2000;  // Rows of app.keyed.

$over = false;
$n = 0;
pcntl_async_signals(true);
pcntl_signal(SIGTERM, function () use (&$over) { $over = true; });
set_error_handler(function ($_, $text) { throw new ErrorException($text); });

function expect($found, $wanted) {
    global $n;
    if ($found !== $wanted) {
        fwrite(STDERR, "round $n: " . json_encode($found) . ' instead of ' . json_encode($wanted) . "\n");
        exit(1);
    }
}

function expect_state($state, $run) {
    try {
        $run();
        expect('done', $state);
    } catch (PDOException $error) {
        expect($error->getCode(), $state);
    }
}

$db = pg_connect('');
pg_query($db, "SET app.tenant = 'php'; LISTEN php");
pg_prepare($db, 'keep', 'INSERT INTO app.kept VALUES ($1, $2, $3, $4, $5, $6, $7, $8)');
pg_prepare($db, 'kept', "SELECT number, mood, price, tags, doc->>'n', raw, moment AT TIME ZONE 'UTC' FROM app.kept WHERE client = $1 AND "
    . 'number = $2');
$pdo = new PDO('pgsql:', null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$give = $pdo->prepare('UPDATE app.account SET balance = balance + ? WHERE id = ?');
$emulating = new PDO('pgsql:', null, null, [PDO::ATTR_EMULATE_PREPARES => true]);
while (!$over) {
    $n++;
    $raw = chr(0) . chr($n % 256) . chr(255);
    $moment = (new DateTimeImmutable('2026-01-01T00:00:00Z'))->add(new DateInterval("PT{$n}H"));
    pg_query($db, 'BEGIN');
    pg_execute($db, 'keep', ['php', $n, 'busy', "$n.25", '{php,"a,b",NULL}', json_encode(['n' => $n]), pg_escape_bytea($db, $raw),
        $moment->format('c')]);
    $port = pg_fetch_result(pg_query($db, 'SELECT inet_server_port()'), 0);
    pg_query($db, 'COMMIT');
    $row = pg_fetch_row(pg_execute($db, 'kept', ['php', $n]));
    $row[5] = pg_unescape_bytea($row[5]);
    expect(array_map('bin2hex', $row), array_map('bin2hex', ["$n", 'busy', "$n.25", '{php,"a,b",NULL}', "$n", $raw,
        $moment->format('Y-m-d H:i:s')]));
    expect(pg_fetch_result(pg_query($db, "SELECT current_setting('app.tenant')"), 0), 'php');

    $pdo->beginTransaction();
    $give->execute([$n, 15]);
    $give->execute([-$n, 16]);
    $pdo->prepare('INSERT INTO app.scratch (worker, v) VALUES (?, ?)')->execute([16, 'php']);
    expect($pdo->lastInsertId() > 0, true);  // lastval(), which does not survive a move: asked inside the transaction.
    $pdo->exec('SAVEPOINT before');
    expect_state('22012', fn() => $pdo->query('SELECT 1 / (id - id) FROM app.account'));
    $pdo->exec('ROLLBACK TO before');
    $pdo->commit();
    // Prepared, executed and deallocated by SQL each time: PDO's habit.
    $by_id = $pdo->prepare('SELECT id, mood, doc FROM app.hard WHERE id = :id AND mood = :mood');
    $by_id->execute(['id' => 1, 'mood' => 'busy']);
    expect(json_decode($by_id->fetch(PDO::FETCH_ASSOC)['doc'], true)['k'], 1);
    expect($emulating->query("SELECT id FROM app.hard WHERE mood = 'busy' ORDER BY id")->fetchColumn(), 1);
    expect_state('57014', function () use ($pdo) {
        $pdo->exec('SET statement_timeout = 20');
        try {
            $pdo->query('SELECT pg_sleep(30)');
        } finally {
            $pdo->exec('RESET statement_timeout');
        }
    });

    pg_copy_from($db, 'app.loose', array_fill(0, 20, "$n\tcopy\t1.5\n"));
    expect(count(pg_copy_to($db, 'app.keyed')), LARGE);
    expect(pg_num_rows(pg_query_params($db, 'SELECT * FROM app.keyed WHERE id > $1', [0])), LARGE);
    pg_send_query($db, 'SELECT pg_sleep(0.5)');
    pg_cancel_query($db);  // It may come before the server has begun.
    pg_query_params($db, "SELECT pg_notify('php', $1)", [$n]);
    expect(pg_get_notify($db, PGSQL_ASSOC)['payload'], "$n");
    expect(array_keys(pg_meta_data($db, 'app.account')), ['id', 'balance', 'touched']);
    $other = pg_connect('', PGSQL_CONNECT_FORCE_NEW);
    expect(pg_parameter_status($other, 'server_encoding'), 'UTF8');
    pg_close($other);
    echo "round $n port $port\n";
}
pg_close($db);
