import t from 'tap'
import { BoundedMap } from '../lib/bounded-map.ts'
import { systemClock } from '../lib/clock.ts'
import { OldestKey } from '../lib/oldest-key.ts'
import { MemoryCache } from '../lib/state/cache/memory-cache.ts'
import { collectedMemory } from './fixtures/collected-memory.ts'

const mebibyte = 2 ** 20

t.test('it goes on behind what was deleted, and over what is set later', async t => {
  const map = new Map([1, 2, 3].map(key => [key, key]))
  const oldest = new OldestKey(map)
  for (let key = 4; key < 5_000; key++) {
    const next = oldest.next()
    t.equal(next, [...map.keys()][0])
    map.delete(next)
    map.set(key, key)
    oldest.rest()
  }
})

t.test('it finds the oldest when it has not been asked for long', async t => {
  const map = new Map([1, 2].map(key => [key, key]))
  const oldest = new OldestKey(map)
  t.equal(oldest.next(), 1)
  map.delete(1)
  for (let key = 3; key < 10_000; key++) {
    map.delete(key - 1)
    map.set(key, key)
    oldest.rest()
  }
  t.equal(oldest.next(), 9_999)
})

t.test('what comes and goes below the bound costs no memory', async t => {
  const map = new BoundedMap<number, number>(10_000)
  for (let key = 0; key < 10_001; key++) map.set(key, key)
  map.clear()
  const before = collectedMemory().heapUsed
  for (let key = 0; key < 500_000; key++) {
    map.set(key, key)
    map.delete(key - 100)
  }
  t.ok(collectedMemory().heapUsed - before < 5 * mebibyte)
  t.equal(map.size, 100)
})

t.test('what is read again and again costs no memory', async t => {
  const cache = new MemoryCache(systemClock, 100_000)
  const entry = {
    value: Buffer.from('value'),
    version: 1n,
    asOf: systemClock.now(),
    expiresAt: undefined,
  }
  for (let key = 0; key < 1_000; key++) cache.keep('table', String(key), entry)
  const before = collectedMemory().heapUsed
  for (let turn = 0; turn < 500_000; turn++)
    cache.read('table', String(900 + (turn % 100)))
  t.ok(collectedMemory().heapUsed - before < 5 * mebibyte)
})
