import t from 'tap'
import type { BackendOptions } from '../../lib/backend/backend.ts'
import { resolveCheck } from '../../lib/backend/health/check-options.ts'
import { type HealthBoard, noBoard } from '../../lib/backend/health/health-board.ts'
import { Backends } from '../../lib/dispatch/backends.ts'
import { dispatcherOptions } from '../fixtures/dispatch/options.ts'
import { MemoryLog, type Teardown } from '../fixtures/proxy/servers.ts'

/** Under which names the checks of a backend are told of, for each of several ways to it. */
function namesOf(t: Teardown, ways: readonly Partial<BackendOptions>[]): string[] {
  const names: string[] = []
  const board: HealthBoard = {
    ...noBoard,
    watch: check => {
      names.push(check)
      return () => {}
    },
  }
  const backends = new Backends(
    new MemoryLog(),
    {} as never,
    {} as never,
    undefined,
    board,
  )
  t.teardown(() => backends.destroy())
  backends.rebuild(dispatcherTo =>
    ways.map(way =>
      dispatcherTo(
        dispatcherOptions([{ url: 'https://10.0.0.1:443' }], {
          check: resolveCheck({ path: '/health', interval: 86_400_000 }),
          ...way,
        }),
      ),
    ),
  )
  return names
}

t.test('what one check has found is nothing to one that asks in another way', async t => {
  const ways = [
    {},
    { protocol: 'http2' },
    { ca: 'another' },
    { proxyProtocol: 'v2' },
  ] as const
  t.equal(new Set(namesOf(t, ways)).size, 4)
})

t.test('how many requests a backend may have makes no other check', async t => {
  const names = namesOf(t, [{ maxRequests: 1 }, { maxRequests: 2 }])
  t.equal(names.length, 2)
  t.equal(new Set(names).size, 1)
})
