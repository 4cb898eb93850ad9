import { addressBytes } from '../socket-address.ts'

/** Strays that are told in a second, and at once; the others are lost. */
const rate = 5_000
const burst = 2_000
/** After the rules of the operator, whose drops are none of ours. */
const priority = 10

/** Rules of nftables: strays for an address and some ports are logged to a group, and dropped. */
export interface StrayRules {
  readonly address: string
  readonly ports: readonly number[]
  readonly group: number
}

/** A script for `nft` that loads them, in the place of those that are there. */
export function loadScript({ address, ports, group }: StrayRules): string {
  return tablesOf(address, ports)
    .map(({ table, port }) => without(table) + rules(table, address, port, group))
    .join('')
}

/** A script that takes them away, if they are there. */
export function unloadScript({ address, ports }: StrayRules): string {
  return tablesOf(address, ports)
    .map(({ table }) => without(table))
    .join('')
}

/** A table of its own for each port: what another process of this host has is left alone. */
function tablesOf(address: string, ports: readonly number[]) {
  const dotted = addressBytes(address).join('.')
  return [...new Set(ports)].map(port => ({
    port: Math.trunc(port),
    table: `handfast-${dotted}-${Math.trunc(port)}`,
  }))
}

/** To delete what is not there is an error, to add what is there is none. */
function without(table: string): string {
  return `table ip ${table}\ndelete table ip ${table}\n`
}

/**
 * `socket wildcard` says nothing of sockets without a process, which are the ends of connections and
 * the beginnings of handshakes, and 1 of a listener alone; `socket transparent` is 0 or 1 for whatever
 * socket there is. What comes from this host itself is what was given to the kernel after all.
 */
function rules(table: string, address: string, port: number, group: number): string {
  return `table ip ${table} {
  chain strays {
    limit rate ${rate}/second burst ${burst} packets log group ${group}
    drop
  }
  chain input {
    type filter hook input priority ${priority}; policy accept;
    ip daddr != ${address} accept
    meta l4proto != tcp accept
    tcp dport != ${port} accept
    iif lo accept
    tcp flags & (syn | ack | rst) == syn accept
    socket wildcard 1 goto strays
    socket transparent { 0, 1 } accept
    goto strays
  }
}
`
}
