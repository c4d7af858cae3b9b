// postgres.js: pipelined tagged queries, automatic statements, types it asks the server for, transactions and savepoints, cursors,
// COPY, notifications, cancel. Connects by PG* variables.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const postgres = createRequire(process.env.SEGUE_DRIVERS + '/')('postgres')

const LARGE = 2000 // Rows of app.keyed.
const options = { ssl: { ca: readFileSync(process.env.PGSSLROOTCERT) }, connection: { 'app.tenant': 'postgresjs' }, onnotice: () => {} }
const sql = postgres({ ...options, max: 2 })
let over = false
process.on('SIGTERM', () => { over = true })

async function keep(n) {
  const row = { client: 'postgresjs', number: n, mood: 'busy', price: `${n}.25`, tags: ['postgresjs', 'a,b', null], doc: { n },
    raw: Buffer.from([0, n % 256, 255]), moment: new Date(Date.UTC(2026, 0, 1, n)) }
  const port = await sql.begin(async (transaction) => {
    await transaction`INSERT INTO app.kept ${transaction(row)}`
    const [, , [{ port }]] = await Promise.all([ // In one pipeline.
      transaction`UPDATE app.account SET balance = balance + ${n} WHERE id = 21`,
      transaction`UPDATE app.account SET balance = balance - ${n} WHERE id = 22`,
      transaction`SELECT inet_server_port() AS port, current_setting('app.tenant') AS tenant`])
    await assert.rejects(transaction.savepoint((inner) => inner`SELECT 1 / (id - id) FROM app.account`), { code: '22012' })
    return port
  })
  const [found] = await sql`SELECT * FROM app.kept WHERE client = 'postgresjs' AND number = ${n}`
  // Its array parser takes NULL for a word.
  assert.deepEqual({ ...found, raw: Buffer.from(found.raw) }, { ...row, tags: ['postgresjs', 'a,b', 'NULL'] })
  return port
}

async function much(n) {
  const small = await Promise.all([1, 2, 3, 4, 5].map((id) => sql`SELECT id, mood, tags FROM app.hard WHERE id = ${id} AND
    mood = ANY(${['calm', 'busy', 'O\'Reilly "mad"']}::app.mood[])`))
  assert.deepEqual(small.map(([row]) => row.id), [1, 2, 3, 4, 5])
  const rows = Array.from({ length: 20 }, (_, i) => ({ a: n, b: 'many', c: i }))
  await sql`INSERT INTO app.loose ${sql(rows)}`
  const seen = await sql.begin(async (transaction) => {
    let seen = 0
    for await (const part of transaction`SELECT id, body FROM app.keyed`.cursor(300)) seen += part.length
    return seen
  })
  assert.equal(seen, LARGE)
}

// postgres.js cancels a query once, which may come before the server has begun.
async function cancel() {
  const sleeper = sql`SELECT pg_sleep(0.5)`
  const ended = sleeper.catch((error) => assert.equal(error.code, '57014'))
  setTimeout(() => sleeper.cancel(), 20)
  await ended
}

async function copy(n) {
  const into = await sql`COPY app.loose FROM STDIN`.writable()
  await new Promise((resolve, reject) => into.on('error', reject).on('finish', resolve).end(`${n}\tcopy\t1.5\n`))
  let lines = 0
  for await (const part of await sql`COPY (SELECT id FROM app.keyed) TO STDOUT`.readable()) lines += part.toString().split('\n').length - 1
  assert.equal(lines, LARGE)
}

let hear
await sql.listen('postgresjs', (payload) => hear(payload))
for (let n = 1; !over; ++n) {
  const heard = new Promise((resolve) => { hear = resolve })
  const port = await keep(n)
  await much(n)
  await cancel()
  await copy(n)
  await sql.notify('postgresjs', String(n))
  assert.equal(await heard, String(n))
  const other = postgres({ ...options, max: 1 })
  assert.equal((await other`SELECT current_setting('app.tenant') AS tenant`)[0].tenant, 'postgresjs')
  await other.end()
  console.log(`round ${n} port ${port}`)
}
await sql.end()
