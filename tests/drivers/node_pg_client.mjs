// node-postgres: named statements, a pool, cursors by Flush (pg-cursor), notifications, errors and recovery, statement timeouts.
// Connects by PG* variables.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(process.env.SEGUE_DRIVERS + '/')
const { Client, Pool } = require('pg')
const Cursor = require('pg-cursor')

const LARGE = 2000 // Rows of app.keyed.
const options = { ssl: { ca: readFileSync(process.env.PGSSLROOTCERT) }, options: '-c app.tenant=node', enableChannelBinding: true }
let over = false
process.on('SIGTERM', () => { over = true })

async function keep(db, n) {
  const row = { number: n, mood: 'busy', price: `${n}.25`, tags: ['node', 'a,b', null], doc: { n }, raw: Buffer.from([0, n % 256, 255]),
    moment: new Date(Date.UTC(2026, 0, 1, n)) }
  await db.query('BEGIN')
  await db.query({ name: 'keep', text: 'INSERT INTO app.kept VALUES ($1, $2, $3, $4, $5, $6, $7, $8)', values: ['node', ...Object.values(row)] })
  const { rows: [{ port }] } = await db.query({ name: 'port', text: 'SELECT inet_server_port() AS port' })
  await db.query('SAVEPOINT before')
  await assert.rejects(db.query('SELECT 1 / (id - id) FROM app.account'), { code: '22012' })
  await db.query('ROLLBACK TO before')
  await db.query('COMMIT')
  const found = await db.query({ name: 'kept', text: 'SELECT number, mood, price, tags, doc, raw, moment FROM app.kept WHERE client = $1 AND ' +
    'number = $2', values: ['node', n] })
  assert.deepEqual({ ...found.rows[0] }, row)
  return port
}

async function transfer(pool, n) {
  const db = await pool.connect()
  try {
    // Queued on one connection without waiting: node-postgres sends each after the answer to the one before.
    await Promise.all([db.query('BEGIN'), db.query('UPDATE app.account SET balance = balance + $1 WHERE id = $2', [n, 19]),
      db.query('UPDATE app.account SET balance = balance - $1 WHERE id = $2', [n, 20]), db.query('COMMIT')])
    const tenants = await db.query("SELECT current_setting('app.tenant') AS one; SELECT 2 AS two")
    assert.deepEqual(tenants.map((result) => Object.values(result.rows[0])[0]), ['node', 2])
  } finally {
    db.release(n % 10 === 0) // Then it is closed, and the next one connects.
  }
  const moods = await Promise.all([1, 2, 3].map((i) => pool.query('SELECT $1::app.mood AS mood, id FROM app.hard WHERE id = $2', ['calm', i])))
  assert.deepEqual(moods.map((result) => result.rows[0].id), [1, 2, 3])
}

async function fetchAll(db) {
  await db.query('BEGIN')
  const cursor = db.query(new Cursor('SELECT id, body FROM app.keyed WHERE id > $1', [0]))
  let seen = 0
  for (let rows; (rows = await cursor.read(300)).length > 0;) seen += rows.length
  await cursor.close()
  await db.query('COMMIT')
  assert.equal(seen, LARGE)
}

const db = new Client(options)
const pool = new Pool({ ...options, max: 2 })
await db.connect()
await db.query('LISTEN node')
for (let n = 1; !over; ++n) {
  const heard = new Promise((resolve) => db.once('notification', (notice) => resolve(notice.payload)))
  const port = await keep(db, n)
  await transfer(pool, n)
  await fetchAll(db)
  await db.query('SET statement_timeout = 20')
  await assert.rejects(db.query('SELECT pg_sleep(30)'), { code: '57014' })
  await db.query('RESET statement_timeout')
  await db.query("SELECT pg_notify('node', $1)", [String(n)])
  assert.equal(await heard, String(n))
  console.log(`round ${n} port ${port}`)
}
await pool.end()
await db.end()
