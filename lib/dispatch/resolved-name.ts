import dns from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Clock, Timer } from '../clock.ts'
import type { Log } from '../log.ts'

/** Between two questions, in milliseconds. */
const interval = 10_000
/** The same while the resolver fails; it doubles up to that. */
const longestInterval = 60_000
/** A name that stands for more is cut: each is a pool of connections. */
const mostPlaces = 256

/** `addresses`: each address of the name is a backend. `srv`: each target of its SRV records. */
export type Resolve = 'addresses' | 'srv'

export interface Place {
  /** Under which it is verified: the name itself, or the target of an SRV record. */
  readonly name: string
  readonly address: string
  readonly port: number
}

/** Asks for places of a name; a test can stand in for it. */
export type Lookup = (hostname: string, port: number, how: Resolve) => Promise<Place[]>

export interface ResolvedNameOptions {
  readonly hostname: string
  readonly port: number
  readonly how: Resolve
  readonly lookup: Lookup
  readonly clock: Clock
  readonly log: Log
  readonly onChange: () => void
}

/**
 * Where a name leads, asked again and again. A resolver that fails, or knows of nothing, changes
 * nothing: what was known last goes on.
 */
export class ResolvedName {
  readonly #options: ResolvedNameOptions
  #places: readonly Place[] | undefined
  #timer: Timer | undefined
  #wait = interval
  #closed = false

  constructor(options: ResolvedNameOptions) {
    this.#options = options
    void this.#ask()
  }

  /** Undefined before the first answer. */
  get places(): readonly Place[] | undefined {
    return this.#places
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  async #ask(): Promise<void> {
    const { hostname, port, how, lookup, clock, log, onChange } = this.#options
    try {
      const found = inOrder(await lookup(hostname, port, how))
      if (found.length === 0) throw new Error('no addresses')
      this.#wait = interval
      const changed = textOf(found) !== textOf(this.#places ?? [])
      if (changed && !this.#closed) {
        this.#places = found
        log.info({ name: hostname, addresses: textOf(found) }, 'a name of backends')
        onChange()
      }
    } catch (error) {
      this.#wait = Math.min(longestInterval, 2 * this.#wait)
      const { code = String(error) } = error as { code?: string }
      log.warn({ name: hostname, error: code }, 'a name of backends is not resolved')
    }
    if (!this.#closed) this.#timer = clock.after(this.#wait, () => void this.#ask())
  }
}

/** As the system resolves names, /etc/hosts included; SRV records from DNS. */
export const systemLookup: Lookup = async (hostname, port, how) => {
  if (how === 'addresses') return await addressesOf(hostname, port)
  const records = await dns.resolveSrv(hostname)
  // RFC 2782: those of the lowest priority, as long as there are any.
  const first = Math.min(...records.map(({ priority }) => priority))
  const usable = records.filter(({ priority }) => priority === first)
  const all = await Promise.all(usable.map(one => addressesOf(one.name, one.port)))
  return all.flat()
}

async function addressesOf(hostname: string, port: number): Promise<Place[]> {
  if (isIP(hostname) !== 0) return [{ name: hostname, address: hostname, port }]
  const found = await dns.lookup(hostname, { all: true })
  return found.map(({ address }) => ({ name: hostname, address, port }))
}

function inOrder(places: readonly Place[]): readonly Place[] {
  const byText = new Map(places.map(place => [textOf([place]), place]))
  return [...byText.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, mostPlaces)
    .map(([, place]) => place)
}

function textOf(places: readonly Place[]): string {
  return places.map(({ address, port }) => `${address} ${port}`).join(', ')
}
