import { constants } from 'node:crypto'
import type { SecureContextOptions, Server } from 'node:tls'
import t from 'tap'
import { tables } from '../../../lib/record/key.ts'
import { cacheOf } from '../../fixtures/farm/insides.ts'
import {
  memberServer,
  memberServers,
  resume,
  told,
} from '../../fixtures/resumption/world.ts'
import { visit } from '../../fixtures/tls/client.ts'

/*
 * Servers that speak no TLS 1.3, with clients that do. What such a client sends as session id
 * is an id then, and not noise.
 */

const no13 = { secureOptions: constants.SSL_OP_NO_TLSv1_3 }

const settings: { readonly [name: string]: SecureContextOptions } = {
  'the option SSL_OP_NO_TLSv1_3': no13,
  'maxVersion TLSv1.2': { maxVersion: 'TLSv1.2' },
  'secureProtocol TLSv1_2_method': { secureProtocol: 'TLSv1_2_method' },
  'secureProtocol TLS_method and the option': { secureProtocol: 'TLS_method', ...no13 },
  'the option, and TLS 1.3 allowed in words': { ...no13, maxVersion: 'TLSv1.3' },
}

for (const [name, server] of Object.entries(settings)) {
  t.test(`with ${name}, TLS 1.2 resumes on every member`, async t => {
    const members = await memberServers(t, 2, { server })
    for (const from of members) {
      const first = await visit({ port: from.port })
      t.match(first, { protocol: 'TLSv1.2', reused: false })
      for (const to of members) {
        const again = await resume(to.port, first.sessions[0])
        t.match(again, { protocol: 'TLSv1.2', reused: true })
        t.equal(told(again).lineage, told(first).lineage)
      }
    }
  })
}

t.test('ciphers of TLS 1.2 alone leave TLS 1.3 on, and it resumes', async t => {
  const server = { ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }
  const { port } = await memberServer(t, { server })
  const first = await visit({ port })
  t.equal(first.protocol, 'TLSv1.3')
  t.equal((await resume(port, first.sessions[0])).reused, true)
})

t.test('what the context of a name says of versions does not count', async t => {
  const named = await memberServer(t)
  named.server.addContext('localhost', { ...pairOf(named.server), ...no13 })
  const first = await visit({ port: named.port })
  t.equal(first.protocol, 'TLSv1.3')
  t.equal((await resume(named.port, first.sessions[0])).reused, true)

  const byDefault = await memberServer(t, { server: no13 })
  byDefault.server.addContext('localhost', pairOf(byDefault.server))
  const older = await visit({ port: byDefault.port })
  t.equal(older.protocol, 'TLSv1.2')
  t.equal((await resume(byDefault.port, older.sessions[0])).reused, true)
})

t.test('TLS 1.3 is switched off and on again', async t => {
  const { port, server } = await memberServer(t)
  const pair = pairOf(server)
  for (const [options, protocol] of [
    [no13, 'TLSv1.2'],
    [{}, 'TLSv1.3'],
    [{ maxVersion: 'TLSv1.2' }, 'TLSv1.2'],
  ] as const) {
    server.setSecureContext({ ...pair, ...options })
    const first = await visit({ port })
    t.equal(first.protocol, protocol)
    t.match(await resume(port, first.sessions[0]), { protocol, reused: true })
  }
})

t.test('a server that hides it shows it with its first handshake', async t => {
  // A context made later would not have it, as it has what stands in that file.
  const attach = { resumption: 'stateful' } as const
  const { port, server } = await memberServer(t, { attach })
  // As OpenSSL's configuration file may do.
  const { context } = Reflect.get(server, '_sharedCreds')
  context.setOptions(no13.secureOptions)
  const first = await visit({ port })
  t.match(await resume(port, first.sessions[0]), { protocol: 'TLSv1.2', reused: true })
})

t.test('the noise of a TLS 1.3 client is still asked of nobody', async t => {
  const { port, farm } = await memberServer(t)
  const asked: Buffer[] = []
  const cache = cacheOf(farm)
  const { getLocal } = cache
  cache.getLocal = (table, id) => {
    if (table === tables.session) asked.push(id)
    return getLocal.call(cache, table, id)
  }
  for (let n = 0; n < 3; n += 1) await visit({ port })
  t.same(asked, [])
})

function pairOf(server: Server): { key: string; cert: string } {
  return { key: Reflect.get(server, 'key'), cert: Reflect.get(server, 'cert') }
}

for (const protocol of ['TLSv1', 'TLSv1.1'] as const) {
  t.test(`${protocol} resumes on every member, where its owner lets it`, async t => {
    const ciphers = 'DEFAULT@SECLEVEL=0'
    const old = { minVersion: protocol, maxVersion: protocol, ciphers }
    const server = { minVersion: 'TLSv1', ciphers } as const
    const [from, to] = await memberServers(t, 2, { server })
    if (from === undefined || to === undefined) throw new Error('two members were due')
    const first = await visit({ port: from.port, ...old })
    t.match(first, { protocol, reused: false })
    const again = await resume(to.port, first.sessions[0], old)
    t.match(again, { protocol, reused: true })
    t.equal(told(again).lineage, told(first).lineage)

    const { ciphers: weak, minVersion } = old
    const newer = await resume(to.port, first.sessions[0], { minVersion, ciphers: weak })
    t.equal(newer.reused, false, 'a newer version is not held back by an old session')
  })
}
