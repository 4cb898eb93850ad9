import { once } from 'node:events'
import { Agent } from 'node:https'
import type { Server } from 'node:tls'
import t from 'tap'
import type { AttachOptions, Authorizer } from '../../lib/proxy/options.ts'
import { rawConnection } from '../fixtures/proxy/raw.ts'
import { defaultSite, startBackend, startProxy } from '../fixtures/proxy/servers.ts'
import { ask, site } from '../fixtures/proxy/sites.ts'
import { authority, clientOf, makePair } from '../fixtures/tls/certificates.ts'
import { until } from '../fixtures/until.ts'

const { url } = await startBackend(t, (_q, r) => r.end('{}'))
const backends = [url]
const ca = await authority('Clients of B')
const ann = await clientOf('Clients of B', 'ann')

t.test('reload: new certificates and sites, and no connection is dropped', async t => {
  const attached: AttachOptions[] = []
  const sessions = {
    attach: (_server: Server, options: AttachOptions) => void attached.push(options),
    detach() {},
  }
  const first = await site('a.test', backends)
  const gone = await site('gone.test', backends)
  const { proxy, port } = await startProxy(t, {
    sites: [first, gone, await defaultSite(backends)],
    sessions,
  })
  const { policyOf } = attached[0] as AttachOptions
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  t.equal((await ask(port, 'a.test', { agent })).status, 200)
  t.equal((await ask(port, 'gone.test')).name, 'gone.test')
  const before = [policyOf('a.test'), policyOf('gone.test'), policyOf('')]

  const second = await startBackend(t, (_q, r) => r.end('"second"'))
  const renewed = {
    ...first,
    ...(await makePair(['a.test'], {})),
    backends: [second.url],
  }
  proxy.reload({ sites: [renewed, await defaultSite(backends)] })

  const kept = await ask(port, 'a.test', { agent })
  t.equal(kept.body, '"second"', 'an open connection reaches the new backend')
  t.equal(proxy.stats().connections, 1, 'and is the same connection')
  t.equal((await ask(port, 'gone.test')).name, 'localhost', 'a removed site is gone')
  t.notSame(
    policyOf('a.test'),
    before[0],
    'sessions of the old certificate do not resume',
  )
  t.equal(policyOf('gone.test'), before[2])
  t.equal(policyOf(''), before[2], 'those of an unchanged site do')

  t.throws(() => proxy.reload({ sites: [{ ...first, key: gone.key }] }), {
    code: 'ERR_HANDFAST_CONFIG',
    message: /a\.test/,
  })
  t.throws(() => proxy.reload({ sites: [] }), /sites/)
  const secret = { ...first, backends: ['ftp://u:pass@x'] }
  t.throws(() => proxy.reload({ sites: [secret] }), {
    message: /^(?!.*pass).*backend/,
  })
  t.equal((await ask(port, 'a.test')).body, '"second"', 'a bad reload changes nothing')
})

t.test('reload of the demand for certificates binds open connections too', async t => {
  const open = await site('a.test', backends)
  const { proxy, port } = await startProxy(t, { sites: [open] })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  t.equal((await ask(port, 'a.test', { agent })).status, 200)
  proxy.reload({ sites: [{ ...open, clientCa: ca.cert, clientCertificate: 'required' }] })
  t.equal((await ask(port, 'a.test', { agent })).status, 421, 'made under another policy')
  t.equal((await ask(port, 'a.test')).status, 403)
  t.equal((await ask(port, 'a.test', ann)).status, 200, 'new connections are asked')
})

t.test('a request that is on its way while a reload comes is served', async t => {
  let asked: (() => void) | undefined
  const authorizer: Authorizer = {
    authorize: () =>
      new Promise(resolve => {
        asked = () => resolve({ outcome: 'allowed', user: undefined, fields: [] })
      }),
  }
  const backend = await startBackend(t, (request, response) => request.pipe(response))
  const plain = await defaultSite([backend.url])
  const guarded = { ...(await site('a.test', [backend.url])), authorizer }
  const sites = [plain, guarded]
  const { proxy, port } = await startProxy(t, { sites })
  const waiting = ask(port, 'a.test')
  const uploading = await rawConnection(port)
  let answer = ''
  uploading.setEncoding('latin1').on('data', text => {
    answer += text
  })
  uploading.write(
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\n',
  )
  await until(() => asked !== undefined && proxy.stats().requests === 2)
  proxy.reload({ sites, limits: { backendBodyTimeout: 5_000 } })
  asked?.()
  t.equal((await waiting).status, 200)
  uploading.write('body')
  await once(uploading, 'close')
  t.match(answer, /^HTTP\/1\.1 200 .*body/s)
})
