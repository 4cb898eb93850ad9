import { isIPv4, SocketAddress } from 'node:net'
import { crc32c } from './crc32c.ts'
import type { BadHeader, Endpoint, Endpoints, HeaderOutcome } from './endpoints.ts'

/**
 * Version 2 of the PROXY protocol (proxy-protocol.txt of HAProxy, 2.2), big-endian:
 *
 *      0           12       13       14           16
 *      +-----------+--------+--------+------------+-----------+----------+
 *      | signature | 2, cmd | family | length u16 | addresses | TLVs     |
 *      +-----------+--------+--------+------------+-----------+----------+
 *                                                 | <------ length ----> |
 *
 *      TCP over IPv4   source 4 B | destination 4 B | source port u16 | destination port u16
 *      TCP over IPv6   source 16 B | destination 16 B | source port u16 | destination port u16
 *      TLV             type u8 | length u16 | value
 */
export const binarySignature: Buffer = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')

const fixed = 16
/** With all of it; as much as nginx takes. Certificates of clients in TLVs are what is long. */
const longest = 4_096
const version = 0x20
const command = { local: 0, proxy: 1 } as const
/** Of the addresses, by their family. */
const addressLengths = [0, 12, 36, 216]
const tcp = 1
const families = { ipv4: 1, ipv6: 2 } as const
const checksumType = 3

/** `bytes` begin as the signature does, as far as they go. */
export function readBinaryHeader(bytes: Buffer): HeaderOutcome {
  const kind = bytes[12]
  const both = bytes[13]
  if (kind !== undefined && (kind & 0xf0) !== version) return bad('an unknown version')
  const asked = (kind ?? 0) & 0x0f
  if (asked > command.proxy) return bad('an unknown command')
  const family = (both ?? 0) >> 4
  const transport = (both ?? 0) & 0x0f
  const addresses = addressLengths[family]
  if (addresses === undefined || transport > 2) return bad('an unknown family')
  if (bytes.length < fixed) return 'more'
  const length = fixed + bytes.readUInt16BE(14)
  if (length > longest) return bad('a length beyond 4096 bytes')
  if (bytes.length < length) return 'more'
  const header = bytes.subarray(0, length)
  // What a LOCAL says beyond that is to be skipped, whatever it is.
  if (asked === command.local) return { length, endpoints: undefined }
  if (fixed + addresses > length) return bad('no room for its addresses')
  const fault = faultOfTlvs(header, fixed + addresses)
  if (fault !== undefined) return bad(fault)
  return { length, endpoints: endpointsOf(header, family, transport) }
}

/** Without endpoints: LOCAL, of a connection of our own. */
export function binaryHeader(endpoints: Endpoints | undefined): Buffer {
  if (endpoints === undefined) {
    return Buffer.concat([binarySignature, Buffer.from([version, 0, 0, 0])])
  }
  const { source, destination } = endpoints
  const four = isIPv4(source.address)
  const both = ((four ? families.ipv4 : families.ipv6) << 4) | tcp
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(source.port, 0)
  ports.writeUInt16BE(destination.port, 2)
  const ends = [bytesOf(source.address), bytesOf(destination.address), ports]
  const length = four ? 12 : 36
  const head = Buffer.from([version | command.proxy, both, 0, length])
  return Buffer.concat([binarySignature, head, ...ends])
}

/** TLVs are for others; but they must be ones, and a checksum among them must be right. */
function faultOfTlvs(header: Buffer, start: number): string | undefined {
  for (let at = start; at < header.length; ) {
    const value = at + 3
    const end = value + (value <= header.length ? header.readUInt16BE(at + 1) : 0)
    if (value > header.length || end > header.length) return 'a TLV that is cut off'
    if (header[at] === checksumType) {
      if (end !== value + 4) return 'a checksum that is none'
      // Made with zeros in its own place.
      const sum = crc32c(header.subarray(0, value), Buffer.alloc(4), header.subarray(end))
      if (sum !== header.readUInt32BE(value)) return 'a wrong checksum'
    }
    at = end
  }
  return undefined
}

function endpointsOf(
  header: Buffer,
  family: number,
  transport: number,
): Endpoints | undefined {
  // UNSPEC, UNIX and datagrams: the connection's own ends have to do.
  if (transport !== tcp) return undefined
  if (family !== families.ipv4 && family !== families.ipv6) return undefined
  const width = family === families.ipv4 ? 4 : 16
  const end = (index: 0 | 1): Endpoint => {
    const at = fixed + index * width
    return {
      address: addressOf(header.subarray(at, at + width)),
      port: header.readUInt16BE(fixed + 2 * width + 2 * index),
    }
  }
  return { source: end(0), destination: end(1) }
}

/** IPv6 as RFC 5952 has it. */
function addressOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, index) =>
    bytes.readUInt16BE(2 * index).toString(16),
  )
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address
}

function bytesOf(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  const [head = '', tail] = address.split('%', 1).join().split('::')
  const left = bytesOfGroups(head)
  const right = tail === undefined ? Buffer.alloc(0) : bytesOfGroups(tail)
  return Buffer.concat([left, Buffer.alloc(16 - left.length - right.length), right])
}

function bytesOfGroups(text: string): Buffer {
  if (text === '') return Buffer.alloc(0)
  return Buffer.concat(
    text.split(':').map(group => {
      if (group.includes('.')) return Buffer.from(group.split('.').map(Number))
      return Buffer.from([Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16)])
    }),
  )
}

function bad(fault: string): BadHeader {
  return { fault }
}
