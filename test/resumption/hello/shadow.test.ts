import { once } from 'node:events'
import { Socket } from 'node:net'
import t from 'tap'
import { Shadow } from '../../../lib/resumption/hello/shadow.ts'
import { isFast } from '../../fixtures/is-fast.ts'
import { farmOfOne, ways } from '../../fixtures/resumption/world.ts'
import { visit } from '../../fixtures/tls/client.ts'
import { tellingServer } from '../../fixtures/tls/servers.ts'

t.test('what was hidden is there again', async t => {
  class Counter {
    own = () => 'own'
    shared() {
      return 'shared'
    }
  }
  for (const end of ['remove', 'giveBack'] as const) {
    const [counter, untouched] = [new Counter(), new Counter()]
    const shadows = (['own', 'shared'] as const).map(
      name => new Shadow(counter, name, () => 'ours'),
    )
    t.same([counter.own(), counter.shared()], ['ours', 'ours'])
    for (const shadow of shadows) shadow[end]()
    t.same([counter.own(), counter.shared()], ['own', 'shared'])
    t.equal(counter.shared, untouched.shared)
    if (end === 'remove') t.same(Object.keys(counter), Object.keys(untouched))
    else t.ok(isFast(counter), 'and V8 does not take it for a dictionary')
  }
})

t.test('what somebody else has put there since stays', async t => {
  for (const end of ['remove', 'giveBack'] as const) {
    const object = { name: () => 'before' }
    const shadow = new Shadow(object, 'name', () => 'ours')
    object.name = () => 'theirs'
    shadow[end]()
    t.equal(object.name(), 'theirs')
  }
})

for (const resumption of ways) {
  t.test(
    `sockets of a server that resumes ${resumption} are no dictionaries`,
    async t => {
      const farm = await farmOfOne(t)
      const server = await tellingServer()
      farm.attach(server, { resumption })
      server.listen(0, '127.0.0.1')
      t.teardown(() => server.close())
      await once(server, 'listening')
      const sockets: Socket[] = []
      server.on('connection', (socket: Socket) => sockets.push(socket))
      const isServed = once(server, 'secureConnection')
      const { port } = server.address() as { port: number }
      await visit({ port })
      await isServed
      t.equal(sockets.length, 1)
      t.ok(sockets.every(socket => socket instanceof Socket && isFast(socket)))
    },
  )
}
