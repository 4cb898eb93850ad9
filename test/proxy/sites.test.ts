import { once } from 'node:events'
import { createServer, request as plainRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Site } from '../../lib/proxy/options.ts'
import { defaultSite, startBackend, startProxy } from '../fixtures/proxy/servers.ts'
import { ask, site } from '../fixtures/proxy/sites.ts'
import { rsa } from '../fixtures/tls/certificates.ts'

const { url } = await startBackend(t, (_q, r) => r.end('{}'))
const backends = [url]

t.test(
  'each name shows its own certificate, wildcards and the default included',
  async t => {
    const { port } = await startProxy(t, {
      sites: [
        await site('a.test', backends),
        await site('*.b.test', backends),
        await defaultSite(backends),
      ],
    })
    t.equal((await ask(port, 'a.test')).name, 'a.test')
    t.equal((await ask(port, 'A.Test')).name, 'a.test')
    t.equal((await ask(port, 'x.b.test')).name, '*.b.test')
    t.equal((await ask(port, 'x.y.b.test')).name, 'localhost', 'a star is one label')
    t.equal((await ask(port, 'unknown.test')).name, 'localhost')
    t.equal((await ask(port, '')).name, 'localhost', 'no SNI')
  },
)

t.test('RSA and P-256 side by side: never the certificate of another name', async t => {
  const { port } = await startProxy(t, {
    sites: [
      { names: ['r.test'], backends, ...(await rsa('r.test')) },
      await defaultSite(backends),
    ],
  })
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    t.equal((await ask(port, 'r.test', { maxVersion })).name, 'r.test', maxVersion)
    t.equal((await ask(port, 'x.test', { maxVersion })).name, 'localhost', maxVersion)
  }
})

t.test('a host without site: 421', async t => {
  const { port } = await startProxy(t, { sites: [await site('a.test', backends)] })
  t.equal((await ask(port, 'a.test')).status, 200)
  t.equal((await ask(port, 'a.test.')).status, 200, 'a dot at the end names the same')
  t.equal((await ask(port, 'b.test')).status, 421)
})

t.test('options that make no sense are named', async t => {
  const good = await site('a.test', backends)
  const bad: [Partial<Site>[], RegExp][] = [
    [[{ ...good, names: ['a b'] }], /a b/],
    [[good, good], /a\.test/],
    [
      [
        { ...good, names: [] },
        { ...good, names: [] },
      ],
      /without names/,
    ],
    [[{ ...good, clientCertificate: 'required' }], /clientCa/],
    [[{ ...good, cert: 'no PEM' }], /a\.test/],
    [[{ ...good, backends: ['127.0.0.1:80'] }], /backend/],
    [[{ ...good, backends: ['http://127.0.0.1/path'] }], /backend/],
  ]
  for (const [sites, message] of bad) {
    await t.rejects(startProxy(t, { sites: sites as Site[] }), {
      code: 'ERR_HANDFAST_CONFIG',
      message,
    })
  }
  await t.rejects(
    startProxy(t, { sites: [good], trustedProxies: ['10.0.0.0/99'] }),
    /10\.0/,
  )
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  await t.rejects(startProxy(t, { sites: [good], port }), { code: 'EADDRINUSE' })
  plainRequest({ port, method: 'HEAD' })
    .on('error', () => {})
    .destroy()
})
