import type { SeenTicket } from './matrix.ts'

/** What the starts of tickets tell of the keys that sealed them. */
export interface KeySighting {
  /** 16 bytes as hex. Not secret: it stands in clear at the front of each ticket. */
  readonly name: string
  /** Addresses that sealed with it. */
  readonly addresses: readonly string[]
  readonly tickets: number
}

export interface KeyEvidence {
  /** Names seen on more than one ticket. Others may be noise that names nothing. */
  readonly keys: readonly KeySighting[]
  /** Addresses whose TLS 1.3 tickets are handles to a session that the server keeps. */
  readonly stateful: readonly string[]
  /** Seconds that servers keep tickets, as they say: least and most. */
  readonly lifetime: { readonly least: number; readonly most: number } | undefined
}

/** OpenSSL's session ID; a sealed ticket holds a master secret and is far longer. */
const longestHandle = 32

export function keyEvidence(tickets: readonly SeenTicket[]): KeyEvidence {
  const byName = new Map<string, SeenTicket[]>()
  for (const ticket of tickets) {
    if (ticket.length <= longestHandle) continue
    byName.set(ticket.start, [...(byName.get(ticket.start) ?? []), ticket])
  }
  const hints = tickets.flatMap(({ lifetimeHint }) => lifetimeHint ?? [])
  return {
    keys: [...byName]
      .filter(([, sealed]) => sealed.length > 1)
      .map(([name, sealed]) => ({
        name,
        addresses: addressesOf(sealed),
        tickets: sealed.length,
      })),
    stateful: addressesOf(
      tickets.filter(({ kind, length }) => kind === 'tls13' && length <= longestHandle),
    ),
    lifetime:
      hints.length === 0
        ? undefined
        : { least: Math.min(...hints), most: Math.max(...hints) },
  }
}

function addressesOf(tickets: readonly SeenTicket[]): string[] {
  return [...new Set(tickets.map(({ address }) => address))]
}
