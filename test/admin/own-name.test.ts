import { hostname } from 'node:os'
import t from 'tap'
import { bearer, token, world } from '../fixtures/admin/world.ts'

t.test('a name that is not its own reads nothing: DNS rebinding', async t => {
  const { ask, admin } = await world(t, { token, names: ['proxy1.internal'] })
  const paths = ['GET /status', 'GET /metrics', 'GET /revocations', 'POST /revoke']
  const strange = [
    'evil.example',
    `evil.example:${admin.port}`,
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'proxy1.internal.evil.example',
    'evil.example#127.0.0.1',
    '127.0.0.1@evil.example',
    '[::1].evil.example',
  ]
  for (const host of strange) {
    for (const path of paths) {
      const [method = '', url = ''] = path.split(' ')
      const answer = await ask(method, url, { headers: { ...bearer, host } })
      t.equal(answer.status, 421, `${path} of '${host}'`)
      t.notMatch(answer.body, 'members')
    }
  }
  const own = [
    '127.0.0.1',
    `127.0.0.1:${admin.port}`,
    `[::1]:${admin.port}`,
    '10.1.2.3:9443',
    'localhost',
    `LOCALHOST:${admin.port}`,
    'localhost.',
    `${hostname()}:9443`,
    'proxy1.internal:9443',
  ]
  for (const host of own) {
    t.equal((await ask('GET', '/status', { headers: { host } })).status, 200, host)
  }
})
