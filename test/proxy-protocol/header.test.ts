import { isIP } from 'node:net'
import t from 'tap'
import { crc32c } from '../../lib/proxy-protocol/crc32c.ts'
import type { Endpoints } from '../../lib/proxy-protocol/endpoints.ts'
import {
  proxyVersions,
  readHeader,
  writeHeader,
} from '../../lib/proxy-protocol/header.ts'
import { seededRandom, testSeed } from '../fixtures/random.ts'

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')

/** A header of version 2 by hand. */
function binary(kind: number, family: number, content: Buffer | number[]): Buffer {
  const bytes = Buffer.from(content as number[])
  const head = Buffer.from([kind, family, bytes.length >> 8, bytes.length])
  return Buffer.concat([signature, head, bytes])
}

const four = [203, 0, 113, 7, 192, 0, 2, 1, 0x9c, 0x40, 0x01, 0xbb]
const fourEnds: Endpoints = {
  source: { address: '203.0.113.7', port: 40_000 },
  destination: { address: '192.0.2.1', port: 443 },
}
const sixEnds: Endpoints = {
  source: { address: '2001:db8::1:0:0:7', port: 1 },
  destination: { address: '::1', port: 65_535 },
}

t.test('the check value of CRC-32C is that of its definition', async t => {
  t.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
  t.equal(crc32c(Buffer.from('1234'), Buffer.from('56789')), 0xe3069283)
})

t.test('sizes are those of the layouts', async t => {
  t.equal(writeHeader('v2').length, 16)
  t.equal(writeHeader('v2', fourEnds).length, 28)
  t.equal(writeHeader('v2', sixEnds).length, 52)
  t.equal(
    String(writeHeader('v1', fourEnds)),
    'PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n',
  )
  t.equal(String(writeHeader('v1')), 'PROXY UNKNOWN\r\n')
  t.strictSame(writeHeader('v2', fourEnds), binary(0x21, 0x11, four))
})

t.test(
  'what is written is read, in whatever pieces, and what follows is left',
  async t => {
    for (const version of proxyVersions) {
      for (const endpoints of [fourEnds, sixEnds, undefined]) {
        const header = writeHeader(version, endpoints)
        const name = `${version} ${endpoints?.source.address}`
        for (let end = 0; end < header.length; end += 1) {
          t.equal(readHeader(header.subarray(0, end)), 'more', `${name}: ${end} bytes`)
        }
        const all = Buffer.concat([header, Buffer.from([0x16, 3, 1])])
        t.strictSame(readHeader(all), { length: header.length, endpoints }, name)
      }
    }
  },
)

t.test('kinds without IP addresses leave the connection its own ends', async t => {
  const unix = Buffer.alloc(216, 0x61)
  for (const [what, header] of [
    ['UNKNOWN alone', Buffer.from('PROXY UNKNOWN\r\n')],
    ['UNKNOWN with anything', Buffer.from('PROXY UNKNOWN ffff:f...f 1 2 3 \x00\r\n')],
    ['LOCAL', binary(0x20, 0, [])],
    ['LOCAL that says addresses all the same', binary(0x20, 0x11, four)],
    ['LOCAL with what is no TLV', binary(0x20, 0, [9, 9])],
    ['UNSPEC', binary(0x21, 0, [])],
    ['UNIX', binary(0x21, 0x31, unix)],
    ['datagrams', binary(0x21, 0x12, four)],
  ] as const) {
    t.strictSame(
      readHeader(header),
      { length: header.length, endpoints: undefined },
      what,
    )
  }
})

t.test('TLVs are passed over; a checksum among them has to be right', async t => {
  const tlvs = [4, 0, 3, 1, 2, 3, 0xe0, 0, 0]
  t.match(readHeader(binary(0x21, 0x11, [...four, ...tlvs])), { endpoints: fourEnds })
  const header = binary(0x21, 0x11, [...four, ...tlvs, 3, 0, 4, 0, 0, 0, 0, 4, 0, 0])
  const at = header.length - 7
  header.writeUInt32BE(crc32c(header), at)
  t.match(readHeader(header), { length: header.length, endpoints: fourEnds })
  header.writeUInt32BE(header.readUInt32BE(at) ^ 1, at)
  t.strictSame(readHeader(header), { fault: 'a wrong checksum' })
})

t.test(
  'what is no header of either version is refused as soon as that shows',
  async t => {
    for (const [bytes, fault] of [
      ['\x16\x03\x01', 'no header'],
      ['GET / HTTP/1.1\r\n', 'no header'],
      ['PROXX', 'no header'],
      ['\r\n\r\nX', 'no header'],
      ['PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n', 'an unknown family'],
      ['PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n', 'an unknown family'],
      ['PROXY\r\n', 'no header'],
      [`PROXY ${'x'.repeat(101)}`, 'a line that does not end'],
      [`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`, 'a line that does not end'],
      ['PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n\r\n', 'addresses or ports that are none'],
    ] as const) {
      t.strictSame(readHeader(Buffer.from(bytes, 'latin1')), { fault }, bytes)
    }
    for (const line of [
      'TCP4 1.2.3.4 1.2.3.4 1',
      'TCP4 1.2.3.4 1.2.3.4 1 1 ',
      'TCP4 1.2.3.4 1.2.3.4 1 1 1',
      'TCP4 1.2.3.4  1.2.3.4 1 1',
      'TCP4 1.2.3 1.2.3.4 1 1',
      'TCP4 01.2.3.4 1.2.3.4 1 1',
      'TCP4 ::1 ::1 1 1',
      'TCP6 1.2.3.4 1.2.3.4 1 1',
      'TCP6 fe80::1%lo ::1 1 1',
      'TCP4 1.2.3.4 1.2.3.4 65536 1',
      'TCP4 1.2.3.4 1.2.3.4 01 1',
      'TCP4 1.2.3.4 1.2.3.4 -1 1',
      'TCP4 1.2.3.4 1.2.3.4 1e3 1',
      'TCP4 localhost 1.2.3.4 1 1',
    ]) {
      const fault = 'addresses or ports that are none'
      t.strictSame(readHeader(Buffer.from(`PROXY ${line}\r\n`)), { fault }, line)
    }
    for (const [header, fault] of [
      [binary(0x11, 0x11, four), 'an unknown version'],
      [binary(0x22, 0x11, four), 'an unknown command'],
      [binary(0x21, 0x41, four), 'an unknown family'],
      [binary(0x21, 0x13, four), 'an unknown family'],
      [binary(0x21, 0x11, four.slice(1)), 'no room for its addresses'],
      [binary(0x21, 0x21, four), 'no room for its addresses'],
      [binary(0x21, 0x11, [...four, 1, 0]), 'a TLV that is cut off'],
      [binary(0x21, 0x11, [...four, 1, 0, 2, 9]), 'a TLV that is cut off'],
      [binary(0x21, 0x11, [...four, 3, 0, 1, 9]), 'a checksum that is none'],
      [binary(0x21, 0x11, Buffer.alloc(5_000)), 'a length beyond 4096 bytes'],
    ] as const) {
      t.strictSame(readHeader(header), { fault }, fault)
      t.strictSame(readHeader(header.subarray(0, 16 + 4_080)), { fault })
    }
  },
)

t.test('whatever the bytes, reading ends, and never with half an address', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  let whole = true
  const random = seededRandom(seed)
  for (let round = 0; round < 20_000; round += 1) {
    const ends = round % 2 === 0 ? fourEnds : sixEnds
    const header = writeHeader(round % 3 === 0 ? 'v1' : 'v2', ends)
    const at = Math.floor(random() * header.length)
    header[at] = Math.floor(random() * 256)
    const outcome = readHeader(header)
    if (outcome === 'more' || 'fault' in outcome || outcome.endpoints === undefined)
      continue
    const { source, destination } = outcome.endpoints
    whole &&=
      isIP(source.address) === isIP(destination.address) && isIP(source.address) > 0
  }
  t.ok(whole)
})
