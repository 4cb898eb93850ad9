import { isIPv6 } from 'node:net'
import { HandfastError } from '../../errors.ts'
import type { UdpOptions } from './packet-sockets.ts'

const groupPort = 7_177

/** The farm's group, which follows from its tag, unless an option says another; or none. */
export function groupOptions(
  farmTag: number,
  multicasts: boolean,
  udp: Partial<UdpOptions> | undefined,
): UdpOptions {
  const [high, low] = [(farmTag >>> 8) & 0xff, farmTag & 0xff]
  // Site-local, RFC 2365 and RFC 4291 2.7.
  const group = isIPv6(udp?.host ?? '')
    ? `ff15::${high.toString(16)}:${low.toString(16)}`
    : `239.255.${high}.${low}`
  return { groupPort, ...udp, group: multicasts ? (udp?.group ?? group) : undefined }
}

export function noGroup(error: Error | undefined): HandfastError {
  const why = error === undefined ? '' : ` (${error.message})`
  return new HandfastError(
    'ERR_HANDFAST_JOIN',
    `option transport is multicast, but this host can't join a group${why}; ` +
      'auto and unicast do without',
    { cause: error },
  )
}
