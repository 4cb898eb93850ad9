import t from 'tap'
import { systemClock } from '../../lib/clock.ts'
import { MemoryCache } from '../../lib/state/cache/memory-cache.ts'

const mebibyte = 1024 * 1024

function cached(value: Buffer) {
  return { version: 1n, value, expiresAt: undefined, asOf: Date.now() }
}

t.test('what is cached keeps no memory but its own', async t => {
  const cache = new MemoryCache(systemClock, mebibyte)
  const answer = Buffer.alloc(65_536, 'x')
  cache.keep('carts', 'ann', cached(answer.subarray(100, 120)))
  cache.keep('carts', 'bob', cached(Buffer.from('from a slab of Node')))
  for (const [name, text] of [
    ['ann', 'x'.repeat(20)],
    ['bob', 'from a slab of Node'],
  ] as const) {
    const value = cache.read('carts', name)?.value
    t.equal(String(value), text)
    t.equal(value?.buffer.byteLength, text.length)
  }
})

t.test('a flood of keys finds room for those used last, and for no more', async t => {
  const cache = new MemoryCache(systemClock, mebibyte)
  const value = Buffer.alloc(100)
  cache.keep('carts', 'used', cached(value))
  for (let number = 0; number < 20_000; number += 1) {
    cache.keep('carts', `made up ${number}`, cached(value))
    if (number % 100 === 0) t.ok(cache.read('carts', 'used'))
  }
  const isThere = (_: unknown, number: number) =>
    cache.read('carts', `made up ${number}`) !== undefined
  const left = Array.from({ length: 20_000 }, isThere).filter(Boolean).length
  t.ok(left > 1_000 && left < mebibyte / 600, `${left} are there`)
})
