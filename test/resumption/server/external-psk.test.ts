import { connect, createServer, type TlsOptions } from 'node:tls'
import t from 'tap'
import { handshakeOf } from '../../../lib/resumption/handshake.ts'
import { patience } from '../../fixtures/patience.ts'
import { farmOfOne } from '../../fixtures/resumption/world.ts'
import { unwrapped } from '../../fixtures/tls/client.ts'
import {
  certificateFor,
  listening,
  type TeardownScope,
} from '../../fixtures/tls/servers.ts'

/**
 * Keys shared out of band (RFC 4279, RFC 8446 4.2.11). In TLS 1.3 Node says of their use that a
 * session was reused, and there was none.
 */
const key = Buffer.alloc(16, 7)
const versions = {
  'TLSv1.2': 'PSK-AES128-GCM-SHA256:ECDHE-PSK-AES128-CBC-SHA256',
  'TLSv1.3': 'TLS_AES_128_GCM_SHA256',
} as const
type Version = keyof typeof versions

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  for (const mode of ['stateful', 'sealed', 'off'] as const) {
    t.test(`${version}, ${mode}: a client with a shared key is served`, async t => {
      const farm = await farmOfOne(t)
      const port = await pskServer(t, farm, version, mode)
      const first = await call(port, version)
      t.match(first.told, { resumed: false })
      t.match(await call(port, version), { told: { resumed: false } }, 'and again')
      t.match(farm.stats().handshakes, { resumed: 0, full: 2, failed: 0 })
      const session = first.sessions[0]
      if (mode === 'off') {
        t.equal(session && (await call(port, version, { session })).told.resumed, false)
        return
      }
      const again = await call(port, version, { session: session as Buffer })
      const sealed = mode === 'sealed' && version === 'TLSv1.3'
      t.match(again.told, { resumed: sealed ? 'ticket' : 'local' })
      t.equal(again.told.lineage, first.told.lineage)
    })

    t.test(`${version}, ${mode}: a client with another key is refused`, async t => {
      const farm = await farmOfOne(t)
      const port = await pskServer(t, farm, version, mode)
      await t.rejects(call(port, version, { psk: Buffer.alloc(16, 8) }))
      t.match(farm.stats().handshakes, { resumed: 0, full: 0, failed: 1 })
    })
  }
}

t.test('clients without a shared key resume on a server that has some', async t => {
  const farm = await farmOfOne(t)
  for (const resumption of ['stateful', 'sealed'] as const) {
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const port = await pskServer(t, farm, maxVersion, resumption, {})
      const first = await call(port, maxVersion, { ciphers: undefined, psk: undefined })
      const [session] = first.sessions
      const again = await call(port, maxVersion, {
        ciphers: undefined,
        psk: undefined,
        session: session as Buffer,
      })
      t.match(first.told, { resumed: false, cause: 'none-offered' })
      const sealed = resumption === 'sealed' && maxVersion === 'TLSv1.3'
      t.match(again.told, { resumed: sealed ? 'ticket' : 'local' })
    }
  }
})

interface Call {
  readonly identity?: string
  readonly psk?: Buffer | undefined
  readonly session?: Buffer
  readonly ciphers?: undefined
}

async function pskServer(
  t: TeardownScope,
  farm: Awaited<ReturnType<typeof farmOfOne>>,
  version: Version,
  resumption: 'stateful' | 'sealed' | 'off',
  options: TlsOptions = { ciphers: versions[version] },
): Promise<number> {
  const server = createServer(
    {
      ...(await certificateFor('localhost')),
      maxVersion: version,
      ...options,
      pskCallback: (_socket, identity) => (identity === 'dev' ? key : null),
    },
    socket => {
      socket.on('error', () => {})
      socket.once('data', () => {
        const { resumed, cause, lineage } = handshakeOf(socket) ?? {}
        socket.end(JSON.stringify({ resumed, cause, lineage: lineage?.toString('hex') }))
      })
    },
  )
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  farm.attach(server, { resumption })
  return listening(t, server as never)
}

async function call(
  port: number,
  version: Version,
  { identity = 'dev', ...given }: Call = {},
): Promise<{
  readonly told: { readonly resumed: unknown; readonly lineage?: string }
  readonly sessions: Buffer[]
}> {
  const psk = 'psk' in given ? given.psk : key
  const sessions: Buffer[] = []
  return await new Promise((resolve, reject) => {
    const socket = connect({
      port,
      host: '127.0.0.1',
      maxVersion: version,
      rejectUnauthorized: false,
      ...('ciphers' in given ? {} : { ciphers: versions[version] }),
      ...(given.session === undefined ? {} : { session: given.session }),
      ...(psk === undefined ? {} : { pskCallback: () => ({ psk, identity }) }),
      checkServerIdentity: () => undefined,
    })
    let text = ''
    socket.on('secureConnect', () => socket.write('hello'))
    socket.setTimeout(patience, () => socket.destroy(new Error('the call took too long')))
    socket.on('session', session => sessions.push(unwrapped(session)))
    socket.on('data', chunk => {
      text += chunk
    })
    socket.on('error', reject)
    socket.on('close', () => {
      if (text === '') reject(new Error('closed without an answer'))
      else resolve({ told: JSON.parse(text), sessions })
    })
  })
}
