import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  timingSafeEqual,
} from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateSync, inflateSync } from 'node:zlib'
import t from 'tap'
import { tables } from '../../lib/record/key.ts'
import { sharedMemory } from '../../lib/table/segment/segments.ts'
import { newTable, record } from '../fixtures/table/records.ts'

const { session } = tables
const MiB = 1024 * 1024

t.test('a table that is filled again takes the memory that it had', t => {
  let taken = 0
  const memory = (length: number) => {
    if (length >= MiB / 8) taken += length
    return sharedMemory(length)
  }
  const { table } = newTable({ maxBytes: 64 * MiB, memory })
  const value = Buffer.alloc(1000, 1)
  const fill = () => {
    for (let i = 0; i < 10_000; i += 1) table.put(record({ key: i, value }))
  }
  fill()
  const first = taken
  t.ok(first > 9 * MiB)
  // Nothing is collected before this job is over.
  for (let round = 0; round < 5; round += 1) {
    table.purge()
    t.ok(table.memory().bytes < MiB)
    fill()
  }
  t.equal(taken, first)
  t.same(table.get(session, Buffer.from('77')), value)
  t.end()
})

t.test('what a table answers is good for whatever takes bytes', async t => {
  const { table } = newTable()
  const value = Buffer.from('{"name":"Zoë"}'.padEnd(3_000))
  table.put(record({ value }))
  const found = table.get(session, Buffer.from('key')) as Buffer
  t.ok(found.buffer instanceof SharedArrayBuffer)

  const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
  t.equal(digest(found), digest(value))
  t.equal(
    createHmac('sha256', found).update(found).digest('hex'),
    createHmac('sha256', value).update(value).digest('hex'),
  )
  t.ok(timingSafeEqual(found, value))
  const [key, nonce] = [Buffer.alloc(32, 1), Buffer.alloc(12, 2)]
  const sealing = createCipheriv('aes-256-gcm', key, nonce).setAAD(found)
  const sealed = Buffer.concat([sealing.update(found), sealing.final()])
  table.put(record({ key: 'sealed', value: sealed }))
  const shared = table.get(session, Buffer.from('sealed')) as Buffer
  const opening = createDecipheriv('aes-256-gcm', key, nonce).setAAD(value)
  opening.setAuthTag(sealing.getAuthTag())
  t.same(Buffer.concat([opening.update(shared), opening.final()]), value)

  const text = new TextDecoder('utf-8', { fatal: true })
  const again = table.get(session, Buffer.from('key')) as Buffer
  t.equal(text.decode(again), value.toString())
  t.same(JSON.parse(again.toString()), { name: 'Zoë' })
  t.same(inflateSync(deflateSync(again)), value)
  t.same(Buffer.from(again), value)
  t.same(Buffer.concat([again, again]), Buffer.concat([value, value]))
  t.ok(again.equals(value))

  const folder = mkdtempSync(join(tmpdir(), 'handfast-memory-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'value'), again)
  t.same(readFileSync(join(folder, 'value')), value)

  const server = createServer(socket => socket.end(again)).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const socket = createConnection(server.address() as { port: number })
  const parts: Buffer[] = []
  socket.on('data', part => parts.push(part))
  await once(socket, 'end')
  t.same(Buffer.concat(parts), value)
})

t.test('records of any length are copied in and out', t => {
  const { table } = newTable()
  for (const length of [0, 1, 7, 31, 255, 256, 4_097, 65_536]) {
    const value = Buffer.from(Array.from({ length }, (_, i) => i % 251))
    table.put(record({ key: length || 'empty', value }))
    const key = Buffer.from(String(length || 'empty'))
    t.same(table.get(session, key), value, `${length} bytes`)
    const read = table.read(session, key)
    t.same(read?.value, value)
    t.not(read?.value.buffer instanceof SharedArrayBuffer, true, 'a copy of its own')
  }
  t.end()
})
