import { constants, PerformanceObserver } from 'node:perf_hooks'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { RelayedBytes, relayed } from '../../../lib/proxy/relay/relayed-bytes.ts'

const mebibyte = 2 ** 20

t.test('the young generation is collected once for each 8 MiB', async t => {
  let collections = 0
  const bytes = new RelayedBytes(() => {
    collections += 1
  })
  for (let chunk = 0; chunk < 127; chunk++) bytes.count(65_536)
  t.equal(collections, 0)
  bytes.count(65_536)
  t.equal(collections, 1)
  for (let chunk = 0; chunk < 7; chunk++) bytes.count(mebibyte)
  t.equal(collections, 1)
  bytes.count(mebibyte)
  t.equal(collections, 2)
  bytes.count(100 * mebibyte)
  t.equal(collections, 3, 'of what came at once, nothing is collected twice')
})

t.test('where nothing can collect, nothing happens', async () => {
  new RelayedBytes(undefined).count(100 * mebibyte)
})

t.test('it is a minor collection, and gc stays hidden', async t => {
  const wanted = 20
  let minor = 0
  // An observer alone does not keep a process from its end.
  const waiting = setInterval(() => {}, 1_000)
  const seen = new Promise<void>(resolve => {
    const observer = new PerformanceObserver(list => {
      for (const entry of list.getEntries()) {
        const { kind } = (entry as unknown as { detail: { kind: number } }).detail
        if (kind === constants.NODE_PERFORMANCE_GC_MINOR) minor += 1
      }
      if (minor < wanted) return
      observer.disconnect()
      clearInterval(waiting)
      resolve()
    })
    observer.observe({ entryTypes: ['gc'] })
  })
  for (let round = 0; round < wanted; round++) relayed.count(8 * mebibyte)
  await seen
  t.equal(globalThis.gc, undefined)
  t.equal(runInNewContext('typeof gc'), 'undefined')
})
