import type { Clock } from '../../clock.ts'
import type { Standing } from '../commit/commit-word.ts'
import { type ConnectionTable, hashOf, keyOf, kind, shortly } from './connection-table.ts'
import type { Beat, Vote } from './heartbeats.ts'
import { progressBytes, readProgress } from './progress.ts'
import { readTold, toldBytes } from './told-checkpoint.ts'

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

/** What members write down of their connections without waiting for anybody, and their beats. */
export class TakeoverBoard {
  readonly #table: ConnectionTable
  readonly #clock: Clock
  readonly #left = new Map<string, Map<string, Left>>()

  /** `onBeat`: of every member but this one. */
  constructor(table: ConnectionTable, clock: Clock, onBeat: (beat: Beat) => void) {
    this.#table = table
    this.#clock = clock
    table.watch(word => {
      const { owner, about, key, sealed } = word
      if (word.kind === kind.checkpoint) this.#onCheckpoint(owner, about, sealed)
      else if (word.kind === kind.progress) {
        this.#onProgress(owner, table.open(key, sealed))
      } else if (word.kind === kind.beat) {
        const beat = readBeat(table.open(key, sealed))
        const isOwn = beat && hashOf(beat.member).toString('hex') === owner
        if (beat !== undefined && isOwn) onBeat(beat)
      }
    })
  }

  beat(beat: Beat): void {
    this.#table.write(kind.beat, undefined, Buffer.from(JSON.stringify(beat)), shortly)
  }

  write(id: Buffer, acked: number, checkpoint: Buffer): void {
    this.#table.write(kind.checkpoint, id, toldBytes({ acked, checkpoint }), long)
  }

  /** A tombstone would stay for an hour: it is written over, and soon gone. */
  retire(id: Buffer): void {
    this.#table.write(kind.checkpoint, id, Buffer.alloc(0), shortly)
  }

  /** Of all connections that are on their way, each time: one word may be lost. */
  progress(acked: ReadonlyMap<string, number>): void {
    this.#table.write(kind.progress, undefined, progressBytes(acked), shortly)
  }

  /** What is known of the connections of a member. */
  of(member: string): LeftConnection[] {
    const left = this.#left.get(hashOf(member).toString('hex')) ?? new Map<string, Left>()
    return [...left].flatMap(([id, { sealed, toldAt, acked }]) => {
      const key = keyOf(kind.checkpoint, hashOf(member), Buffer.from(id, 'hex'))
      const then = readTold(this.#table.open(key, sealed))
      if (then === undefined) return []
      const told = { ...then, toldAt, acked: Math.max(acked, then.acked) }
      return [{ ...told, standing: 'loose' }]
    })
  }

  /** They are somebody else's now, or nobody's. */
  forget(member: string): void {
    this.#left.delete(hashOf(member).toString('hex'))
  }

  close(): void {
    this.#left.clear()
  }

  #onCheckpoint(owner: string, about: Buffer, value: Buffer): void {
    const id = about.toString('hex')
    const left = this.#left.get(owner) ?? new Map<string, Left>()
    this.#left.set(owner, left)
    const acked = left.get(id)?.acked ?? 0
    if (value.length === 0) left.delete(id)
    else if (left.has(id) || left.size < mostConnections) {
      left.set(id, { sealed: Buffer.from(value), toldAt: this.#clock.monotonic(), acked })
    }
  }

  #onProgress(owner: string, bytes: Buffer | undefined): void {
    const left = this.#left.get(owner)
    for (const { id, acked } of readProgress(bytes)) {
      const one = left?.get(id)
      if (one !== undefined) one.acked = acked
    }
  }
}

interface Left {
  readonly sealed: Buffer
  readonly toldAt: number
  acked: number
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
      home,
      isLeaving,
    } = JSON.parse(bytes.toString())
    const areTexts = [member, home ?? ''].every(text => typeof text === 'string')
    const isForm = areTexts && [holds, takes, votes].every(areAddresses)
    if (!isForm || !votes.every((vote: Vote) => typeof vote.member === 'string')) {
      return undefined
    }
    return {
      ...{ member, holds, takes, votes },
      ...(home !== undefined && { home }),
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
