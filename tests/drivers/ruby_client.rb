# ruby-pg: prepared statements, binary results, pipeline mode, COPY, single row mode, notifications, cancel. Connects by PG*.
require 'json'
require 'pg'
require 'time'

LARGE = 2000 # Rows of app.keyed.
over = false
trap('TERM') { over = true }
$number = 0

def expect(found, wanted)
  abort("round #{$number}: #{found.inspect} instead of #{wanted.inspect}") unless found == wanted
end

def expect_error(kind)
  yield
  expect('done', kind)
rescue kind
  nil
end

db = PG.connect
types = PG::BasicTypeRegistry.new.register_default_types
types.register_type(0, 'mood', nil, PG::TextDecoder::String)
types.register_type(1, 'mood', nil, PG::TextDecoder::String)
# By OIDs, as the server has them that it has connected to.
db.type_map_for_results = PG::BasicTypeMapForResults.new(db, registry: types)
db.exec("SET app.tenant = 'ruby'; LISTEN ruby")
db.prepare('keep', 'INSERT INTO app.kept VALUES ($1, $2, $3, $4, $5, $6, $7, $8)')
db.prepare('kept', 'SELECT number, mood, price, tags, doc, raw, moment FROM app.kept WHERE client = $1 AND number = $2')
db.prepare('give', 'UPDATE app.account SET balance = balance + $1 WHERE id = $2')
tags = PG::TextEncoder::Array.new.encode(['ruby', 'a,b', nil])
until over
  n = $number += 1
  raw = [0, n % 256, 255].pack('C*')
  moment = Time.utc(2026) + n * 3600
  port = db.transaction do
    db.exec_prepared('keep', ['ruby', n, 'busy', "#{n}.25", tags, { n: n }.to_json, { value: raw, format: 1 }, moment.iso8601])
    db.exec_prepared('give', [n, 11])
    db.exec_prepared('give', [-n, 12])
    db.exec('SELECT inet_server_port()').getvalue(0, 0)
  end

  expect(db.exec_prepared('kept', ['ruby', n]).values[0], [n, 'busy', BigDecimal("#{n}.25"), ['ruby', 'a,b', nil], { 'n' => n }, raw, moment])
  binary = db.exec_params('SELECT mood, raw, number FROM app.kept WHERE client = $1 AND number = $2', ['ruby', n], 1)
  expect(binary.values[0], ['busy', raw, n])
  expect(db.exec("SELECT current_setting('app.tenant')").getvalue(0, 0), 'ruby')

  db.enter_pipeline_mode
  5.times { |i| db.send_query_params('INSERT INTO app.loose VALUES ($1, $2, $3)', [n, 'pipeline', i]) }
  db.pipeline_sync
  db.send_query_prepared('kept', ['ruby', n])
  db.pipeline_sync
  5.times { expect(db.get_last_result.cmd_tuples, 1) }
  expect(db.get_result.result_status, PG::PGRES_PIPELINE_SYNC)
  expect(db.get_last_result.ntuples, 1)
  expect(db.get_result.result_status, PG::PGRES_PIPELINE_SYNC)
  db.exit_pipeline_mode

  db.copy_data('COPY app.loose FROM STDIN', PG::TextEncoder::CopyRow.new) { db.put_copy_data([n, 'copy', 1.5]) }
  copied = 0
  db.copy_data('COPY (SELECT id FROM app.keyed) TO STDOUT') { copied += 1 while db.get_copy_data }
  expect(copied, LARGE)
  expect_error(PG::CheckViolation) do
    db.copy_data('COPY app.child (parent, note) FROM STDIN') { db.put_copy_data("1\tforbidden\n") }
  end
  db.send_query('SELECT id FROM app.keyed')
  db.set_single_row_mode
  expect(db.get_result.stream_each.count, LARGE)
  db.discard_results

  db.transaction do
    db.exec('SAVEPOINT before')
    expect_error(PG::DivisionByZero) { db.exec('SELECT 1 / (id - id) FROM app.account') }
    db.exec('ROLLBACK TO before')
  end
  db.send_query('SELECT pg_sleep(30)')
  db.cancel until db.block(0.01)
  expect_error(PG::QueryCanceled) { db.get_last_result }

  db.exec_params("SELECT pg_notify('ruby', $1)", [n.to_s])
  expect(db.notifies&.fetch(:extra), n.to_s)
  PG.connect { |other| expect(other.parameter_status('server_encoding'), 'UTF8') }
  puts "round #{n} port #{port}"
  $stdout.flush
end
db.close
