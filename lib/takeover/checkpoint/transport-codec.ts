import type { FullCause, Handshake, ResumedFrom } from '../../resumption/handshake.ts'
import type { ConnectionState, Tls13State } from '../connection/connection-state.ts'
import { isSuiteName, suites } from '../record-layer/suite.ts'
import { type ByteReader, malformed } from './byte-reader.ts'
import type { ByteWriter } from './byte-writer.ts'

/**
 * The state of the transport as bytes, behind a u8: 0 without TLS, where nothing follows, or 1:
 *
 *      | suite | secrets: client, server | next record: read, write | server name |
 *      | bytes | bytes, bytes            | count, count             | bytes       |
 *      | http/1.1 | reused | authorized | certificate | handshake                    |
 *      | u8       | u8     | u8         | ? bytes     | ? see writeHandshake         |
 */
const plain = 0
const tls13 = 1
const longestName = 255
const longestCertificate = 32_768
const longestLineage = 64

export function writeTransport(to: ByteWriter, state: ConnectionState): void {
  to.u8(state.kind === 'plain' ? plain : tls13)
  if (state.kind === 'plain') return
  to.latin1(state.suite)
  to.bytes(state.clientSecret)
  to.bytes(state.serverSecret)
  to.count(state.readRecord)
  to.count(state.writeRecord)
  to.latin1(state.serverName)
  to.u8(state.alpn === false ? 0 : 1)
  to.u8(state.reused ? 1 : 0)
  to.u8(state.authorized ? 1 : 0)
  to.maybe(state.certificate, certificate => to.bytes(certificate))
  to.maybe(state.handshake, handshake => writeHandshake(to, handshake))
}

export function readTransport(from: ByteReader): ConnectionState {
  const kind = from.u8()
  if (kind === plain) return { kind: 'plain' }
  if (kind !== tls13) throw malformed('its transport is unknown')
  return readTls13(from)
}

function readTls13(from: ByteReader): Tls13State {
  const suite = word(from)
  if (!isSuiteName(suite)) throw malformed('its cipher suite is unknown')
  const { hashBytes } = suites[suite]
  const secret = () => {
    const bytes = from.bytes(hashBytes)
    if (bytes.length !== hashBytes) throw malformed('a secret is too short')
    return bytes
  }
  return {
    kind: 'tls13',
    suite,
    clientSecret: secret(),
    serverSecret: secret(),
    readRecord: from.count(),
    writeRecord: from.count(),
    serverName: from.latin1(longestName),
    alpn: from.flag() ? 'http/1.1' : false,
    reused: from.flag(),
    authorized: from.flag(),
    certificate: from.maybe(() => from.bytes(longestCertificate)),
    handshake: from.maybe(() => readHandshake(from)),
  }
}

/** name, protocol: bytes; ? resumed from; ? cause; ? lineage: bytes; original at: count; authorized. */
function writeHandshake(to: ByteWriter, handshake: Handshake): void {
  to.latin1(handshake.serverName)
  to.latin1(handshake.protocol)
  to.maybe(handshake.resumed || undefined, from => to.latin1(from))
  to.maybe(handshake.cause, cause => to.latin1(cause))
  to.maybe(handshake.lineage, lineage => to.bytes(lineage))
  to.count(handshake.originalAt)
  to.u8(handshake.clientAuthorized ? 1 : 0)
}

function readHandshake(from: ByteReader): Handshake {
  return {
    serverName: from.latin1(longestName),
    protocol: word(from),
    resumed: from.maybe(() => word(from) as ResumedFrom) ?? false,
    cause: from.maybe(() => word(from) as FullCause),
    lineage: from.maybe(() => from.bytes(longestLineage)),
    originalAt: from.count(),
    clientAuthorized: from.flag(),
  }
}

/** A name of ours. What it may be is not told from a later release's. */
function word(from: ByteReader): string {
  const text = from.latin1(40)
  if (!/^[\w.-]+$/.test(text)) throw malformed('a name in it is none')
  return text
}
