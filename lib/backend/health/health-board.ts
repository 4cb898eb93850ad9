import { createHash, randomBytes } from 'node:crypto'
import type { Cache } from '../../cache/cache.ts'
import { tables } from '../../record/key.ts'

/** What a process says of a backend that it has just checked. */
export interface HealthReport {
  readonly up: boolean
  /** Of one host: all its processes see the same network. */
  readonly host: string
  readonly process: string
}

/** Where the proxies of a farm tell each other how backends are. */
export interface HealthBoard {
  /** This one, as its reports name it. */
  readonly self: { readonly host: string; readonly process: string }
  /** `check`: what was checked and how, the same on each proxy. It holds for `ttl` ms. */
  publish(check: string, up: boolean, ttl: number): void
  /** Tells what others say. Returns the way to stop it. */
  watch(check: string, listener: (report: HealthReport) => void): () => void
}

/** Of a process that is alone. */
export const noBoard: HealthBoard = {
  self: { host: '', process: '' },
  publish() {},
  watch: () => () => {},
}

/**
 * In the virtual table `health` of the farm's cache: one record for each check and host.
 *
 *      key    0                   16                  24
 *             +-------------------+-------------------+
 *             | SHA-256 of check  | SHA-256 of host   |
 *             +-------------------+-------------------+
 *      value  { up, host, process } as JSON
 */
export class FarmHealthBoard implements HealthBoard {
  readonly #cache: Cache
  readonly #host: () => string
  readonly #process = randomBytes(6).toString('hex')
  readonly #listeners = new Map<string, Set<(report: HealthReport) => void>>()

  /** `host`: the id of this member. */
  constructor(cache: Cache, host: () => string) {
    this.#cache = cache
    this.#host = host
    cache.watch(tables.health, ({ key, value, tombstone }) => {
      const listeners = this.#listeners.get(key.toString('latin1', 0, 16))
      const report = tombstone || listeners === undefined ? undefined : read(value)
      if (report === undefined || report.process === this.#process) return
      for (const listener of listeners ?? []) listener(report)
    })
  }

  get self(): { readonly host: string; readonly process: string } {
    return { host: this.#host(), process: this.#process }
  }

  publish(check: string, up: boolean, ttl: number): void {
    const report: HealthReport = { up, ...this.self }
    const key = Buffer.concat([digest(check, 16), digest(report.host, 8)])
    try {
      const value = Buffer.from(JSON.stringify(report))
      this.#cache.add(tables.health, key, value, { ttl, level: 'local' }).catch(() => {})
    } catch {
      // The farm is closed: the last checks are under way.
    }
  }

  watch(check: string, listener: (report: HealthReport) => void): () => void {
    const name = digest(check, 16).toString('latin1')
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners.add(listener))
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0) this.#listeners.delete(name)
    }
  }
}

/** Undefined for what is none, as of a version to come. */
function read(value: Buffer): HealthReport | undefined {
  try {
    const { up, host, process } = JSON.parse(value.toString()) as Partial<HealthReport>
    if (typeof up !== 'boolean') return undefined
    if (typeof host !== 'string' || typeof process !== 'string') return undefined
    return { up, host, process }
  } catch {
    return undefined
  }
}

function digest(text: string, length: number): Buffer {
  return createHash('sha256').update(text).digest().subarray(0, length)
}
