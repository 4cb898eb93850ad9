import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import { Shelf } from '../table/shelf/shelf.ts'
import { ShelfFiles, type ShelfPlace } from '../table/shelf/shelf-files.ts'
import { maxRings } from '../table/shelf/shelf-layout.ts'

/** The shelf of this host as this process has it: made by the first hub, opened by all others. */
export class HostShelf {
  readonly #clock: Clock
  readonly #log: Log
  readonly #maxBytes: number
  readonly #use: (shelf: Shelf) => void
  #shelf: Shelf | undefined

  /** `use` is told of the shelf when there is one. */
  constructor(clock: Clock, log: Log, maxBytes: number, use: (shelf: Shelf) => void) {
    this.#clock = clock
    this.#log = log
    this.#maxBytes = maxBytes
    this.#use = use
  }

  get place(): ShelfPlace | undefined {
    return this.#shelf?.place
  }

  get ring(): number | undefined {
    return this.#shelf?.ring
  }

  /** All that this process puts is where the others see it. */
  get isWhole(): boolean {
    return this.ring !== undefined && this.#shelf?.counts.full === 0
  }

  /** This process is the hub: the shelf is the one that it has, or else a new one. */
  found(): void {
    if (this.#shelf !== undefined) return
    const files = ShelfFiles.make(this.#maxBytes)
    if (files === undefined) {
      this.#log.warn({}, 'no memory for files: processes ask each other for sessions')
      return
    }
    this.#take(files, 0)
  }

  /** The hub says where it has the shelf, and which ring is for this process. */
  join(place: ShelfPlace | undefined, ring: number | undefined): void {
    if (place === undefined) return
    if (this.#shelf?.place.id !== place.id) {
      const files = ShelfFiles.open(place)
      if (files === undefined) {
        this.#log.warn({}, 'the shelf of this host can not be opened')
        return
      }
      this.#take(files, ring)
    } else if (ring !== undefined && ring !== this.#shelf.ring) this.#shelf.claim(ring)
  }

  /** The ring that a process has, if nobody else does; else one that nobody has. */
  ringFor(own: number | undefined, taken: ReadonlySet<number>): number | undefined {
    const isFree = (ring: number) => ring !== this.ring && !taken.has(ring)
    if (this.#shelf === undefined) return undefined
    if (own !== undefined && isFree(own)) return own
    for (let ring = 0; ring < maxRings; ring += 1) if (isFree(ring)) return ring
    return undefined
  }

  #take(files: ShelfFiles, ring: number | undefined): void {
    this.#shelf = new Shelf({ files, clock: this.#clock })
    if (ring !== undefined) this.#shelf.claim(ring)
    this.#use(this.#shelf)
  }
}
