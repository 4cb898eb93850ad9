import { createSecureServer } from 'node:http2'
import { createServer } from 'node:https'
import { createSecureContext, type Server } from 'node:tls'
import t from 'tap'
import { createFarm } from '../../../lib/member/create-farm.ts'
import type { AttachOptions } from '../../../lib/resumption/server/attachment.ts'
import { type Version, versions } from '../../fixtures/resumption/world.ts'
import { authority, clientOf, type Pair, p256 } from '../../fixtures/tls/certificates.ts'
import { type Visit, type VisitOptions, visit } from '../../fixtures/tls/client.ts'
import { connectRewriting } from '../../fixtures/tls/first-write.ts'
import { splitRecords } from '../../fixtures/tls/hello.ts'
import { listening, type TeardownScope } from '../../fixtures/tls/servers.ts'

/*
 * CVE-2025-23419 and its kin: a client whom a strict name refuses gets a session from a lax
 * name of the same server and offers it to the strict one. The same client script shows the
 * hole on a bare Node server.
 */

const pair = await p256('localhost')
const ann = await clientOf('CA of ann')
const annsAuthority = (await authority('CA of ann')).cert
const bobsAuthority = (await authority('CA of bob')).cert

/** What a server trusts: by default, and under the one name it has a context for. */
interface Names {
  readonly byDefault: string
  readonly named: string
  readonly name: string
}

const strictName: Names = {
  byDefault: annsAuthority,
  named: bobsAuthority,
  name: 'b.test',
}
const strictDefault: Names = {
  byDefault: bobsAuthority,
  named: annsAuthority,
  name: 'a.test',
}

type Make = (
  t: TeardownScope,
  names: Names,
  attach: (server: Server, options?: AttachOptions) => void,
) => Promise<number>

const answer = (_request: object, response: { end(text: string): unknown }) => {
  response.end('in')
}

const kinds: { [kind: string]: Make } = {
  'https, names added after attach': (t, names, attach) => {
    const server = createServer(optionsOf(names.byDefault), answer)
    attach(server)
    server.addContext(names.name, { ...pair, ca: names.named })
    return listening(t, server)
  },
  'https, names added before attach': (t, names, attach) => {
    const server = createServer(optionsOf(names.byDefault), answer)
    server.addContext(names.name, { ...pair, ca: names.named })
    attach(server, { policyOf: name => (name === names.name ? 'named' : 'default') })
    return listening(t, server)
  },
  'https with an SNICallback': (t, names, attach) => {
    const byName = new Map([
      [names.name, createSecureContext({ ...pair, ca: names.named })],
    ])
    const server = createServer(
      {
        ...optionsOf(names.byDefault),
        SNICallback: (name, done) => done(null, byName.get(name)),
      },
      answer,
    )
    attach(server, { policyOf: name => (byName.has(name) ? 'named' : 'default') })
    return listening(t, server)
  },
  http2: (t, names, attach) => {
    const server = createSecureServer(
      { ...optionsOf(names.byDefault), allowHTTP1: true },
      answer,
    )
    attach(server)
    server.addContext(names.name, { ...pair, ca: names.named })
    return listening(t, Object.assign(server, { closeAllConnections() {} }) as never)
  },
}

function optionsOf(ca: string): Pair & { requestCert: true; ca: string } {
  return { ...pair, requestCert: true, ca }
}

/** A way to say hello: a server name, in one record or however it is rewritten. */
interface Hello {
  readonly servername?: string
  readonly rewrite?: (hello: Buffer) => Buffer[]
  readonly ALPNProtocols?: string[]
}

interface Crossing {
  readonly names: Names
  readonly from: Hello
  readonly to: Hello
  /** This Node's client, or its server by itself, does not go there. */
  readonly impossible?: (kind: string, version: Version) => boolean
}

/** Where names come as in `addContext`. */
const [[pattern]] = contextsOf(createServer(pair)) as [[RegExp]]
const ignoresCase = (kind: string) =>
  pattern.test('B.TEST') && kind !== 'https with an SNICallback'
const allowsAddresses = Number.parseInt(process.versions.node, 10) < 26
/** OpenSSL 3.5 makes no such hello in TLS 1.3. */
const allowsLongHello = /^3\.[0-4]\./.test(process.versions.openssl)
const tooLong = (_kind: string, version: Version) =>
  version === 'TLSv1.3' && !allowsLongHello

const inCrumbs = (hello: Buffer) => [splitRecords(hello, 3)]
/** 65 KB, which OpenSSL still reads. */
const manyProtocols = [
  'http/1.1',
  ...Array.from({ length: 255 }, (_, n) => `${n}`.padEnd(255, 'x')),
]

const crossings: { [name: string]: Crossing } = {
  'from another name': {
    names: strictName,
    from: { servername: 'a.test' },
    to: { servername: 'b.test' },
  },
  'from no name': {
    names: strictName,
    from: { servername: '' },
    to: { servername: 'b.test' },
  },
  // Node before 24 looks a name up as it is written: these are other names to it.
  'from the name in capitals': {
    names: strictName,
    from: { servername: 'B.TEST' },
    to: { servername: 'b.test' },
    impossible: ignoresCase,
  },
  'from the name with a dot behind it': {
    names: strictName,
    from: { servername: 'b.test.' },
    to: { servername: 'b.test' },
  },
  'from an address': {
    names: strictName,
    from: { servername: '127.0.0.1' },
    to: { servername: 'b.test' },
    impossible: () => !allowsAddresses,
  },
  'to no name': {
    names: strictDefault,
    from: { servername: 'a.test' },
    to: { servername: '' },
  },
  'to the name in capitals': {
    names: strictDefault,
    from: { servername: 'a.test' },
    to: { servername: 'A.test' },
    impossible: ignoresCase,
  },
  'to an address': {
    names: strictDefault,
    from: { servername: 'a.test' },
    to: { servername: '127.0.0.1' },
    impossible: () => !allowsAddresses,
  },
  'from a hello in more records than we read': {
    names: strictDefault,
    from: { servername: 'a.test', rewrite: inCrumbs },
    to: { servername: '' },
  },
  'from a hello longer than we read': {
    names: strictDefault,
    from: { servername: 'a.test', ALPNProtocols: manyProtocols },
    to: { servername: '' },
    impossible: tooLong,
  },
  'from a hello longer than we read, with another': {
    names: strictDefault,
    from: { servername: 'a.test', ALPNProtocols: manyProtocols },
    to: { servername: '', rewrite: inCrumbs },
    impossible: tooLong,
  },
}

function contextsOf(server: Server): unknown {
  server.addContext('b.test', pair)
  return Reflect.get(server, '_contexts')
}

// Node warns of addresses as names, which is what these clients do on purpose.
process.removeAllListeners('warning')

/** The client script: what came of offering the session elsewhere, `refused` if closed. */
async function cross(
  port: number,
  version: Version,
  from: Hello,
  to: Hello,
): Promise<string[]> {
  const as = ({ rewrite, ...hello }: Hello, session?: Buffer) =>
    visit({
      port,
      ...ann,
      minVersion: version,
      maxVersion: version,
      ...hello,
      ...(rewrite === undefined ? {} : { over: connectRewriting(port, rewrite) }),
      ...(session === undefined ? {} : { session }),
    } as VisitOptions)
  const outcome = (visited: Visit) => (visited.reused ? 'resumed' : 'full')
  const first = await as(from)
  const outcomes: string[] = []
  for (const session of first.sessions) {
    outcomes.push(await as(to, session).then(outcome, () => 'refused'))
  }
  return outcomes
}

for (const [kind, make] of Object.entries(kinds)) {
  t.test(kind, async t => {
    for (const [name, crossing] of Object.entries(crossings)) {
      const { names, from, to, impossible = () => false } = crossing
      const possible = versions.filter(version => !impossible(kind, version))
      await t.test(
        name,
        { skip: possible.length === 0 && 'not on this Node' },
        async t => {
          const bare = await make(t, names, () => {})
          for (const version of possible) {
            const open = await cross(bare, version, from, to)
            t.ok(
              open.includes('resumed'),
              `${version}: open on a bare Node server (${open})`,
            )
          }
          for (const resumption of ['stateful', 'sealed'] as const) {
            const farm = await createFarm()
            t.teardown(() => farm.close())
            const port = await make(t, names, (server, options) =>
              farm.attach(server, { resumption, ...options }),
            )
            for (const version of possible) {
              const closed = await cross(port, version, from, to)
              t.ok(
                closed.every(outcome => outcome === 'refused'),
                `${version} ${resumption}: closed on ours (${closed})`,
              )
            }
          }
        },
      )
    }
  })
}
