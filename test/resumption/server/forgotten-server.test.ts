import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import type { Farm } from '../../../lib/member/farm.ts'
import { patience } from '../../fixtures/patience.ts'
import { farmOfOne } from '../../fixtures/resumption/world.ts'
import { type VisitOptions, visit } from '../../fixtures/tls/client.ts'
import { tellingServer } from '../../fixtures/tls/servers.ts'

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

for (const resumption of ['stateful', 'auto'] as const) {
  t.test(
    `a server that is closed and forgotten leaves memory: ${resumption}`,
    async t => {
      const farm = await farmOfOne(t)
      const held: WeakRef<object>[] = []
      for (let n = 0; n < 6; n += 1) held.push(await serveOnce(farm, resumption))
      // In a turn of its own: who looks at a weak reference keeps its target for that turn.
      const left = async () => {
        await new Promise(resolve => setTimeout(resolve, 10))
        collect()
        await new Promise(setImmediate)
        return held.filter(ref => ref.deref() !== undefined).length
      }
      const end = Date.now() + patience
      let count = held.length
      while (count > 0 && Date.now() < end) count = await left()
      t.equal(count, 0)
      t.match(farm.stats().handshakes, { resumed: 6, full: 6 })
    },
  )
}

t.test('a server that is closed and listens again still shares its sessions', async t => {
  const farm = await farmOfOne(t)
  const server = await tellingServer()
  farm.attach(server)
  let session: Buffer | undefined
  for (const resumed of ['false', '"ticket"', '"ticket"']) {
    const port = await open(server)
    const visited = await visit({ port, session } as VisitOptions)
    t.match(visited.body, `"resumed":${resumed}`)
    session = visited.sessions[0]
    await close(server)
  }
})

t.test('closing the farm detaches the servers that are still there', async t => {
  const farm = await farmOfOne(t)
  const servers = [await tellingServer(), await tellingServer()]
  for (const server of servers) farm.attach(server)
  await farm.close()
  for (const server of servers) {
    t.notOk(Object.hasOwn(server, 'setSecureContext'))
    t.notOk(Object.hasOwn(server, 'emit'))
  }
})

async function serveOnce(
  farm: Farm,
  resumption: 'stateful' | 'auto',
): Promise<WeakRef<object>> {
  const server = await tellingServer()
  farm.attach(server, { resumption })
  const port = await open(server)
  const first = await visit({ port })
  await visit({ port, session: first.sessions[0] } as VisitOptions)
  await close(server)
  return new WeakRef(server)
}

type TellingServer = Awaited<ReturnType<typeof tellingServer>>

async function open(server: TellingServer): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function close(server: TellingServer): Promise<void> {
  server.close()
  server.closeAllConnections()
  await once(server, 'close')
}
