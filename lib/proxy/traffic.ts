import { STATUS_CODES } from 'node:http'

/** Requests since start. Sites as they are configured, the first of their names; `none`: no site. */
export interface RequestFigures {
  readonly total: number
  readonly counts: readonly RequestCount[]
  /** Of requests by site: how long they took, WebSockets left out. */
  readonly durations: readonly RequestDurations[]
}

interface RequestCount {
  readonly site: string
  /** `other` for those that HTTP does not know. */
  readonly method: string
  /** `499`: the client went away before there was an answer. `other`: not a registered one. */
  readonly status: string
  readonly count: number
}

interface RequestDurations {
  readonly site: string
  /** As many took at most the duration of the same place in `durationBounds`, and more than before. */
  readonly counts: readonly number[]
  readonly seconds: number
}

/** Seconds. */
export const durationBounds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
] as const

const noSite = 'none'
const methods = [
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
] as const
const methodNumbers = new Map<string, number>(methods.map((name, index) => [name, index]))
const otherMethod = methods.length
/** Above all that a status may be. */
const statuses = 1_000

/**
 * Counts requests: a few whole numbers more with each of them, and nothing is made. What names a
 * count is bounded by the configuration and by HTTP, never by what clients or backends say.
 */
export class Traffic {
  readonly #sites = new Map<string, SiteTraffic>([[noSite, new SiteTraffic()]])
  #total = 0

  /** Requests that have begun. */
  get total(): number {
    return this.#total
  }

  begin(): void {
    this.#total += 1
  }

  /** `site`: undefined where none is known. */
  end(site: string | undefined, method: string, status: number, ms: number): void {
    const label = site ?? noSite
    let traffic = this.#sites.get(label)
    if (traffic === undefined) {
      traffic = new SiteTraffic()
      this.#sites.set(label, traffic)
    }
    traffic.count(method, status)
    // A WebSocket's time is that of a visit.
    if (status !== 101) traffic.time(ms / 1_000)
  }

  /** Bytes that were no request, and what they were told. */
  unreadable(status: number): void {
    this.#sites.get(noSite)?.count('', status)
  }

  /** Forgets sites that are not configured any more. */
  keep(sites: readonly string[]): void {
    for (const site of this.#sites.keys())
      if (site !== noSite && !sites.includes(site)) this.#sites.delete(site)
  }

  read(): RequestFigures {
    const sites = [...this.#sites]
    return {
      total: this.#total,
      counts: sites.flatMap(([site, traffic]) =>
        traffic.counts().map(count => ({ site, ...count })),
      ),
      durations: sites.map(([site, { took, seconds }]) => {
        return { site, counts: [...took], seconds }
      }),
    }
  }
}

class SiteTraffic {
  /** By method and status. */
  readonly #counts = new Map<number, number>()
  readonly took: number[] = new Array(durationBounds.length + 1).fill(0)
  seconds = 0

  count(method: string, status: number): void {
    const key = (methodNumbers.get(method) ?? otherMethod) * statuses + statusOf(status)
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
  }

  time(seconds: number): void {
    let index = 0
    while (index < durationBounds.length && seconds > (durationBounds[index] as number))
      index += 1
    this.took[index] = (this.took[index] as number) + 1
    this.seconds += seconds
  }

  counts(): Omit<RequestCount, 'site'>[] {
    return [...this.#counts].map(([key, count]) => {
      const status = key % statuses
      const method = methods[Math.floor(key / statuses)] ?? 'other'
      return { method, status: status === 0 ? 'other' : String(status), count }
    })
  }
}

/** 0 for one that nobody has registered: a backend may say any. */
function statusOf(status: number): number {
  return registered.has(status) ? status : 0
}

const registered = new Set([...Object.keys(STATUS_CODES).map(Number), 499])
