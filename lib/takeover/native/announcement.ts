import { addressBytes } from './socket-address.ts'

/**
 * Frames of Ethernet with a message of ARP (RFC 826), big-endian, that tell everybody on a link
 * where an address is now (gratuitous ARP, RFC 5227 3):
 *
 *      0             6        12      14           20        22           28      32            38     42
 *      +-------------+--------+-------+------------+---------+------------+-------+-------------+------+
 *      | to everybody| sender | 0x0806| 1 0x800 6 4| 1 or 2  | sender MAC | IPv4  | target MAC  | IPv4 |
 *      +-------------+--------+-------+------------+---------+------------+-------+-------------+------+
 */
export const announcementLength = 42
/** Of the protocol, in a frame and for a socket. */
export const arpProtocol = 0x0806

const everybody: Buffer = Buffer.alloc(6, 0xff)
const request = 1
const reply = 2

/** A request and a reply: some listen to the one, some to the other. */
export function announcements(mac: Buffer, address: string): Buffer[] {
  const ip = addressBytes(address)
  return [request, reply].map(operation => {
    const target = operation === request ? Buffer.alloc(6) : mac
    const head = Buffer.from([8, 6, 0, 1, 8, 0, 6, 4, 0, operation])
    return Buffer.concat([everybody, mac, head, mac, ip, target, ip])
  })
}
