import dns, { type LookupAddress } from 'node:dns'
import { isIP, type Socket } from 'node:net'

export type Connected = (error: Error | null, socket?: Socket | null) => void

/** Connects to one address. Gives the socket that is on its way, if it can. */
export type ConnectTo = (address: string, done: Connected) => unknown

/** RFC 8305 8, Connection Attempt Delay. */
const headStart = 250

/**
 * Connects to the first address of a name that answers (RFC 8305, Happy Eyeballs). Node's own
 * way (`autoSelectFamily`) gives an attempt up before it begins the next: with a short time for
 * each it loses a slow address, with a long one it waits for a dead one each time. Here an
 * attempt goes on until another one has won.
 */
export function raceTo(hostname: string, connect: ConnectTo, done: Connected): void {
  if (isIP(hostname) !== 0) {
    connect(hostname, done)
    return
  }
  // Asked for at each call, so that whoever replaces it is heard.
  dns.lookup(hostname, { all: true }, (error, addresses) => {
    if (error !== null) done(error, null)
    else race(inTurn(addresses), connect, done)
  })
}

function race(addresses: readonly string[], connect: ConnectTo, done: Connected): void {
  const losers = new Set<{ destroy(): unknown }>()
  let begun = 0
  let failed = 0
  let over = false
  let next: NodeJS.Timeout | undefined
  const finish: Connected = (error, socket) => {
    over = true
    clearTimeout(next)
    for (const loser of losers) if (loser !== socket) loser.destroy()
    done(error, socket)
  }
  const onAttempt: Connected = (error, socket) => {
    if (over) socket?.destroy()
    else if (error === null || ++failed === addresses.length) finish(error, socket)
    else begin()
  }
  const begin = () => {
    clearTimeout(next)
    const address = addresses[begun]
    if (address === undefined) return
    begun++
    if (begun < addresses.length) next = setTimeout(begin, headStart)
    try {
      const attempt = connect(address, onAttempt)
      if (isDestroyable(attempt)) losers.add(attempt)
    } catch (error) {
      onAttempt(error as Error, null)
    }
  }
  begin()
}

function isDestroyable(value: unknown): value is { destroy(): unknown } {
  return typeof (value as { destroy?: unknown } | undefined)?.destroy === 'function'
}

/** One of each family in turn (RFC 8305 4), the resolver's first choice first. */
function inTurn(addresses: readonly LookupAddress[]): string[] {
  const first = addresses.filter(({ family }) => family === addresses[0]?.family)
  const second = addresses.filter(({ family }) => family !== addresses[0]?.family)
  const turns: string[] = []
  for (let i = 0; i < Math.max(first.length, second.length); i++) {
    for (const { address } of [...first.slice(i, i + 1), ...second.slice(i, i + 1)]) {
      turns.push(address)
    }
  }
  return turns
}
