import dns, { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Clock, Timer } from '../clock.ts'
import { LastingFault } from '../limit/lasting-fault.ts'
import type { Log } from '../log.ts'

/** Between two questions, in milliseconds, where no time to live is known. */
const interval = 10_000
/** What a time to live may make of it: 0 is no time, and a day nobody wants to wait. */
const shortestInterval = 1_000
/** And while the resolver fails; it doubles up to that. */
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
  /** Of what there is to do, beside a target that gets most and has one address: above 0. Default 1. */
  readonly weight?: number | undefined
}

export interface Resolved {
  readonly places: readonly Place[]
  /** Seconds for which that holds, as far as is known. */
  readonly ttl?: number | undefined
  /** Targets of SRV records whose addresses nobody tells. */
  readonly unknown?: readonly Target[] | undefined
}

type Target = Pick<Place, 'name' | 'port' | 'weight'>

/** Asks for places of a name; a test can stand in for it. */
export type Lookup = (hostname: string, port: number, how: Resolve) => Promise<Resolved>

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
 * nothing: what was known last goes on. The same holds for each target of SRV records by itself.
 */
export class ResolvedName {
  readonly #options: ResolvedNameOptions
  #places: readonly Place[] | undefined
  #timer: Timer | undefined
  #wait = interval
  /** Targets of which that has been said. */
  #unknown: ReadonlySet<string> = new Set()
  #closed = false
  readonly #fault: LastingFault

  constructor(options: ResolvedNameOptions) {
    this.#options = options
    const { hostname, clock, log } = options
    this.#fault = new LastingFault({
      ...{ clock, log, fields: { name: hostname } },
      text: 'a name of backends is not resolved',
      over: 'a name of backends is resolved again',
    })
    void this.#ask()
  }

  /** Undefined before the first answer. */
  get places(): readonly Place[] | undefined {
    return this.#places
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#fault.close()
  }

  async #ask(): Promise<void> {
    const { hostname, port, how, lookup, clock, log, onChange } = this.#options
    try {
      const { places, ttl, unknown = [] } = await lookup(hostname, port, how)
      const found = inOrder([...places, ...this.#knownOf(unknown)])
      if (found.length === 0) throw new Error('no addresses')
      this.#fault.worked()
      this.#wait = waitFor(ttl)
      if (!isDeepStrictEqual(found, this.#places ?? []) && !this.#closed) {
        this.#places = found
        log.info({ name: hostname, addresses: textOf(found) }, 'a name of backends')
        onChange()
      }
    } catch (error) {
      this.#wait = Math.min(longestInterval, 2 * Math.max(interval / 2, this.#wait))
      const { code = String(error) } = error as { code?: string }
      this.#fault.failed(code)
    }
    if (!this.#closed) this.#timer = clock.after(this.#wait, () => void this.#ask())
  }

  #knownOf(targets: readonly Target[]): readonly Place[] {
    const { hostname, log } = this.#options
    for (const { name } of targets) {
      // Some are left dangling for weeks.
      if (!this.#unknown.has(name))
        log.warn({ name: hostname, target: name }, 'a name of backends is not resolved')
    }
    this.#unknown = new Set(targets.map(({ name }) => name))
    return targets.flatMap(({ name, port, weight = 1 }) => {
      const its = (this.#places ?? []).filter(
        place => name === place.name && port === place.port,
      )
      return its.map(place => ({ ...place, weight: weight / its.length }))
    })
  }
}

/** RFC 2782: a target of weight 0 beside others is to have a very small chance. */
const leastPart = 0.01

/** Milliseconds that addresses wait for DNS to say how long they hold. */
const longestTtlWait = 500
const noRecords: ReadonlyMap<string, number> = new Map()

function waitFor(ttl: number | undefined): number {
  if (ttl === undefined) return interval
  return Math.min(longestInterval, Math.max(shortestInterval, ttl * 1_000))
}

/**
 * Addresses as the system has them, /etc/hosts and search domains included; SRV records from DNS.
 * How long an address holds DNS alone can say: where it names the same ones that counts, too.
 */
export function lookupWith(resolver: Questions): Lookup {
  const addressesOf = async (hostname: string, port: number): Promise<Resolved> => {
    if (isIP(hostname) !== 0)
      return { places: [{ name: hostname, address: hostname, port }] }
    const records = recordsOf(resolver, hostname)
    const found = await dns.lookup(hostname, { all: true })
    const known = await Promise.race([
      records,
      setTimeout(longestTtlWait, noRecords, { ref: false }),
    ])
    const ttls = found.map(({ address }) => known.get(address) ?? Number.NaN)
    const ttl = Math.min(...ttls)
    return {
      places: found.map(({ address }) => ({ name: hostname, address, port })),
      ...(Number.isNaN(ttl) ? {} : { ttl }),
    }
  }
  return async (hostname, port, how) => {
    if (how === 'addresses') return await addressesOf(hostname, port)
    const records = await resolver.resolveSrv(hostname)
    // RFC 2782: those of the lowest priority, as long as there are any.
    const first = Math.min(...records.map(({ priority }) => priority))
    const usable = records.filter(({ priority }) => priority === first)
    const most = Math.max(...usable.map(({ weight }) => weight))
    const targets = usable.map(({ name, port, weight }): Target => {
      return { name, port, weight: most === 0 ? 1 : Math.max(weight / most, leastPart) }
    })
    const asked = await Promise.allSettled(
      targets.map(async ({ name, port, weight = 1 }) => {
        const { places } = await addressesOf(name, port)
        return places.map(place => ({ ...place, weight: weight / places.length }))
      }),
    )
    const places = asked.flatMap(one => (one.status === 'fulfilled' ? one.value : []))
    const unknown = targets.filter((_, i) => asked[i]?.status === 'rejected')
    return { places, unknown }
  }
}

type Questions = Pick<Resolver, 'resolve4' | 'resolve6' | 'resolveSrv'>

/**
 * Of its own: one that is slow holds up nobody else's questions. It waits for as long as that of
 * the system does (resolv.conf(5): 5 s, two tries).
 */
export const systemResolver: Resolver = new Resolver({ timeout: 5_000, tries: 2 })

export const systemLookup: Lookup = lookupWith(systemResolver)

/** Seconds for which DNS lets each address of a name be remembered; empty when it says nothing. */
async function recordsOf(
  resolver: Questions,
  hostname: string,
): Promise<ReadonlyMap<string, number>> {
  const asked = await Promise.allSettled([
    resolver.resolve4(hostname, { ttl: true }),
    resolver.resolve6(hostname, { ttl: true }),
  ])
  return new Map(
    asked
      .flatMap(answer => (answer.status === 'fulfilled' ? answer.value : []))
      .map(({ address, ttl }) => [address, ttl]),
  )
}

function inOrder(places: readonly Place[]): readonly Place[] {
  const byText = new Map<string, Place>()
  for (const place of places) {
    const text = `${place.address} ${place.port}`
    const same = byText.get(text)
    // Two targets may be one server, which has the parts of both then.
    const isOther = same !== undefined && same.name !== place.name
    const weight = isOther ? (same.weight ?? 1) + (place.weight ?? 1) : place.weight
    byText.set(text, weight === undefined ? place : { ...place, weight })
  }
  return [...byText.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, mostPlaces)
    .map(([, place]) => place)
}

function textOf(places: readonly Place[]): string {
  return places
    .map(({ address, port, weight = 1 }) =>
      weight === 1 ? `${address} ${port}` : `${address} ${port} (${weight.toFixed(2)})`,
    )
    .join(', ')
}
