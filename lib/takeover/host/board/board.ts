import { BoundedMap } from '../../../bounded-map.ts'
import type { Clock } from '../../../clock.ts'
import {
  readTold,
  type ToldCheckpoint,
  toldBytes,
} from '../../checkpoint/told-checkpoint.ts'
import type { Standing } from '../../commit/commit-word.ts'
import type { Beat, Decision, Vote } from '../election/heartbeats.ts'
import {
  type ConnectionTable,
  keyOf,
  kind,
  ownerOf,
  shortly,
} from './connection-table.ts'
import { progressBytes, readProgress } from './progress.ts'
import type { WordListener } from './word-listener.ts'

/** Milliseconds for which a word stays that is said once. */
const long = 24 * 3_600_000
/** Of one member. */
export const mostConnections = 25_000

/** What another member has told of one of its connections. */
export interface LeftConnection {
  readonly checkpoint: Buffer
  /** By our own steady clock. */
  readonly toldAt: number
  readonly acked: number
  readonly standing: Standing
}

export interface BoardListener {
  /** Of every member but this one, and of those whose way of takeover is the same. */
  onBeat(beat: Beat): void
  /** A member whose way of takeover is another one. */
  onStranger(member: string): void
  readonly words?: WordListener | undefined
}

/** What members write down of their connections without waiting for anybody, and their beats. */
export class TakeoverBoard {
  readonly #table: ConnectionTable
  readonly #clock: Clock
  readonly #listener: BoardListener
  readonly #shared: string | undefined
  /** By owner. */
  readonly #left = new Map<string, Left>()

  /** `shared`: see Beat. */
  constructor(
    table: ConnectionTable,
    clock: Clock,
    listener: BoardListener,
    shared?: string,
  ) {
    this.#table = table
    this.#clock = clock
    this.#listener = listener
    this.#shared = shared
    table.watch(word => {
      const { owner, about, key, sealed } = word
      if (word.kind === kind.checkpoint) this.#onCheckpoint(owner, about, sealed)
      else if (word.kind === kind.progress) {
        this.#onProgress(owner, table.open(key, sealed))
      } else if (word.kind === kind.beat || word.kind === kind.sharedBeat) {
        const beat = readBeat(table.open(key, sealed))
        const isOwn = beat && ownerOf(beat.member) === owner
        if (beat !== undefined && isOwn) this.#onBeat(beat)
      }
    })
  }

  /** Members of an older release, which know of no seats, do not read those of the other kind. */
  beat(beat: Beat): void {
    const which = this.#shared === undefined ? kind.beat : kind.sharedBeat
    this.#table.write(which, undefined, Buffer.from(JSON.stringify(beat)), shortly)
  }

  /**
   * What stands under a key, of a connection or bundle, from now on: others have all of it, or none.
   * Nothing: all is over. A tombstone would stay for an hour: it is written over, and soon gone.
   */
  write(key: Buffer, all: readonly ToldCheckpoint[]): void {
    const ttl = all.length === 0 ? shortly : long
    this.#table.write(kind.checkpoint, key, toldBytes(all), ttl)
  }

  /** Of all connections that are on their way, each time: one word may be lost. */
  progress(acked: ReadonlyMap<string, number>): void {
    this.#table.write(kind.progress, undefined, progressBytes(acked), shortly)
  }

  /** What is known of the connections of a member. */
  of(member: string): LeftConnection[] {
    const owner = ownerOf(member)
    return [...this.#leftBy(owner).words.keys()].flatMap(about => this.at(owner, about))
  }

  /** What stands at a place, by the names of a WordListener. */
  at(owner: string, about: string): LeftConnection[] {
    const { words, acked } = this.#leftBy(owner)
    const word = words.get(about)
    if (word === undefined) return []
    const { sealed, toldAt } = word
    const [member, place] = [owner, about].map(name => Buffer.from(name, 'hex'))
    const key = keyOf(kind.checkpoint, member as Buffer, place)
    return readTold(this.#table.open(key, sealed)).map(told => ({
      ...told,
      toldAt,
      acked: Math.max(acked.get(told.id.toString('hex')) ?? 0, told.acked),
      standing: 'loose',
    }))
  }

  /** They are somebody else's now, or nobody's. */
  forget(member: string): void {
    this.#left.delete(ownerOf(member))
  }

  close(): void {
    this.#left.clear()
  }

  #onBeat(beat: Beat): void {
    if (beat.shared === this.#shared) this.#listener.onBeat(beat)
    else this.#listener.onStranger(beat.member)
  }

  #onCheckpoint(owner: string, about: Buffer, value: Buffer): void {
    const key = about.toString('hex')
    const left = this.#leftBy(owner)
    this.#left.set(owner, left)
    const { words } = left
    if (value.length === 0) {
      words.delete(key)
      this.#listener.words?.over(owner, key)
    } else if (words.has(key) || words.size < mostConnections) {
      words.set(key, { sealed: Buffer.from(value), toldAt: this.#clock.monotonic() })
      this.#listener.words?.changed(owner, key)
    }
  }

  #onProgress(owner: string, bytes: Buffer | undefined): void {
    const acked = this.#left.get(owner)?.acked
    if (acked === undefined) return
    for (const { id, acked: position } of readProgress(bytes)) {
      // Who is over is not named any more, and makes room for others.
      acked.set(id, position)
    }
  }

  #leftBy(owner: string): Left {
    const before = this.#left.get(owner)
    return before ?? { words: new Map(), acked: new BoundedMap(mostConnections) }
  }
}

interface Left {
  /** By connection or bundle. */
  readonly words: Map<string, { readonly sealed: Buffer; readonly toldAt: number }>
  /** Bytes that clients have acknowledged since, by id of the connection. */
  readonly acked: Map<string, number>
}

/** Written by a member that has the farm's secret, but perhaps of another release. */
function readBeat(bytes: Buffer | undefined): Beat | undefined {
  if (bytes === undefined) return undefined
  try {
    const {
      member,
      holds,
      takes,
      votes = [],
      decides,
      home,
      shared,
      isLeaving,
    } = JSON.parse(bytes.toString())
    const areTexts = [member, home ?? '', shared ?? ''].every(
      text => typeof text === 'string',
    )
    const isForm = areTexts && [holds, takes, votes, decides ?? []].every(areAddresses)
    if (!isForm || !votes.every((vote: Vote) => typeof vote.member === 'string')) {
      return undefined
    }
    const open = (decision: Decision) => ({
      ...decision,
      isOpen: decision.isOpen === true,
    })
    return {
      ...{ member, holds, takes, votes },
      ...(decides !== undefined && { decides: decides.map(open) }),
      ...(home !== undefined && { home }),
      ...(shared !== undefined && { shared }),
      ...(isLeaving === true && { isLeaving }),
    }
  } catch {
    return undefined
  }
}

function areAddresses(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length <= mostAddresses &&
    value.every(
      each => typeof each?.address === 'string' && Number.isSafeInteger(each?.epoch),
    )
  )
}

/** In each list of a beat. */
const mostAddresses = 1_000
