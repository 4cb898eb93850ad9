import type { Cache } from '../cache/cache.ts'
import type { Clock, Timer } from '../clock.ts'
import { tables } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import { sum } from './section/sum.ts'

/** What a member tells the others of itself: a few numbers, those of each section under a name. */
export interface WideFigures {
  readonly [name: string]: number | { readonly [name: string]: number }
}

export interface FarmFigures {
  /** Members whose figures are known, with their age in ms. */
  readonly members: readonly {
    readonly id: string
    readonly age: number
    readonly figures: WideFigures
  }[]
  readonly sum: WideFigures
}

/** A moment of the last minutes; `t`: wall time in ms. */
export interface Moment {
  readonly t: number
  readonly host: WideFigures
  readonly farm: WideFigures
}

export interface FarmWideParts {
  readonly cache: Cache
  readonly clock: Clock
  /** Of the host in the farm; undefined while it has no name yet. */
  id(): string | undefined
  /** One process speaks for its host. */
  speaks(): boolean
  figures(): Promise<WideFigures>
}

const interval = 5_000
/** What is known of a member that is gone counts for so long. */
const lifetime = 600_000
const mostMoments = 180
const mostMembers = 1_024
const mostFigures = 200
const longestValue = 16 * 1024
const prefix = Buffer.from('figures ')

/**
 * The figures of all members, each as it told them last, and their sum. A member tells them from
 * when it has been asked for its own. They are records like others, and every process of every
 * host has them.
 */
export class FarmWide {
  readonly #parts: FarmWideParts
  readonly #told = new Map<string, { figures: WideFigures; heardAt: number }>()
  readonly #moments: Moment[] = []
  readonly #unwatch: () => void
  #timer: Timer | undefined
  #closed = false

  constructor(parts: FarmWideParts) {
    this.#parts = parts
    // Beside the table: nobody wonders at records of a farm that has none.
    parts.cache.keep(tables.farm, isFiguresKey)
    this.#unwatch = parts.cache.watch(tables.farm, record => this.#hear(record))
  }

  /** From now on this host tells its figures. */
  start(): void {
    if (this.#timer !== undefined || this.#closed) return
    this.#tick()
  }

  read(): FarmFigures {
    this.#forget()
    const now = this.#parts.clock.monotonic()
    const members = [...this.#told].map(([id, { figures, heardAt }]) => {
      return { id, age: Math.round(now - heardAt), figures }
    })
    return { members, sum: sum(members.map(({ figures }) => figures)) }
  }

  /** The last minutes, one moment in five seconds. */
  history(): readonly Moment[] {
    return this.#moments
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#unwatch()
  }

  #tick(): void {
    this.#timer = this.#parts.clock.after(interval, () => this.#tick())
    void this.#tell().catch(() => {
      // The cache is closed, or so is the way to the hub: the next time, or never.
    })
  }

  async #tell(): Promise<void> {
    const { cache, id, speaks, figures } = this.#parts
    const name = id()
    if (name === undefined || !speaks()) return
    const key = Buffer.concat([prefix, Buffer.from(name)])
    const value = Buffer.from(JSON.stringify(await figures()))
    if (this.#closed || value.length > longestValue) return
    await cache.add(tables.farm, key, value, { ttl: lifetime, level: 'local' })
  }

  #hear({ key, value, tombstone }: CacheRecord): void {
    if (tombstone || !isFiguresKey(key)) return
    const id = key.subarray(prefix.length).toString()
    const figures = readFigures(value)
    if (figures === undefined) return
    if (!this.#told.has(id) && this.#told.size >= mostMembers) return
    const { clock } = this.#parts
    this.#told.set(id, { figures, heardAt: clock.monotonic() })
    if (id !== this.#parts.id()) return
    this.#moments.push({ t: clock.now(), host: figures, farm: this.read().sum })
    if (this.#moments.length > mostMoments) this.#moments.shift()
  }

  #forget(): void {
    const then = this.#parts.clock.monotonic() - lifetime
    for (const [id, { heardAt }] of this.#told) if (heardAt < then) this.#told.delete(id)
  }
}

function isFiguresKey(key: Buffer): boolean {
  return key.subarray(0, prefix.length).equals(prefix)
}

/** Of a member, who knows the secret; it may be of another version all the same. */
function readFigures(value: Buffer): WideFigures | undefined {
  if (value.length > longestValue) return undefined
  try {
    const read: unknown = JSON.parse(value.toString())
    return areFigures(read, 2) ? (read as WideFigures) : undefined
  } catch {
    return undefined
  }
}

function areFigures(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null || depth === 0) return false
  const entries = Object.entries(value)
  return (
    entries.length <= mostFigures &&
    entries.every(
      ([name, figure]) =>
        name !== '__proto__' &&
        name.length <= 64 &&
        (Number.isFinite(figure) || areFigures(figure, depth - 1)),
    )
  )
}
