import t from 'tap'
import type { FilterInstruction } from '../../../lib/takeover/native/packets/packet-filter.ts'
import { segmentPacket } from '../../../lib/takeover/native/packets/segment.ts'
import {
  headers,
  mostPorts,
  tcpFrom,
  tcpTo,
} from '../../../lib/takeover/native/packets/segment-filter.ts'

const address = '10.0.0.100'

/** As the kernel would: how many bytes of the packet pass. */
function run(filter: readonly FilterInstruction[], packet: Buffer): number {
  let [accumulator, index] = [0, 0]
  for (let at = 0; ; at++) {
    const [code, yes, no, k] = filter[at] ?? [0, 0, 0, 0]
    if (code === 0x30) accumulator = packet.readUInt8(k)
    else if (code === 0x20) accumulator = packet.readUInt32BE(k)
    else if (code === 0xb1) index = 4 * (packet.readUInt8(k) & 0x0f)
    else if (code === 0x48) accumulator = packet.readUInt16BE(index + k)
    else if (code === 0x15) at += accumulator === k ? yes : no
    else if (code === 0x05) at += k
    else if (code === 0x06) return k
    else throw new Error(`no instruction at ${at}`)
  }
}

function packet(port: number, to = address): Buffer {
  return segmentPacket({
    source: { address: '10.0.0.7', port },
    destination: { address: to, port: 443 },
    sequence: 1,
    acknowledgment: 2,
    flags: 16,
    window: 3,
    timestamps: undefined,
    data: Buffer.alloc(0),
  })
}

/** With an option of IP. */
function longer(whole: Buffer): Buffer {
  const head = Buffer.from(whole.subarray(0, 20))
  head.writeUInt8(0x46, 0)
  return Buffer.concat([head, Buffer.from([1, 1, 1, 0]), whole.subarray(20)])
}

function datagram(): Buffer {
  const bytes = packet(51_000)
  bytes.writeUInt8(17, 9)
  return bytes
}

t.test('segments to the address pass, and nothing else', async t => {
  const filter = tcpTo(address)
  t.equal(run(filter, packet(51_000)), headers)
  t.equal(run(filter, packet(51_000, '10.0.0.101')), 0)
  t.equal(run(filter, datagram()), 0)
})

t.test('of those from some ports alone, wherever their headers end', async t => {
  const filter = tcpFrom([51_000, 80, 65_535], address)
  for (const port of [51_000, 80, 65_535]) {
    t.equal(run(filter, packet(port)), headers)
    t.equal(run(filter, longer(packet(port))), headers)
  }
  for (const other of [
    packet(51_001),
    longer(packet(443)),
    packet(80, '10.0.0.9'),
    datagram(),
  ]) {
    t.equal(run(filter, other), 0)
  }
  t.equal(run(tcpFrom([], address), packet(51_000)), 0)
})

t.test('the longest has no jump that is too far, and room in the kernel', async t => {
  const ports = Array.from({ length: mostPorts }, (_, index) => 40_000 + index)
  const filter = tcpFrom(ports, address)
  t.equal(run(filter, packet(40_000)), headers)
  t.equal(run(filter, packet(40_000 + mostPorts - 1)), headers)
  t.equal(run(filter, packet(40_000 + mostPorts)), 0)
  t.ok(filter.length <= 4_096)
  t.ok(filter.every(([, yes, no]) => yes < 256 && no < 256))
})
