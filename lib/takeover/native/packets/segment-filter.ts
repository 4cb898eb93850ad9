import { addressBytes } from '../socket-address.ts'
import type { FilterInstruction } from './packet-filter.ts'

/** The longest headers of IP and TCP; nothing behind them is looked at. */
export const headers = 120
/** With more the filter would have no room where net.core.optmem_max is 20 kB, as it was long. */
export const mostPorts = 300

/** Lets headers of TCP to one address pass: of all that comes to a busy host, nothing else is copied. */
export function tcpTo(address: string): readonly FilterInstruction[] {
  return [...isTcpTo(address), pass, drop]
}

/** Those from some ports alone. */
export function tcpFrom(
  ports: Iterable<number>,
  address: string,
): readonly FilterInstruction[] {
  const each = Array.from(ports, (port): FilterInstruction[] => [
    [0x15, 0, 1, port],
    pass,
  ])
  // The port is behind a header of IP that may have options.
  return [
    ...isTcpTo(address),
    [0x05, 0, 0, 1],
    drop,
    [0xb1, 0, 0, 0],
    [0x48, 0, 0, 0],
    ...each.flat(),
    drop,
  ]
}

const pass: FilterInstruction = [0x06, 0, 0, headers]
const drop: FilterInstruction = [0x06, 0, 0, 0]

/** What follows is skipped by one instruction where it is not. */
function isTcpTo(address: string): FilterInstruction[] {
  return [
    [0x30, 0, 0, 9],
    [0x15, 0, 3, 6],
    [0x20, 0, 0, 16],
    [0x15, 0, 1, addressBytes(address).readUInt32BE(0)],
  ]
}
