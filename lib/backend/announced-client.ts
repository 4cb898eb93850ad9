import { isIPv4 } from 'node:net'
import { plainHost } from '../address.ts'
import type { Endpoints } from '../proxy-protocol/endpoints.ts'
import type { BoundClient } from './request.ts'

/** The ends of a client's connection; undefined for none, and for one that is closed. */
export function endpointsOf(client: BoundClient | undefined): Endpoints | undefined {
  const { remoteAddress, remotePort, localAddress, localPort } = client ?? {}
  if (remoteAddress === undefined || localAddress === undefined) return undefined
  const [source, destination] = [remoteAddress, localAddress].map(address =>
    plainHost(address.replace(/%.*$/, '')),
  ) as [string, string]
  if (isIPv4(source) !== isIPv4(destination)) return undefined
  return {
    source: { address: source, port: remotePort ?? 0 },
    destination: { address: destination, port: localPort ?? 0 },
  }
}
