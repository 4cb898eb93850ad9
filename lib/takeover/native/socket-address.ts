import { isIPv4 } from 'node:net'
import { HandfastError } from '../../errors.ts'
import type { Endpoint } from './native-socket.ts'

const inet = 2
const length = 16

/** `struct sockaddr_in`. */
export function socketAddress({ address, port }: Endpoint): Buffer {
  const bytes = Buffer.alloc(length)
  bytes.writeUInt16LE(inet, 0)
  bytes.writeUInt16BE(port, 2)
  addressBytes(address).copy(bytes, 4)
  return bytes
}

/** The four bytes of an IPv4 address. */
export function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  throw new HandfastError('ERR_HANDFAST_USAGE', `${address} is not an IPv4 address`)
}

/** As Node tells it of a socket that listens to both families (::ffff:10.0.0.1), too. */
export function withoutMapping(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address
}
