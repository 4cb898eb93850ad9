import { addressBytes } from '../socket-address.ts'

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

/** Without the header of the frame. */
const messageLength = 28
const everybody: Buffer = Buffer.alloc(6, 0xff)
const request = 1
const reply = 2

/**
 * Asks who has an address, in the name of none (RFC 5227 2.1.1: an ARP Probe): the message of ARP
 * alone, from byte 14 of the frame on.
 */
export function addressProbe(mac: Buffer, address: string): Buffer {
  const nobody = Buffer.alloc(10)
  return Buffer.concat([arpHead(request), mac, nobody, addressBytes(address)])
}

/** Whether a message of ARP, whatever it is for, says that another host has the address. */
export function isOfAnother(message: Buffer, mac: Buffer, address: string): boolean {
  if (message.length < messageLength) return false
  const isArp = message.subarray(0, 6).equals(arpHead(request).subarray(0, 6))
  const isIts = message.subarray(14, 18).equals(addressBytes(address))
  return isArp && isIts && !message.subarray(8, 14).equals(mac)
}

/** A request and a reply: some listen to the one, some to the other. */
export function announcements(mac: Buffer, address: string): Buffer[] {
  const ip = addressBytes(address)
  return [request, reply].map(operation => {
    const target = operation === request ? Buffer.alloc(6) : mac
    const type = Buffer.from([8, 6])
    return Buffer.concat([everybody, mac, type, arpHead(operation), mac, ip, target, ip])
  })
}

/** Ethernet and IPv4, with addresses of 6 bytes and 4. */
function arpHead(operation: number): Buffer {
  return Buffer.from([0, 1, 8, 0, 6, 4, 0, operation])
}
