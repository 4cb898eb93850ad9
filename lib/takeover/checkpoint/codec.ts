import type { Representation } from '../../dispatch/resumed-response/representation.ts'
import type { PlannedResponse } from '../plan/planned-response.ts'
import { ByteReader, malformed } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import {
  type AskedRequest,
  type BegunResponse,
  type Checkpoint,
  type Endpoint,
  longestCheckpoint,
  type Owed,
} from './checkpoint.ts'
import { readId } from './id.ts'
import { readTransport, writeTransport } from './transport-codec.ts'

/**
 * A checkpoint as bytes. Counts are u64, lengths u32, big endian; `?` is a byte of 0, or one of 1
 * and what stands behind it.
 *
 *      +---------+-------+----------+-------+----------------+-----------------+
 *      | version | id    | bundle   | at    | local, remote  | transport       |
 *      | u8 = 1  | 16 B  | ? 16 B   | count | bytes, count   | transport-codec |
 *      +---------+-------+----------+-------+----------------+-----------------+
 *      +-----------------------+------------------------------------+----------+
 *      | position, read so far | owed: ? request, ? response        | kernel   |
 *      | count, count          | see writeRequest and writeResponse | bytes    |
 *      +-----------------------+------------------------------------+----------+
 */
const version = 1
const longestAddress = 64
const longestKernel = 1_024
/** Names and values. */
const mostFields = 4_000

/** Undefined when it is too long to be kept. */
export function encodeCheckpoint(checkpoint: Checkpoint): Buffer | undefined {
  const to = new ByteWriter()
  to.u8(version)
  to.bytes(checkpoint.id)
  to.maybe(checkpoint.bundle, bundle => to.bytes(bundle))
  to.count(checkpoint.at)
  writeEndpoint(to, checkpoint.local)
  writeEndpoint(to, checkpoint.remote)
  writeTransport(to, checkpoint.transport)
  to.count(checkpoint.position)
  to.count(checkpoint.readPosition)
  to.maybe(checkpoint.owed, owed => writeOwed(to, owed))
  to.bytes(checkpoint.kernel)
  const bytes = to.end()
  return bytes.length > longestCheckpoint ? undefined : bytes
}

/** Throws ERR_HANDFAST_PROTOCOL for anything else than a checkpoint of this version. */
export function decodeCheckpoint(bytes: Buffer): Checkpoint {
  if (bytes.length > longestCheckpoint) throw malformed('it is too long')
  const from = new ByteReader(bytes)
  if (from.u8() !== version) throw malformed('it is of another version')
  const checkpoint = {
    id: readId(from),
    bundle: from.maybe(() => readId(from)),
    at: from.count(),
    local: readEndpoint(from),
    remote: readEndpoint(from),
    transport: readTransport(from),
    position: from.count(),
    readPosition: from.count(),
    owed: from.maybe(() => readOwed(from)),
    kernel: from.bytes(longestKernel),
  }
  from.end()
  return checkpoint
}

/** The bundle that a checkpoint names, from its front alone. Undefined: it goes alone. */
export function bundleOf(checkpoint: Buffer): Buffer | undefined {
  const from = new ByteReader(checkpoint)
  try {
    if (from.u8() !== version) return undefined
    readId(from)
    return from.maybe(() => readId(from))
  } catch {
    return undefined
  }
}

function writeEndpoint(to: ByteWriter, { address, port }: Endpoint): void {
  to.latin1(address)
  to.count(port)
}

function readEndpoint(from: ByteReader): Endpoint {
  const endpoint = { address: from.latin1(longestAddress), port: from.count() }
  if (endpoint.port > 65_535) throw malformed('there is no such port')
  return endpoint
}

function writeOwed(to: ByteWriter, { request, response }: Owed): void {
  writeRequest(to, request)
  to.maybe(response, begun => writeResponse(to, begun))
}

function readOwed(from: ByteReader): Owed {
  return {
    request: readRequest(from),
    response: from.maybe(() => readResponse(from)),
  }
}

/** method, target, version: bytes; has a body: u8; fields: count, then each as bytes. */
function writeRequest(to: ByteWriter, request: AskedRequest): void {
  to.latin1(request.method)
  to.latin1(request.target)
  to.latin1(request.httpVersion)
  to.u8(request.hasBody ? 1 : 0)
  to.count(request.fields.length)
  for (const text of request.fields) to.latin1(text)
}

function readRequest(from: ByteReader): AskedRequest {
  const [method, target, httpVersion] = [text(from), text(from), text(from)]
  const hasBody = from.flag()
  const length = from.count()
  if (length > mostFields || length % 2 === 1) throw malformed('its fields are no pairs')
  const fields = Array.from({ length }, () => text(from))
  return { method, target, httpVersion, fields, hasBody }
}

/** The plan: at, head, first, length, keepAlive, ? record. Then the representation. */
function writeResponse(to: ByteWriter, { planned, representation }: BegunResponse): void {
  to.count(planned.at)
  to.bytes(planned.head)
  to.count(planned.first)
  to.count(planned.length)
  to.u8(planned.keepAlive ? 1 : 0)
  to.maybe(planned.record, record => to.count(record))
  to.latin1(representation.validator)
  to.u8(representation.validatedBy === 'etag' ? 1 : 0)
  to.latin1(representation.coding)
  to.maybe(representation.type, type => to.latin1(type))
  to.count(representation.first)
  to.maybe(representation.last, last => to.count(last))
  to.maybe(representation.total, total => to.count(total))
}

function readResponse(from: ByteReader): BegunResponse {
  const planned: PlannedResponse = {
    at: from.count(),
    head: from.bytes(longestCheckpoint),
    first: from.count(),
    length: from.count(),
    keepAlive: from.flag(),
    record: from.maybe(() => from.count()),
  }
  const representation: Representation = {
    validator: text(from),
    validatedBy: from.flag() ? 'etag' : 'last-modified',
    coding: text(from),
    type: from.maybe(() => text(from)),
    first: from.count(),
    last: from.maybe(() => from.count()),
    total: from.maybe(() => from.count()),
  }
  const { first, length } = planned
  // What is sent again is counted from these: they have to tell of the same bytes.
  if (representation.first !== first || representation.last !== first + length - 1) {
    throw malformed('its plan and its object are not about the same bytes')
  }
  return { planned, representation }
}

function text(from: ByteReader): string {
  return from.latin1(longestCheckpoint)
}
