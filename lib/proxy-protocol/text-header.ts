import { isIPv4, isIPv6 } from 'node:net'
import type { Endpoint, Endpoints, HeaderOutcome } from './endpoints.ts'

/**
 * Version 1 of the PROXY protocol (proxy-protocol.txt of HAProxy, 2.1): one line of ASCII.
 *
 *      PROXY TCP4 <source> <destination> <source port> <destination port> CR LF
 *      PROXY TCP6 <source> <destination> <source port> <destination port> CR LF
 *      PROXY UNKNOWN <anything> CR LF
 */
export const textSignature: Buffer = Buffer.from('PROXY ')

/** With CR LF: no line of an honest sender is longer. */
const longest = 107

/** `bytes` begin as the signature does, as far as they go. */
export function readTextHeader(bytes: Buffer): HeaderOutcome {
  const end = bytes.subarray(0, longest).indexOf('\r\n')
  if (end < 0) {
    return bytes.length < longest ? 'more' : { fault: 'a line that does not end' }
  }
  const length = end + 2
  const words = bytes.toString('latin1', textSignature.length, end).split(' ')
  const [family, source = '', destination = '', from = '', to = '', ...rest] = words
  if (family === 'UNKNOWN') return { length, endpoints: undefined }
  const ofFamily =
    family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isPlainIPv6 : undefined
  if (ofFamily === undefined) return { fault: 'an unknown family' }
  const ports = [from, to].map(portOf)
  const [sourcePort, destinationPort] = ports
  if (
    !ofFamily(source) ||
    !ofFamily(destination) ||
    sourcePort === undefined ||
    destinationPort === undefined ||
    rest.length > 0
  ) {
    return { fault: 'addresses or ports that are none' }
  }
  return {
    length,
    endpoints: {
      source: { address: source, port: sourcePort },
      destination: { address: destination, port: destinationPort },
    },
  }
}

/** Without endpoints: of a connection of our own. */
export function textHeader(endpoints: Endpoints | undefined): Buffer {
  if (endpoints === undefined) return Buffer.from('PROXY UNKNOWN\r\n')
  const { source, destination } = endpoints
  const family = isIPv4(source.address) ? 'TCP4' : 'TCP6'
  return Buffer.from(
    `PROXY ${family} ${source.address} ${destination.address}` +
      ` ${source.port} ${destination.port}\r\n`,
  )
}

/** Without a zone, which Node would take. */
function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%')
}

function portOf(text: string): Endpoint['port'] | undefined {
  if (!/^(?:0|[1-9]\d{0,4})$/.test(text)) return undefined
  const port = Number(text)
  return port <= 65_535 ? port : undefined
}
