# DBD::Pg: statements prepared in the server, arrays, bytea, COPY, savepoints, notifications, asynchronous queries, catalog methods.
# Connects by PG* variables.
use strict;
use warnings;
use DBI;
use DBD::Pg qw(:async :pg_types);
use JSON::PP;

use constant LARGE => 2000;    # Rows of app.keyed.

my ($over, $n) = (0, 0);
$SIG{TERM} = sub { $over = 1 };
$| = 1;

sub expect {
    my ($found, $wanted) = @_;
    die "round $n: '$found' instead of '$wanted'\n" unless $found eq $wanted;
}

sub db { return DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, @_ }) }

my $db = db(pg_server_prepare => 1);
$db->do("SET app.tenant = 'perl'");
$db->do("SET TimeZone = 'UTC'");
$db->do('LISTEN perl');
my $keep = $db->prepare('INSERT INTO app.kept VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
$keep->bind_param(7, undef, { pg_type => PG_BYTEA });
my $kept = $db->prepare('SELECT number, mood, price, tags, doc, raw, moment FROM app.kept WHERE client = ? AND number = ?');
my $give = $db->prepare('UPDATE app.account SET balance = balance + ? WHERE id = ?');
until ($over) {
    $n++;
    my $raw = pack 'C*', 0, $n % 256, 255;
    $db->begin_work;
    # 0 hours of the first of January 2026, and n hours.
    my $moment = $db->selectrow_array("SELECT '2026-01-01 00:00+00'::timestamptz + ? * interval '1 hour'", undef, $n);
    $keep->execute('perl', $n, 'busy', "$n.25", [ 'perl', 'a,b', undef ], encode_json({ n => $n }), $raw, $moment);
    $give->execute($n, 13);
    $give->execute(-$n, 14);
    my $port = $db->selectrow_array('SELECT inet_server_port()');
    $db->commit;

    my $row = $db->selectrow_arrayref($kept, undef, 'perl', $n);
    expect(join('|', @$row[ 0 .. 2 ], map({ $_ // 'NULL' } @{ $row->[3] }), decode_json($row->[4])->{n}, unpack('H*', $row->[5]), $row->[6]),
        join('|', $n, 'busy', "$n.25", 'perl', 'a,b', 'NULL', $n, unpack('H*', $raw), $moment));
    expect($db->selectrow_array("SELECT current_setting('app.tenant')"), 'perl');
    expect($db->selectcol_arrayref('SELECT id FROM app.hard WHERE mood = ? ORDER BY id LIMIT 2', undef, 'busy')->[1], 4);

    my $loose = $db->prepare('INSERT INTO app.loose VALUES (?, ?, ?)');
    $db->begin_work;
    expect($loose->execute_array({}, [ ($n) x 20 ], [ ('array') x 20 ], [ 1 .. 20 ]), 20);
    $db->commit;
    $db->do('COPY app.loose FROM STDIN');
    $db->pg_putcopydata("$n\tcopy\t1.5\n");
    $db->pg_putcopyend;
    $db->do('COPY (SELECT id FROM app.keyed) TO STDOUT');
    my ($line, $lines) = ('', 0);
    $lines++ while $db->pg_getcopydata($line) >= 0;
    expect($lines, LARGE);
    expect(scalar @{ $db->selectall_arrayref('SELECT * FROM app.keyed') }, LARGE);

    $db->begin_work;
    $db->pg_savepoint('before');
    eval { $db->do('SELECT 1 / (id - id) FROM app.account') };
    expect($db->state, '22012');
    $db->pg_rollback_to('before');
    expect($db->selectrow_array('SELECT 1'), 1);
    $db->rollback;
    $db->do('SELECT pg_sleep(0.5)', { pg_async => PG_ASYNC });
    expect($db->state, '57014') if $db->pg_cancel;    # Else it came before the server had begun.
    $db->do('SET statement_timeout = 20');
    eval { $db->do('SELECT pg_sleep(30)') };
    expect($db->state, '57014');
    $db->do('RESET statement_timeout');

    $db->do("SELECT pg_notify('perl', ?)", undef, $n);
    expect($db->pg_notifies->[2], $n);
    $db->begin_work;    # It asks for columns by the table's OID, which the other server has not got.
    expect(join(',', map { $_->{COLUMN_NAME} } @{ $db->column_info(undef, 'app', 'account', undef)->fetchall_arrayref({}) }),
        'id,balance,touched');
    expect(join(',', $db->primary_key(undef, 'app', 'kept')), 'client,number');
    $db->commit;
    db()->disconnect;
    print "round $n port $port\n";
}
$_->finish for $keep, $kept, $give;
$db->disconnect;
